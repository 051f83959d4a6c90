"""Which layer made a map smaller: the way out of most mismatches. Floor 3."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from zoo.graph.plan import Step, TensorSpec, Value
from zoo.graph.values import Feed, MaybeValue

_RESIZES = re.compile(r"(?i)conv|pool|interpolate|upsampl|shuffle|pad")  # of other ops, four sizes are no map's


@dataclass(frozen=True, slots=True)
class Resizing:
    """A leaf step whose map has another size than what came in."""

    step: Step
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def verb(self) -> str:
        """``halves the map``."""
        if all(
            after in (before // 2, (before + 1) // 2) for before, after in zip(self.before, self.after, strict=True)
        ):
            return "halves the map"
        verb = "enlarges" if self.after > self.before else "shrinks"
        return f"{verb} the map from {_by(self.before)} to {_by(self.after)}"


def where_the_map_changes(
    feed: Feed, steps: Mapping[str, Step], feeds: Mapping[str, Feed], home: str = ""
) -> str | None:
    """``layer1 halves the map at my_net.yaml:19 (MaxPool2d)``: the last step before a value that resizes its map.

    ``home`` stands in front of the step's name: ``layer1.`` where the steps are copies of that layer.
    """
    name: str | None = feed.ref.name
    while name is not None and name in steps:
        step = steps[name]
        source = step.inputs[0].name if step.inputs else None
        before: MaybeValue | Value = None
        if source is not None and (source in steps or source in feeds):
            before = steps[source].output if source in steps else feeds[source].value
        resizings = list(_resizings(step, _map(before)))
        if resizings:
            last = resizings[-1]
            span = last.step.span
            return f"{home}{name} {last.verb} at {span.file}:{span.line} ({last.step.op})"
        name = source
    return None


def _resizings(step: Step, before: tuple[int, ...] | None) -> Iterator[Resizing]:
    """The leaves of a step, in order, that resize the map."""
    if step.body is None:
        after = _map(step.output)
        if before is not None and after is not None and before != after and _RESIZES.search(step.op):
            yield Resizing(step, before, after)
        return
    maps = {step.body.inputs[0]: before}
    for inner in step.body.steps:
        yield from _resizings(inner, maps.get(inner.inputs[0].name) if inner.inputs else None)
        maps[inner.name] = _map(inner.output)


def _map(value: MaybeValue | Value) -> tuple[int, ...] | None:
    return value.shape[2:] if isinstance(value, TensorSpec) and len(value.shape) == 4 else None


def _by(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))
