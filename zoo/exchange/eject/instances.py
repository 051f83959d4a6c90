"""The plan's blocks, one instance for each time a block stands in the network, with what flows into it. Floor 6."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from zoo.graph import Block, Plan, Ref, Step, becomes_sequential
from zoo.graph.plan import Value


@dataclass(eq=False)
class Instance:
    """One block where it stands. ``values`` are the shapes of its inputs and steps; ``call`` is None for the root."""

    path: str
    block: Block
    call: Step | None
    values: dict[str, Value]
    children: dict[str, Instance] = field(default_factory=dict)

    @property
    def definition(self) -> tuple[str, str, bool]:
        """What instances of one block have in common: its name and place in the file.

        The copies of a repeated layer stand in a block at the same place as the one that is repeated.
        """
        holds_copies = all(step.span == self.block.span for step in self.block.steps)
        return self.block.class_name, str(self.block.span), holds_copies

    @property
    def params(self) -> Mapping[str, Any]:
        """The YAML params it was called with."""
        return self.call.arguments if self.call is not None else {}

    @cached_property
    def is_list(self) -> bool:
        """Whether it is an ``nn.Sequential`` whose items have no names but their numbers."""
        names = [step.name for step in self.block.steps]
        return becomes_sequential(self.block) and names == [str(number) for number in range(len(names))]

    @property
    def is_inline(self) -> bool:
        """Whether it is written where it stands, not as a class of its own: a list that has no name."""
        return self.call is not None and self.is_list and not self.block.class_name

    def value(self, ref: Ref) -> Value:
        """The shape of a value in this block."""
        value = self.values[ref.name]
        for pick in ref.picks:
            value = value[pick]  # type: ignore[index]  # a tuple by number, a dict by key
        return value

    @property
    def output(self) -> Value:
        """The shape of what it gives."""
        output = self.block.output
        if isinstance(output, Ref):
            return self.value(output)
        if isinstance(output, Mapping):
            return {name: self.value(ref) for name, ref in output.items()}
        return tuple(self.value(ref) for ref in output)

    def walk(self) -> Iterator[Instance]:
        """This instance and all below it, in forward order."""
        yield self
        for child in self.children.values():
            yield from child.walk()


def instances_of(plan: Plan) -> Instance:
    """The root's instance, with all the others below it."""
    return _open("", plan.root, None, dict(plan.inputs))


def _open(path: str, block: Block, call: Step | None, inputs: Mapping[str, Value]) -> Instance:
    instance = Instance(path, block, call, dict(inputs))
    for step in block.steps:
        if step.body is not None and step.kind == "block":
            given = [instance.value(ref) for ref in step.inputs]
            named = {name: instance.value(ref) for name, ref in step.named_inputs.items()}
            inner = dict(zip(step.body.inputs, given, strict=False)) | named
            instance.children[step.name] = _open(f"{path}{step.name}.", step.body, step, inner)
        instance.values[step.name] = step.output
    return instance
