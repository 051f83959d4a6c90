"""An instance split into its form and its constants. Instances of one form are written as one class. Floor 6.

A form is plain nested tuples in which every constant is a :class:`Slot`, so two instances that differ in numbers
alone have equal forms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from zoo.exchange.eject.instances import Instance
from zoo.exchange.eject.runs import Item, increments, run_length
from zoo.graph import Ref, Step
from zoo.graph.plan import Output, TensorSpec
from zoo.graph.python_text import literal
from zoo.layers import ops


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a constant: the step it belongs to, and its number there."""

    step: str
    number: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant: its value and its argument's name. In a forward (``is_read``), also the shape of the first input,
    and, in a list, its place from the end (-1: the last).
    """

    value: Any
    name: str
    is_read: bool = False
    shape: tuple[int, ...] | None = None
    from_end: int = 0


@dataclass(frozen=True, slots=True)
class Construct:
    """``nn.Conv2d(…)`` or ``Block(…)``: an op's name or a class's key, and its arguments."""

    target: Any
    arguments: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Run:
    """``count`` like modules in a row. ``growing`` pairs slots of the item with those of their increments."""

    item: Any
    count: Slot
    growing: tuple[tuple[Slot, Slot], ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """``nn.Sequential`` written in place."""

    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A list or tuple that holds constants."""

    items: tuple[Any, ...]
    is_tuple: bool


@dataclass(frozen=True, slots=True)
class Fixed:
    """A value that is part of the form, as Python text."""

    text: str


@dataclass(frozen=True, slots=True)
class StepForm:
    """One step: how it is called, and what it builds."""

    kind: str
    op: str
    inputs: tuple[Ref, ...]
    named_inputs: tuple[tuple[str, Ref], ...]
    batch_like: Ref | None
    share: str | None
    built: Any  # Construct, Chain, or the arguments of a function
    keywords: Any


@dataclass(frozen=True)
class Form:
    """A block's form: equal for all instances that one class can stand for."""

    inputs: tuple[str, ...]
    steps: tuple[tuple[str, Any], ...]  # name and StepForm; of a list, one Chain without a name
    output: tuple[Any, ...]


@dataclass
class Described:
    """An instance as a form and its constants."""

    instance: Instance
    form: Form
    constants: dict[Slot, Constant] = field(default_factory=dict)


class Solved(Protocol):
    """What is known of the classes of the blocks below: an instance's class and its constructor arguments."""

    def __call__(self, instance: Instance) -> tuple[Any, Mapping[str, Any]]:
        """Both."""


def describe(instance: Instance, solved: Solved) -> Described:
    """Splits an instance into form and constants. Blocks below it must be solved already."""
    constants: dict[Slot, Constant] = {}
    steps: tuple[tuple[str, Any], ...]
    if instance.is_list:
        steps = (("", _Collector("", constants, solved).chain(instance)),)
    else:
        steps = tuple(
            (step.name, _Collector(step.name, constants, solved).form(instance, step)) for step in instance.block.steps
        )
    form = Form(instance.block.inputs, steps, () if instance.is_list else _output_form(instance.block.output))
    return Described(instance, form, constants)


def _output_form(output: Output) -> tuple[Any, ...]:
    if isinstance(output, Ref):
        return "one", output
    if isinstance(output, Mapping):
        return "dict", tuple(output.items())
    return "tuple", tuple(output)


class _Collector:
    """Collects one step's constants, numbering them in order."""

    def __init__(
        self, name: str, constants: dict[Slot, Constant], solved: Solved, known: dict[Instance, Item] | None = None
    ) -> None:
        self._name = name
        self._constants = constants
        self._solved = solved
        self._known = {} if known is None else known  # lists in lists: each is taken apart once, however deep it lies
        self._count = 0
        self._is_read = False
        self._shape: tuple[int, ...] | None = None

    def form(self, instance: Instance, step: Step) -> StepForm:
        """A step's form."""
        built: Any = None
        if step.is_module:
            built = self._module(step, instance.children.get(step.name))
        first = instance.value(step.inputs[0]) if step.inputs else None
        self._is_read, self._shape = step.kind == "function", first.shape if isinstance(first, TensorSpec) else None
        if step.kind in ("function", "parameter", "buffer"):
            built = self._arguments(step.arguments)
        self._is_read = True
        return StepForm(
            kind=step.kind,
            op=step.op if step.kind != "block" else "",
            inputs=step.inputs,
            named_inputs=tuple(step.named_inputs.items()),
            batch_like=step.batch_like,
            share=step.share,
            built=built,
            keywords=self._arguments(step.call),
        )

    def chain(self, chain: Instance) -> Chain:
        """A list of modules, like ones in a row gathered."""
        steps = chain.block.steps
        items = [self._apart(step, chain.children.get(step.name)) for step in steps]
        runs: list[Run] = []
        start = 0
        while start < len(steps):
            length = run_length(items[start:])
            runs.append(self._run(steps[start], chain, items[start : start + length]))
            start += length
        return Chain(tuple(runs))

    def _apart(self, step: Step, child: Instance | None) -> Item:
        """An item's form and constants, numbered for themselves."""
        if child is not None and child in self._known:
            return self._known[child]
        constants: dict[Slot, Constant] = {}
        form = _Collector(self._name, constants, self._solved, self._known)._module(step, child)
        item = form, [constant.value for constant in constants.values()]
        if child is not None:
            self._known[child] = item
        return item

    def _run(self, step: Step, chain: Instance, items: Sequence[Item]) -> Run:
        offset = self._count
        form = self._module(step, chain.children.get(step.name))
        growing = []
        for index, increment in enumerate(increments(items)):
            if increment:
                slot = Slot(self._name, offset + index)
                growing.append((slot, self._take(increment, f"{self._constants[slot].name}_step")))
        return Run(form, self._take(len(items), "depth"), tuple(growing))

    def _module(self, step: Step, child: Instance | None) -> Construct | Chain:
        if child is None:
            op = ops[step.op]
            given = self._arguments(op.complete(step.arguments), op.decisive)
            return Construct(step.op, given)
        if child.is_inline:
            return self.chain(child)
        cls, arguments = self._solved(child)
        return Construct(cls, self._arguments(arguments))

    def _arguments(self, arguments: Mapping[str, Any], fixed: Sequence[str] = ()) -> tuple[tuple[str, Any], ...]:
        return tuple(
            (name, Fixed(literal(value)) if name in fixed else self._value(value, name))
            for name, value in arguments.items()
        )

    def _value(self, value: Any, name: str, from_end: int = 0) -> Any:
        if isinstance(value, list | tuple):
            items = (self._value(item, f"{name}_{i}", i - len(value)) for i, item in enumerate(value))
            return Items(tuple(items), isinstance(value, tuple))
        return self._take(value, name, from_end)

    def _take(self, value: Any, name: str, from_end: int = 0) -> Slot:
        slot = Slot(self._name, self._count)
        self._count += 1
        self._constants[slot] = Constant(value, name, self._is_read, self._shape, from_end)
        return slot
