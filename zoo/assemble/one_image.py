"""Whether a recipe's network takes one image and gives logits, as a training has it. Floor 7.

An architecture by itself may have several inputs and outputs: summary, drawing and ejected source take them.
"""

from __future__ import annotations

from collections.abc import Iterator

from zoo.assemble.networks import Network, architecture_of
from zoo.assemble.resolve import Resolved
from zoo.diagnostics import Diagnostics, Note, Span, counted
from zoo.document import Mapping
from zoo.graph import Plan
from zoo.graph.plan import Ref, TensorSpec, Value
from zoo.models.catalogue import read_architecture
from zoo.registry import listed, unknown


def check_one_image(resolved: Resolved, network: Network, diagnostics: Diagnostics) -> None:
    """Tells of a network that no data set fits, and of auxiliary outputs that it does not have."""
    written = resolved.section("loss").get("auxiliary")
    if isinstance(written, Mapping) and len(written):
        _check_auxiliary(resolved, network, written, diagnostics)
    elif network.plan is not None:
        _check_output(resolved, network.plan, diagnostics)
    if network.plan is not None and len(network.plan.inputs) > 1:
        plan = network.plan
        names, line = listed(plan.inputs, "and"), _line_of(resolved, "input")
        diagnostics.error(
            "several-inputs",
            f"{plan.name} takes {len(plan.inputs)} inputs, {names}; a recipe's network takes one image",
            _place(resolved),
            notes=[Note("they stand here", line)] if line is not None else [],
            help="leave one input in the architecture; for a training loop of your own, zoo eject writes it as it is",
        )


def _check_output(resolved: Resolved, plan: Plan, diagnostics: Diagnostics) -> None:
    output = plan.output
    if isinstance(output, TensorSpec):
        return
    logits, layer = _logits(plan)
    help = f"write output: {layer}"
    if isinstance(output, dict) and len(set(map(_sizes, output.values()))) == 1:
        others = ", ".join(f"{name}: 0.3" for name in output if name != logits)
        help += f"; or train all of them, in the recipe: loss: {{auxiliary: {{{others}}}}}"
    diagnostics.error(
        "several-outputs",
        f"{plan.name} gives {_described(output)}; a recipe's network gives one: its logits",
        _line_of(resolved, "output") or _place(resolved),
        help=help,
    )


def _check_auxiliary(resolved: Resolved, network: Network, written: Mapping, diagnostics: Diagnostics) -> None:
    """Tells of outputs that there are not, and of those that are trained beside the logits and are none themselves."""
    place = resolved.section("loss").key_span("auxiliary")
    output: Value = network.plan.output if network.plan is not None else None
    if not isinstance(output, dict):
        gives = "one tensor" if network.plan is None or isinstance(output, TensorSpec) else _described(output)
        message = f"auxiliary: {network.name} gives {gives}; auxiliary outputs have names"
        help = "output: {logits: LAYER, NAME: LAYER} in the architecture" if network.plan is not None else None
        diagnostics.error("no-such-output", message, place, help=help)
        return
    strangers = [entry for entry in written if entry.key not in output]
    for entry in strangers:
        diagnostics.add(unknown("output", entry.key, list(output), entry.key_span))
    left = [name for name in output if name not in written]
    if not strangers and len(left) != 1:
        _tell_apart(resolved, network.name, left, place, diagnostics)
    if network.heads is None:
        return
    for entry in written:
        if (sizes := _sizes(output[entry.key])) != (expected := _sizes(network.logits)):
            message = f"auxiliary: {entry.key} is {sizes} for an image, the logits ({network.heads.logits}) {expected}"
            diagnostics.error("shape-mismatch", message, entry.key_span)


def _tell_apart(resolved: Resolved, name: str, left: list[str], place: Span, diagnostics: Diagnostics) -> None:
    """Tells that not one output is left, but none or several."""
    if left:
        message = f"auxiliary leaves {listed(left, 'and')}: one output can be the logits"
        help = "name the others here, or take them out of the architecture's output"
    else:
        message, help = "auxiliary names every output, the logits too", "leave the one out that gives the logits"
    line = _line_of(resolved, "output")
    notes = [Note(f"the outputs of {name}", line)] if line is not None else []
    diagnostics.error("several-outputs", message, place, notes=notes, help=help)


def _place(resolved: Resolved) -> Span | None:
    named = resolved.section("model").get("architecture")
    return named.span if named is not None else None


def _line_of(resolved: Resolved, key: str) -> Span | None:
    """Where the architecture says this; None where it leaves it out."""
    document, _ = read_architecture(architecture_of(resolved), Diagnostics())
    return document.key_span(key) if document is not None and key in document else None


def _sizes(output: Value) -> str:
    """What comes out for an image, as people write it."""
    return str(list(output.shape[1:])) if isinstance(output, TensorSpec) else "no tensor"


def _described(output: Value) -> str:
    if isinstance(output, dict):
        return f"a mapping of {counted(len(output), 'tensor')} ({', '.join(output)})"
    return f"a list of {counted(len(output), 'tensor')}" if isinstance(output, tuple) else "no tensor"


def _logits(plan: Plan) -> tuple[str, str]:
    """The output that looks most like logits, by its name or shape: its key, and the architecture's name for it."""
    parts = list(_parts(plan))
    named = [part for part in parts if part[0] == "logits"]
    flat = [part for part in parts if isinstance(part[2], TensorSpec) and len(part[2].shape) == 2]
    key, layer, _ = [*named, *flat, *parts, ("NAME", "NAME", None)][0]
    return key, layer


def _parts(plan: Plan) -> Iterator[tuple[str, str, Value]]:
    """Every output: its key or number, the architecture's name for it, and what it is."""
    written, output = plan.root.output, plan.output
    if not isinstance(output, tuple | dict):
        return
    values = output if isinstance(output, dict) else dict(enumerate(output))
    refs = plan.root.output_refs
    if isinstance(written, Ref):  # one layer gives them all
        refs = tuple(Ref(written.name, (*written.picks, key)) for key in values)
    for ref, (key, value) in zip(refs, values.items(), strict=True):
        yield str(key), ".".join(map(str, (ref.name, *ref.picks))), value
