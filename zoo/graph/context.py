"""What the planning of one architecture shares: answers, memory, bounds. Floor 3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from zoo.diagnostics import Diagnostic, Diagnostics, Note, Span
from zoo.graph.params import Declaration, declarations
from zoo.graph.plan import Block
from zoo.graph.shapes import SHAPES, Shapes
from zoo.graph.texts import BlockText
from zoo.graph.values import Feed, MaybeValue, Param

MOST_STEPS = 20_000
MOST_ERRORS = 100  # are told; who has more reads no further
DEEPEST = 32  # blocks within blocks


@dataclass(frozen=True, slots=True)
class Planned:
    """A planned block: None where something in it failed. ``size`` counts its steps, those of inner blocks too."""

    block: Block | None
    output: MaybeValue
    size: int
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One block to plan: its text, its params, what comes in, and the path it stands at (for messages)."""

    text: BlockText
    params: Mapping[str, Param]
    inputs: Mapping[str, Feed]
    path: str  # "" or "layer1.0."

    @property
    def key(self) -> str:
        """The same for blocks with the same plan."""
        values = {name: param.value for name, param in self.params.items()}
        inputs = {name: feed.value for name, feed in self.inputs.items()}
        return f"{id(self.text)}{values!r}{inputs!r}"


PlanBlock: TypeAlias = Callable[[Job], Planned]


@dataclass(slots=True)
class Context:
    """Shared by all blocks of one planning."""

    shapes: Shapes = SHAPES
    _planned: dict[str, Planned] = field(default_factory=dict)
    _declared: dict[int, dict[str, Declaration]] = field(default_factory=dict)

    def declared(self, text: BlockText) -> dict[str, Declaration]:
        """A block's params; what is wrong with them was told when the names were checked."""
        if id(text) not in self._declared:
            self._declared[id(text)] = declarations(text.params, Diagnostics())
        return self._declared[id(text)]

    def remembered(self, job: Job, plan: PlanBlock) -> Planned:
        """Plans a block, or gives the plan of an equal one; errors are told the first time only."""
        key = job.key
        found = self._planned.get(key)
        if found is None:
            found = plan(job)
            self._planned[key] = replace(found, diagnostics=())
        return found


@dataclass(slots=True)
class Told:
    """What was found wrong while one layer was planned: in the layer itself, and inside blocks that it calls."""

    own: Diagnostics = field(default_factory=Diagnostics)
    below: Diagnostics = field(default_factory=Diagnostics)

    def call(self, diagnostics: tuple[Diagnostic, ...], what: str, span: Span) -> None:
        """Takes what was found inside a block, adding who called it."""
        note = Note(f"{what} is called here", span)
        self.below.extend(replace(item, notes=(*item.notes, note)) for item in diagnostics)

    def copy(self, inner: Told, path: str) -> None:
        """Takes what was found in one copy of a repeated layer, adding which."""
        note = Note(f"in {path}")
        self.below.extend(replace(item, notes=(*item.notes, note)) for item in inner.own)
        self.below.extend(inner.below)

    def all(self, path: str, *, inside: bool) -> list[Diagnostic]:
        """Everything, the layer's path noted where its line alone would not tell which copy it is."""
        note = (Note(f"in {path}"),) if inside else ()
        return [*(replace(item, notes=(*item.notes, *note)) for item in self.own), *self.below]
