"""Whether a recipe's network takes one image and gives one tensor, as a training has it. Floor 7.

An architecture by itself may have several inputs and outputs: summary, drawing and ejected source take them.
"""

from __future__ import annotations

from collections.abc import Iterator

from zoo.assemble.networks import architecture_of
from zoo.assemble.resolve import Resolved
from zoo.diagnostics import Diagnostics, Note, Span, counted
from zoo.graph import Plan
from zoo.graph.plan import Ref, TensorSpec, Value
from zoo.models.catalogue import read_architecture
from zoo.registry import listed


def check_one_image(resolved: Resolved, plan: Plan, diagnostics: Diagnostics) -> None:
    """Tells of a network that no data set fits: one with several inputs, or one that gives several tensors."""
    named = resolved.section("model").get("architecture")
    place = named.span if named is not None else None
    if len(plan.inputs) > 1:
        names, line = listed(plan.inputs, "and"), _line_of(resolved, "input")
        diagnostics.error(
            "several-inputs",
            f"{plan.name} takes {len(plan.inputs)} inputs, {names}; a recipe's network takes one image",
            place,
            notes=[Note("they stand here", line)] if line is not None else [],
            help="leave one input in the architecture; for a training loop of your own, zoo eject writes it as it is",
        )
    if not isinstance(plan.output, TensorSpec):
        diagnostics.error(
            "several-outputs",
            f"{plan.name} gives {_described(plan.output)}; a recipe's network gives one: its logits",
            _line_of(resolved, "output") or place,
            help=f"write output: {_logits(plan)}",
        )


def _line_of(resolved: Resolved, key: str) -> Span | None:
    """Where the architecture says this; None where it leaves it out."""
    document, _ = read_architecture(architecture_of(resolved), Diagnostics())
    return document.key_span(key) if document is not None and key in document else None


def _described(output: Value) -> str:
    if isinstance(output, dict):
        return f"a mapping of {counted(len(output), 'tensor')} ({', '.join(output)})"
    return f"a list of {counted(len(output), 'tensor')}" if isinstance(output, tuple) else "no tensor"


def _logits(plan: Plan) -> str:
    """The output that looks most like logits, by the name that the architecture has for it."""
    parts = list(_parts(plan))
    flat = (name for name, value in parts if isinstance(value, TensorSpec) and len(value.shape) == 2)
    return next(flat, parts[0][0] if parts else "NAME")


def _parts(plan: Plan) -> Iterator[tuple[str, Value]]:
    written, output = plan.root.output, plan.output
    if not isinstance(output, tuple | dict):
        return
    values = output if isinstance(output, dict) else dict(enumerate(output))
    refs = plan.root.output_refs
    if isinstance(written, Ref):  # one layer gives them all
        refs = tuple(Ref(written.name, (*written.picks, key)) for key in values)
    for ref, value in zip(refs, values.values(), strict=True):
        yield ".".join(map(str, (ref.name, *ref.picks))), value
