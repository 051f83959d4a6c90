"""The plan: an architecture after every question is settled, before anything is built. Floor 3.

Names, repeats, references, order, skipped layers, filled-in arguments and shapes are all decided here; the
module, the summary, the drawing, the ejected source and the diff are views of it. Everything is immutable.

Sizes that grow with the batch are negative: ``-1`` is the batch, ``-4`` four times the batch (windows folded
into it), so the shape of an image batch is ``(-1, 3, 32, 32)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from zoo.diagnostics import Span
from zoo.layers import initialisers


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor's shape (negative sizes: multiples of the batch) and dtype (``float32``)."""

    shape: tuple[int, ...]
    dtype: str = "float32"


Value: TypeAlias = "TensorSpec | tuple[Value, ...] | dict[str, Value] | None"  # None: an output that is None


def specs_in(value: Value) -> Iterator[TensorSpec]:
    """The tensors in a value, in order."""
    if isinstance(value, TensorSpec):
        yield value
    else:
        for item in value.values() if isinstance(value, dict) else value or ():
            yield from specs_in(item)


@dataclass(frozen=True, slots=True)
class Ref:
    """A value inside one block: a block input or an earlier step by name, then picks into its tuple or dict."""

    name: str
    picks: tuple[int | str, ...] = ()


Output: TypeAlias = "Ref | tuple[Ref, ...] | dict[str, Ref]"

StepKind = Literal["module", "function", "parameter", "buffer", "block", "share"]


@dataclass(frozen=True, slots=True)
class Init:
    """An initialiser: its registered name and arguments."""

    name: str
    arguments: Mapping[str, Any]
    span: Span

    @property
    def images_wanted(self) -> int:
        """How many training images it is computed from; 0 where from none."""
        return initialisers[self.name].images_wanted(self.arguments)


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """A parameter or buffer of a leaf step: its name below the step (``weight``), its shape."""

    name: str
    shape: tuple[int, ...]
    is_buffer: bool = False
    trainable: bool = True  # False: frozen, or a buffer
    init: Init | None = None  # None: PyTorch's own
    owner: str = ""  # the class of the module that holds it: Conv2d

    @property
    def images_wanted(self) -> int:
        """How many training images its initialiser is computed from; 0 where from none."""
        return 0 if self.init is None else self.init.images_wanted


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a block's forward.

    ``name`` is unique within the block, and the name of the submodule (or parameter, or buffer). ``arguments``
    are complete and plain (inferred ones filled in). ``inputs`` are the op's first positional arguments, given
    as one list where the op gathers (``cat``); ``named_inputs`` go by keyword; ``call`` are further keywords of
    the forward call.
    """

    name: str
    kind: StepKind
    op: str  # the op's name in the registry, or the block's name in YAML; "" for an anonymous block
    arguments: Mapping[str, Any]
    inputs: tuple[Ref, ...]
    output: Value
    span: Span
    named_inputs: Mapping[str, Ref] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)
    parameters: tuple[ParameterSpec, ...] = ()  # of kinds module, parameter and buffer
    body: Block | None = None  # of kind block
    share: str | None = None  # of kind share: the earlier step of this block whose module runs again
    batch_like: Ref | None = None  # of kinds parameter and buffer: expand dimension 0 to this value's batch

    @property
    def is_tensor(self) -> bool:
        """Whether it is a tensor of the block's own, a parameter or a buffer."""
        return self.kind in ("parameter", "buffer")

    @property
    def is_module(self) -> bool:
        """Whether a submodule of the block stands for it: a layer, or a block within."""
        return self.kind in ("module", "block")

    @property
    def refs(self) -> tuple[Ref, ...]:
        """Every value the step reads."""
        last = () if self.batch_like is None else (self.batch_like,)
        return (*self.inputs, *self.named_inputs.values(), *last)


@dataclass(frozen=True, slots=True)
class Block:
    """A module with a forward of its own, or an ``nn.Sequential`` where it is a plain chain of modules."""

    class_name: str  # the block's name in YAML; "" for an anonymous one
    inputs: tuple[str, ...]  # names that stand for its inputs in refs: ("input",) unless the block names them
    steps: tuple[Step, ...]
    output: Output
    span: Span

    @property
    def is_sequential(self) -> bool:
        """Whether the steps are modules, each of which reads the one before and nothing else."""
        before = Ref(self.inputs[0])
        for step in self.steps:
            if not step.is_module or step.inputs != (before,) or step.named_inputs or step.call:
                return False
            before = Ref(step.name)
        return len(self.inputs) == 1 and self.output == before

    @property
    def output_refs(self) -> tuple[Ref, ...]:
        """The values the block gives, in order."""
        if isinstance(self.output, Ref):
            return (self.output,)
        return tuple(self.output.values() if isinstance(self.output, Mapping) else self.output)

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Step]]:
        """Every step in it and below, depth first in forward order, with its dotted path."""
        for step in self.steps:
            path = f"{prefix}{step.name}"
            yield path, step
            if step.body is not None:
                yield from step.body.walk(f"{path}.")


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole network."""

    name: str
    doc: str
    inputs: Mapping[str, TensorSpec]
    root: Block
    output: Value
    params: Mapping[str, Any]
    source: Mapping[str, Any] = field(default_factory=dict)  # paper, url

    def __deepcopy__(self, memo: object) -> Plan:
        """Itself: nothing of it can change, and a module's copies share it."""
        return self

    def walk(self) -> Iterator[tuple[str, Step]]:
        """Every step, depth first in forward order, with its dotted path (``layer1.0.conv1``)."""
        return self.root.walk()
