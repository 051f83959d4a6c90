"""A plan as boxes and arrows: which steps are boxes, and an arrow for every input of every box. Floor 6."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from zoo.diagnostics import counted
from zoo.graph.flow import flow
from zoo.graph.plan import Block, Plan, Step, TensorSpec, Value
from zoo.graph.values import of_a_sample, size_text

Kind = Literal["input", "output", "module", "function", "parameter", "block"]

SHOWN_ARGUMENTS = {
    "out_channels": "",
    "out_features": "",
    "kernel_size": "k=",
    "stride": "s=",
    "groups": "g=",
    "dim": "dim=",
    "output_size": "to ",
    "p": "p=",
}


@dataclass(frozen=True, slots=True)
class Node:
    """One box: the layer's path, what it is, and what comes out of it."""

    id: str
    kind: Kind
    title: str
    subtitle: str = ""
    detail: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """The box's text, a line each."""
        return tuple(line for line in (self.title, self.subtitle, self.detail) if line)


@dataclass(frozen=True, slots=True)
class Edge:
    """One arrow; ``label`` names the output it carries where there are several."""

    source: str
    target: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes in forward order, and arrows between them."""

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def drawing(plan: Plan, *, depth: int = 1) -> Drawing:
    """The boxes and arrows of a plan. Blocks are opened down to ``depth``; deeper ones are one box each."""
    graph = flow(plan, depth=depth)
    nodes = [Node(f"in:{name}", "input", name, "", shape_text(spec)) for name, spec in plan.inputs.items()]
    edges = []
    for node in graph.nodes:
        nodes.append(_box(node.path, node.step))
        edges += [Edge(link.source, node.path, link.label) for link in node.reads]
    nodes.append(Node("out:", "output", "output", "", shape_text(plan.output)))
    edges += [Edge(link.source, "out:", link.label) for link in graph.outputs]
    return Drawing(plan.name, tuple(nodes), tuple(edges))


_KINDS: Mapping[str, Kind] = {
    "module": "module",
    "share": "module",
    "function": "function",
    "block": "block",
    "parameter": "parameter",
    "buffer": "parameter",
}


def _box(path: str, step: Step) -> Node:
    subtitle = _subtitle(step)
    return Node(path, _KINDS[step.kind], path, subtitle if subtitle != path else "", shape_text(step.output))


def _subtitle(step: Step) -> str:
    if step.kind == "share":
        return f"{step.share} again"
    if step.body is not None:
        return step.op or _inside(step.body)
    shown = [f"{mark}{_value(step.arguments[key])}" for key, mark in SHOWN_ARGUMENTS.items() if key in step.arguments]
    return " ".join([step.op, *shown])


def _inside(block: Block) -> str:
    """What an anonymous block holds: ``2 x BasicBlock``, or its steps' number."""
    names = {step.op for step in block.steps}
    if len(names) == 1 and (name := names.pop()):
        return f"{len(block.steps)} x {name}"
    return counted(len(block.steps), "layer")


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "x".join(map(str, value))
    return str(value)


def shape_text(value: Value) -> str:
    """``64 x 32 x 32``; several tensors are set apart by a bar. The batch is left out where it comes first."""
    if isinstance(value, TensorSpec):
        return " x ".join(map(size_text, of_a_sample(value.shape))) or "scalar"
    if value is None:
        return "nothing"
    parts = value.values() if isinstance(value, Mapping) else value
    return " | ".join(map(shape_text, parts))
