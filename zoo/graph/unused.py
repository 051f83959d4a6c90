"""Layers that nobody uses. Floor 3."""

from __future__ import annotations

from zoo.diagnostics import Diagnostics
from zoo.graph.plan import Block


def warn_of_unused(block: Block, diagnostics: Diagnostics) -> None:
    """A warning for each step whose value is read by no step and is no output; a shared module is used."""
    used = {ref.name for step in block.steps for ref in step.refs}
    used |= {ref.name for ref in block.output_refs} | {step.share for step in block.steps if step.share}
    for step in block.steps:
        if step.name not in used:
            diagnostics.warning(
                "unused-layer",
                f"nobody uses {step.name}",
                step.span,
                help="name it in a `from` or in `output`, or remove it",
            )
