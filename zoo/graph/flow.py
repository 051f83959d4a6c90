"""A plan's blocks opened into one flat graph: who feeds whom, across block borders. Floor 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zoo.graph.plan import Block, Plan, Ref, Step


@dataclass(frozen=True, slots=True)
class Link:
    """A value on its way: the node it comes from, and which of that node's outputs (``"0"``, ``"key"``; or all)."""

    source: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class FlowNode:
    """A step that is not opened, by its dotted path, and what it reads, in the order of its arguments."""

    path: str
    step: Step
    reads: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """Nodes in forward order. A link's source is a node's path or ``in:NAME`` for an input of the network."""

    nodes: tuple[FlowNode, ...]
    outputs: tuple[Link, ...]

    def readers(self) -> dict[str, list[FlowNode]]:
        """For each source, the nodes that read it."""
        found: dict[str, list[FlowNode]] = {}
        for node in self.nodes:
            for link in node.reads:
                found.setdefault(link.source, []).append(node)
        return found


def flow(plan: Plan, *, depth: int | None = None) -> Flow:
    """Opens blocks down to ``depth`` levels (all of them where it is None); deeper blocks are one node each."""
    scope = {name: _Port(f"in:{name}") for name in plan.inputs}
    nodes: list[FlowNode] = []
    output = _open(nodes, plan.root, scope, "", 1, depth)
    return Flow(tuple(nodes), tuple(output.links()))


@dataclass(frozen=True, slots=True)
class _Port:
    """Where a value comes from: one node (and which of its outputs), or a tuple or dict of such values."""

    source: str = ""
    label: str = ""
    parts: Mapping[int | str, _Port] | None = None

    def pick(self, part: int | str) -> _Port:
        if self.parts is not None:
            return self.parts[part]
        return _Port(self.source, f"{self.label}.{part}".lstrip("."))

    def links(self) -> list[Link]:
        if self.parts is None:
            return [Link(self.source, self.label)]
        return [link for part in self.parts.values() for link in part.links()]


def _resolve(ref: Ref, scope: Mapping[str, _Port]) -> _Port:
    port = scope[ref.name]
    for part in ref.picks:
        port = port.pick(part)
    return port


def _open(
    nodes: list[FlowNode], block: Block, scope: dict[str, _Port], prefix: str, level: int, depth: int | None
) -> _Port:
    for step in block.steps:
        path = f"{prefix}{step.name}"
        sources = [_resolve(ref, scope) for ref in (*step.inputs, *step.named_inputs.values())]
        if step.body is not None and (depth is None or level < depth):
            inner = dict(zip(step.body.inputs, sources, strict=True))
            scope[step.name] = _open(nodes, step.body, inner, f"{path}.", level + 1, depth)
            continue
        if step.batch_like is not None:
            sources.append(_resolve(step.batch_like, scope))
        nodes.append(FlowNode(path, step, tuple(link for port in sources for link in port.links())))
        scope[step.name] = _Port(path)
    if isinstance(block.output, Ref):
        return _resolve(block.output, scope)
    if isinstance(block.output, Mapping):
        return _Port(parts={key: _resolve(ref, scope) for key, ref in block.output.items()})
    return _Port(parts=dict(enumerate(_resolve(ref, scope) for ref in block.output)))
