"""``repeat``, ``first``, ``as``, ``when`` and ``else``: which copies of a layer there are. Floor 3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from zoo.diagnostics import counted
from zoo.document import Scalar, plain
from zoo.document.evaluation import substitute
from zoo.graph.context import MOST_STEPS, Told
from zoo.graph.params import whole_help
from zoo.graph.patterns import check_copies
from zoo.graph.plan import Block, Ref, Step, TensorSpec
from zoo.graph.steps import Made
from zoo.graph.texts import LayerText
from zoo.graph.values import UNKNOWN, Feed, Scope, Unknown
from zoo.graph.wiring import Wires, look_up
from zoo.schema.advice import bool_help
from zoo.schema.wording import shown

MakeCopy: TypeAlias = Callable[[int, Scope, Wires, list[Step], Told], Made]


@dataclass(frozen=True, slots=True)
class Copies:
    """The copies of a layer, one where it is not repeated, and what stands for those that are skipped."""

    wanted: tuple[bool, ...]  # by index
    scopes: tuple[Scope, ...]
    wires: Wires
    other: Feed | None  # of `else`
    repeats: bool
    nested: bool  # in a module of their own: layer2.0, layer2.1

    def each(self) -> Iterator[tuple[int, Scope]]:
        """Every copy's index and scope."""
        return enumerate(self.scopes)

    @property
    def passed(self) -> Feed | None:
        """What comes out where all are skipped."""
        return self.other or self.wires.first

    def after(self, index: int, found: Wires, feed: Feed, layer: LayerText, told: Told) -> Wires:
        """What the copy behind one reads that read ``found`` and gave ``feed``; tells where that is not clear."""
        names = layer.block_text.inputs if layer.block_text else ()
        behind = found.after(feed, names)
        before, first = found.first, behind.first
        if before is None or first is None or not any(self.wanted[index + 1 :]):
            return behind
        if not isinstance(before.value, TensorSpec) or not isinstance(first.value, tuple | dict):
            return behind
        output = f"output: {{{', '.join(f'{name}: …' for name in names)}}}"
        help = f"let its outputs bear the names of its inputs: {output}" if names else None
        told.own.error(
            "several-outputs",
            f"{layer.shown}: a copy gives {counted(len(first.value), 'output')}, where the next one reads one tensor",
            layer.keys.key_span("repeat"),
            help=help or "write the layers out, each with its own `from`",
        )
        return found.after(replace(feed, value=UNKNOWN))


def copies_of(layer: LayerText, found: Wires, scope: Scope, told: Told) -> Copies | None:
    """The copies of a layer, or None after telling why they cannot be counted."""
    count = _count(layer, scope, told)
    if count is None:
        count = 1  # so that whatever else is wrong with it is told as well
    repeats = "repeat" in layer.keys
    scopes = tuple(scope.at(index, layer.span) for index in range(count)) if repeats else (scope,)
    wanted = [_is_wanted(layer, each, told) for each in scopes]
    if None in wanted:
        return None
    other = layer.keys.get("else")
    feed = look_up(other, scope, told.own) if isinstance(other, Scalar) and not all([*wanted, count]) else None
    if not any(wanted) and feed is None and len(found.all) > 1 and "when" not in layer.keys:
        told.own.error(
            "bad-layer",
            f"{layer.shown} has no copies here and several inputs: which one it passes on is not clear",
            layer.keys.key_span("repeat"),
            help="add else: NAME",
        )
    nested = repeats and bool(layer.name) and "as" not in layer.keys and layer.share is None
    copies = Copies(tuple(map(bool, wanted)), scopes, found, feed, repeats, nested)
    if not any(copies.wanted) and copies.passed is None:
        told.own.error(
            "skipped",
            f"{layer.shown} is skipped and reads nothing it could pass on",
            layer.span,
            help="name what takes its place with `else`",
        )
        return None
    return copies


def how_to_read_one(layer: LayerText) -> str | None:
    """How one copy of a repeated layer is read; None of a layer that is not repeated."""
    if "repeat" not in layer.keys:
        return None
    if "as" in layer.keys:
        return "a copy is read by the name that its `as` gives it"
    return f"name the copies to read them: as: {layer.name}$(i) beside repeat gives {layer.name}0, {layer.name}1, …"


def _count(layer: LayerText, scope: Scope, told: Told) -> int | None:
    node = layer.keys.get("repeat")
    if node is None:
        return 1
    found = substitute(node, scope, told.own)
    if found is None:
        return None
    value = plain(found)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        told.own.error(
            "bad-value" if isinstance(value, int) else "wrong-type",
            f"{layer.shown}: repeat: expected a whole number from 0, got {shown(value)}",
            node.span,
            help=whole_help(found),
        )
        return None
    if value > MOST_STEPS:
        told.own.error(
            "too-large",
            f"{layer.shown}: repeat: {value:,} copies",
            node.span,
            help=f"at most {MOST_STEPS:,} layers are planned, copies counted",
        )
        return None
    return value


def _is_wanted(layer: LayerText, scope: Scope, told: Told) -> bool | None:
    node = layer.keys.get("when")
    if node is None:
        return True
    found = substitute(node, scope, told.own)
    if found is None:
        return None
    value = plain(found)
    if not isinstance(value, bool):
        message = f"{layer.shown}: when: expected true or false, got {shown(value)}"
        told.own.error("wrong-type", message, node.span, help=bool_help(value))
        return None
    return value


def too_many(layer: LayerText, told: Told) -> None:
    """Tells that the bound on a network's size is passed."""
    help = f"at most {MOST_STEPS:,} are planned, copies and what a share runs again counted"
    told.own.error("too-large", f"more than {MOST_STEPS:,} layers", layer.span, help=help)


def as_block(layer: LayerText, copies: Copies, make: MakeCopy, told: Told) -> Made:
    """The copies in a module of their own, whose inputs are all that they read."""
    inner, names, refs = _inside(copies)
    steps: list[Step] = []
    found, size, failed = inner.wires, 1, False
    feed = inner.wires.all[0].feed
    for index, scope in inner.each():
        if inner.wanted[index]:
            made = make(index, scope, found, steps, told)
            size += made.size
            failed = failed or made.step is None
            steps += [made.step] if made.step else []
            feed = Feed(f"{layer.name}.{index}", Ref(str(index)), made.value, layer.span)
            if size > MOST_STEPS:
                if made.size <= MOST_STEPS:  # a larger one has told so itself
                    too_many(layer, told)
                return Made(None, UNKNOWN, size)
        else:
            feed = inner.other or feed
        found = inner.after(index, found, feed, layer, told)
    if failed or isinstance(feed.value, Unknown):
        return Made(None, feed.value, size)
    body = Block("", names, tuple(steps), feed.ref, layer.span)
    step = Step(layer.name, "block", "", {}, refs, feed.value, layer.span, body=body)
    check_copies(step, layer.keys, told.own)
    return Made(step, feed.value, size)


def _inside(copies: Copies) -> tuple[Copies, tuple[str, ...], tuple[Ref, ...]]:
    """The copies as they read from within: every value from outside through an input of the module."""
    feeds = [wire.feed for wire in copies.wires.all] + ([copies.other] if copies.other else [])
    refs = tuple(dict.fromkeys(feed.ref for feed in feeds))
    names = tuple("input" if number == 0 else f"input{number + 1}" for number in range(len(refs)))
    inner = {ref: Ref(name) for ref, name in zip(refs, names, strict=True)}
    positional = tuple(replace(w, feed=replace(w.feed, ref=inner[w.feed.ref])) for w in copies.wires.positional)
    named = {key: replace(w, feed=replace(w.feed, ref=inner[w.feed.ref])) for key, w in copies.wires.named.items()}
    other = replace(copies.other, ref=inner[copies.other.ref]) if copies.other else None
    return replace(copies, wires=Wires(positional, named), other=other), names, refs
