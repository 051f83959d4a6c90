"""Initialisers that are computed from training images: whose layer must see those images. Floor 3."""

from __future__ import annotations

from zoo.diagnostics import Diagnostics, counted
from zoo.graph.flow import FlowNode, flow
from zoo.graph.plan import ParameterSpec, Plan


def check_images_reach(plan: Plan, diagnostics: Diagnostics) -> None:
    """Tells of filters that are to be made from the training images and do not meet those images in the network."""
    specs = [spec for _, step in plan.walk() for spec in step.parameters]
    if not any(spec.images_wanted for spec in specs):
        return
    for node in flow(plan).nodes:
        for spec in node.step.parameters:
            fault = _fault(plan, node, spec) if spec.images_wanted else None
            if fault is not None and spec.init is not None:
                message = f"{node.path}: {spec.init.name} is made from the training images: {fault}"
                diagnostics.error("bad-value", message, spec.init.span)


def _fault(plan: Plan, node: FlowNode, spec: ParameterSpec) -> str | None:
    source = node.reads[0].source if node.reads else ""
    if not source.startswith("in:"):
        return "the layer must read the network's input"
    images = plan.inputs[source.removeprefix("in:")].shape
    if len(images) != len(spec.shape) or images[1] != spec.shape[1]:
        return f"its filters take {counted(spec.shape[1], 'channel')} at a time, the images are {list(images[1:])}"
    if any(side > there for side, there in zip(spec.shape[2:], images[2:], strict=True)):
        return f"its filters are {list(spec.shape[2:])}, the images {list(images[2:])}"
    return None
