"""What names stand for while a block is being planned: values with the place each came from. Floor 3."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from zoo.diagnostics import Span
from zoo.document.evaluation import ExpressionValue, MutedError
from zoo.document.expressions import SHAPE_WORDS, ExpressionError
from zoo.graph.plan import Ref, TensorSpec, Value
from zoo.registry import did_you_mean


class Unknown:
    """The value of a layer that failed: whoever reads it keeps silent."""

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN: Final = Unknown()
MaybeValue: TypeAlias = "Value | Unknown"


@dataclass(frozen=True, slots=True)
class Feed:
    """A value within reach of a layer: how it is referred to, what it is, and who gives it."""

    name: str  # as the file calls it
    ref: Ref
    value: MaybeValue
    span: Span  # of the layer that gives it
    copies: str | None = None  # of a repeated layer: how one of its copies is read, for messages

    def pick(self, part: int | str) -> Feed:
        """One of several outputs. Raises ExpressionError where there is none of that number or key."""
        value = self.value
        if isinstance(value, Unknown):
            return self
        picked: MaybeValue
        if isinstance(value, tuple) and isinstance(part, int) and part < len(value):
            picked = value[part]
        elif isinstance(value, dict) and str(part) in value:
            part = str(part)
            picked = value[part]
        else:
            raise ExpressionError(self._no_output(part), help=self.copies, code="undefined-output")
        return Feed(f"{self.name}.{part}", Ref(self.ref.name, (*self.ref.picks, part)), picked, self.span)

    def _no_output(self, part: int | str) -> str:
        if isinstance(self.value, tuple):
            return f"{self.name} has no output {part}: there are {len(self.value)}, counted from 0"
        if isinstance(self.value, dict):
            return f"{self.name} has no output {part}: there are {', '.join(self.value)}"
        return f"{self.name} has one output, there is no {self.name}.{part}"


@dataclass(frozen=True, slots=True)
class Param:
    """A param's value and where that was written."""

    value: Any  # plain, or UNKNOWN
    span: Span


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that expressions at one place may read."""

    params: Mapping[str, Param]
    feeds: Mapping[str, Feed]
    later: AbstractSet[str] = frozenset()  # layers further down: told of elsewhere

    def at(self, index: int, span: Span) -> Scope:
        """The scope of one copy of a repeated layer."""
        return replace(self, params={**self.params, "i": Param(index, span)})

    def value(self, name: str, parts: tuple[int | str, ...]) -> ExpressionValue:
        """A param's value, or a size of a tensor."""
        if parts:
            return self._size(name, parts)
        if name not in self.params:
            raise unknown_name(name, self.params, dict.fromkeys([*self.feeds, *self.later]))
        value = self.params[name].value
        if isinstance(value, Unknown):
            raise MutedError
        return value  # type: ignore[no-any-return]  # params hold plain values

    def _size(self, name: str, parts: tuple[int | str, ...]) -> ExpressionValue:
        feed = self.feeds.get(name)
        if feed is None:
            if name in self.later:
                raise MutedError
            raise unknown_layer(name, self.feeds)
        *picks, word = parts
        if word not in SHAPE_WORDS:
            raise not_a_size(f"{name}.{'.'.join(map(str, parts))}", word)
        for part in picks:
            feed = feed.pick(part)
        if isinstance(feed.value, Unknown):
            raise MutedError
        return size_of(feed, str(word))


def unknown_name(name: str, params: Mapping[str, Any], feeds: Mapping[str, Any]) -> ExpressionError:
    """The error for a bare name that is no param."""
    if name in feeds and name != "i":  # of copies the index, whatever layer bears the name
        return ExpressionError(
            f"{name} is a tensor, not a number",
            help=f"write {name}.channels, .features, .height, .width or .shape",
            code="undefined-name",
        )
    known = did_you_mean(name, list(params)) if params else "this block has no params"
    help = _minus_in_name(name, feeds) or known
    return ExpressionError(f"there is no param {name!r} here", help=help, code="undefined-name")


def _minus_in_name(name: str, feeds: Mapping[str, Any]) -> str | None:
    """The way out where a part of a layer's name was read as a name of its own."""
    whole = next((feed for feed in feeds if "-" in feed and name in feed.split("-")), None)
    return f"inside $(…) a - is a minus; {whole} is read as a whole value alone: ${whole}.channels" if whole else None


def unknown_layer(name: str, feeds: Mapping[str, Any]) -> ExpressionError:
    """The error for a reference to a layer that is not there."""
    return ExpressionError(
        f"there is no layer {name!r} above",
        help=_minus_in_name(name, feeds) or did_you_mean(name, list(feeds)),
        code="undefined-reference",
    )


def not_a_size(path: str, word: int | str) -> ExpressionError:
    """The error for a path that does not end in a size."""
    known = did_you_mean(str(word), SHAPE_WORDS)
    return ExpressionError(f"{path} is no size of a tensor", help=known, code="undefined-name")


def pick_of(name: str, value: Value) -> str:
    """How one of several outputs is named."""
    return f"pick one: {name}.{next(iter(value), '0') if isinstance(value, dict) else 0}"


def gives_nothing(name: str) -> str:
    """The message about an output that is None."""
    return f"{name} gives nothing here"


def size_of(feed: Feed, word: str) -> ExpressionValue:
    """``channels``, ``features``, ``height``, ``width`` or ``shape`` of a feed's tensor. Raises ExpressionError."""
    spec = feed.value
    if spec is None:
        raise ExpressionError(gives_nothing(feed.name), code="no-output")
    if not isinstance(spec, TensorSpec):
        assert not isinstance(spec, Unknown)  # whoever asks keeps silent then
        raise ExpressionError(f"{feed.name} has several outputs", help=f"{pick_of(feed.name, spec)}.{word}")
    if word == "shape":
        return [_not_batch(feed, size, axis) for axis, size in enumerate(spec.shape[1:], start=1)]
    rank = len(spec.shape)
    if word in ("height", "width") and rank != 4:
        raise ExpressionError(f"{feed.name} has {rank} dimensions; .{word} wants 4", help=f"it is {shown(spec)}")
    if rank < 2:
        raise ExpressionError(f"{feed.name} has no dimension beside the batch")
    axis = {"channels": 1, "features": rank - 1, "height": 2, "width": 3}[word]
    return _not_batch(feed, spec.shape[axis], axis)


def _not_batch(feed: Feed, size: int, axis: int) -> int:
    if size < 0:
        raise ExpressionError(
            f"dimension {axis} of {feed.name} is the batch, which has no fixed size",
            help="keep the batch in dimension 0",
            code="batch-mixed",
        )
    return size


def shown(value: MaybeValue) -> str:
    """A value's shape as messages show it: the batch left out where it is dimension 0 and nothing is folded into it."""
    if isinstance(value, TensorSpec):
        return shown_sizes(of_a_sample(value.shape))
    if isinstance(value, tuple):
        return f"({', '.join(shown(item) for item in value)})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    return "nothing" if value is None else "unknown"


def shown_sizes(shape: tuple[int, ...]) -> str:
    """Sizes as messages show them: ``[3, batch]``, ``[64 * batch, 49]``."""
    return f"[{', '.join(map(size_text, shape))}]"


def of_a_sample(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without the batch, where that is dimension 0 and nothing is folded into it."""
    return shape[1:] if shape[:1] == (-1,) else shape


def size_text(size: int) -> str:
    """A size for people: ``64``, ``batch``, ``64 * batch``."""
    return "batch" if size == -1 else f"{-size} * batch" if size < 0 else str(size)
