"""Layers that nobody uses. Floor 3."""

from __future__ import annotations

from collections.abc import Iterator

from zoo.diagnostics import Diagnostics
from zoo.graph.plan import Block, Ref, Step


def warn_of_unused(block: Block, diagnostics: Diagnostics) -> None:
    """A warning for each step whose value is read by no step and is no output; a shared module is used."""
    used = {ref.name for step in block.steps for ref in refs_of(step)}
    used |= {ref.name for ref in output_refs(block)} | {step.share for step in block.steps if step.share}
    for step in block.steps:
        if step.name not in used:
            diagnostics.warning(
                "unused-layer",
                f"nobody uses {step.name}",
                step.span,
                help="name it in a `from` or in `output`, or remove it",
            )


def refs_of(step: Step) -> Iterator[Ref]:
    """Every value a step reads."""
    yield from step.inputs
    yield from step.named_inputs.values()
    if step.batch_like is not None:
        yield step.batch_like


def output_refs(block: Block) -> tuple[Ref, ...]:
    """The values a block gives."""
    output = block.output
    if isinstance(output, Ref):
        return (output,)
    return tuple(output.values()) if isinstance(output, dict) else output
