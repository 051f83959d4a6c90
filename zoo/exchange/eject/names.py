"""The names at the top of an ejected file: what its imports and functions bring in, and its classes. Floor 6."""

from __future__ import annotations

from collections.abc import Iterable

from zoo.exchange.eject.instances import Instance
from zoo.graph import Plan
from zoo.graph.python_text import bound, class_identifier, imported
from zoo.layers import initialisers, ops


def import_lines(plan: Plan) -> set[str]:
    """Every import that the file could need."""
    lines = {"import torch", "from torch import Tensor", "from torch import nn"}
    for _, step in plan.walk():
        if step.kind in ("module", "function"):
            lines.update(ops[step.op].imports)
    for name in _initialisers(plan):
        lines.update(initialisers[name].imports)
    return lines


def _initialisers(plan: Plan) -> set[str]:
    return {spec.init.name for _, step in plan.walk() for spec in step.parameters if spec.init is not None}


def reserved_names(plan: Plan) -> set[str]:
    """The names that classes and constructor parameters must leave to the file: its imports and initialisers."""
    functions = {initialisers[name].fill.__name__ for name in _initialisers(plan)}
    return functions | {bound(alias) for line in import_lines(plan) for alias in imported(line)}


class ClassNames:
    """Hands out the names of classes. A block's class bears the block's name; the network and what has no name in
    YAML give way. ``taken`` are all names so far, the reserved ones too.
    """

    def __init__(self, root: Instance, root_name: str, reserved: Iterable[str]) -> None:
        self._reserved = frozenset(reserved)
        self.taken = set(reserved)
        self._kept: dict[tuple[str, str, bool], str] = {}  # for the first class of each block that has a name
        for instance in root.walk():
            if instance.block.class_name and instance.definition not in self._kept:
                self._kept[instance.definition] = self._unused(self._stem(instance), "Layer")
        name = class_identifier(root_name)
        self._root = self._unused(f"{name}Net" if name in self.taken else name, "")

    def of(self, instance: Instance, difference: str = "") -> str:
        """A name for a class of this instance's block; ``difference`` tells it from the block's other classes."""
        if instance.call is None:
            return self._root
        if not difference and instance.definition in self._kept:
            return self._kept.pop(instance.definition)
        return self._unused(self._stem(instance) + difference, "Layer")

    def _stem(self, instance: Instance) -> str:
        assert instance.call is not None
        return class_identifier(instance.block.class_name or instance.call.name, prefix="Layer")

    def _unused(self, name: str, ending: str) -> str:
        stem = name + ending if name in self._reserved else name
        unused, number = stem, 2
        while unused in self.taken:
            unused, number = f"{stem}{number}", number + 1
        self.taken.add(unused)
        return unused
