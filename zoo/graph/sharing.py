"""``share``: a module that runs again. Floor 3."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from zoo.diagnostics import Diagnostics, Note
from zoo.document import Scalar
from zoo.graph.arguments import call_keywords
from zoo.graph.context import Told
from zoo.graph.plan import Step
from zoo.graph.slips import refuse_call
from zoo.graph.steps import FAILED, Made
from zoo.graph.texts import LayerText
from zoo.graph.values import Feed, Scope, shown
from zoo.graph.wiring import Wires, look_up, reference_text
from zoo.layers import ops


def shared(node: Scalar, scope: Scope, diagnostics: Diagnostics) -> Feed:
    """What a `share` names: a layer beside it, nothing inside one."""
    own = Diagnostics()
    feed = look_up(node, scope, own)
    name = reference_text(node).partition(".")[0]
    for item in own:
        help = f"share: {name} runs all of {name}; a layer inside it is shared inside it alone"
        diagnostics.add(replace(item, help=help) if item.help is None and name in scope.feeds else item)
    return feed


def share_step(
    layer: LayerText, name: str, original: Step, again: Made, found: Wires, scope: Scope, told: Told
) -> Made:
    """The step that runs an earlier step's module; ``again`` is that step as it would be made for these inputs."""
    assert layer.share is not None
    if not original.is_module:
        told.own.error(
            "bad-share",
            f"{original.name} is a {original.kind}, it has no module to share",
            layer.share.span,
            help=f"write op: {original.op}",
        )
        return FAILED
    if original.kind == "block" and refuse_call(layer.keys, told.own):
        return FAILED
    if again.step is None:
        return FAILED
    if not same_module(original, again.step):
        _does_not_fit(layer, original, found, scope, told)
        return FAILED
    op = ops.get(original.op) if original.kind == "module" else None
    call = call_keywords(op, layer.keys.get("call"), scope, told.own) if op else {}
    step = Step(
        name,
        "share",
        original.op,
        {},
        again.step.inputs,
        again.step.output,
        layer.span,
        again.step.named_inputs,
        call or {},
        share=original.name,
    )
    return Made(step, again.step.output, again.size)  # it runs as often as the original


def _does_not_fit(layer: LayerText, original: Step, found: Wires, scope: Scope, told: Told) -> None:
    """Tells what the module was made for, and what comes in here."""
    assert layer.share is not None
    ref = next(iter(original.inputs), None)
    before = scope.feeds.get(ref.name) if ref is not None else None
    for pick in ref.picks if ref is not None and before is not None else ():
        before = before.pick(pick) if before is not None else None
    shapes = [(what, feed) for what, feed in (("made for", before), ("given", found.first)) if feed is not None]
    texts = [f"{what} {feed.name}, {shown(feed.value)}" for what, feed in shapes]
    told.own.error(
        "shape-mismatch",
        f"the module of {original.name} does not fit here: {', here '.join(texts)}",
        layer.share.span,
        notes=[Note(f"{feed.name} is {shown(feed.value)}", feed.span) for _, feed in shapes],
        help="a shared module gets inputs with the same channels each time",
    )


def failed_share(layer: LayerText, told: Told, name: str, inputs: Collection[str], is_skipped: bool) -> Made:
    """Tells why there is no module to share: the name is an input's, or its layer is skipped; or it was told before."""
    assert layer.share is not None
    if told.own.errors:
        return FAILED
    if name in inputs:
        told.own.error("bad-share", f"{name} is an input, it has no module to share", layer.share.span)
    elif is_skipped:
        told.own.error("bad-share", f"{name} is skipped here, it has no module to share", layer.share.span)
    return FAILED


def same_module(one: Step, other: Step) -> bool:
    """Whether two steps would be built alike."""
    if (one.kind, one.op, one.arguments, one.parameters) != (other.kind, other.op, other.arguments, other.parameters):
        return False
    if one.body is None or other.body is None:
        return one.body is other.body
    pairs = list(zip(one.body.steps, other.body.steps, strict=False))
    return len(one.body.steps) == len(other.body.steps) and all(
        a.name == b.name and a.inputs == b.inputs and same_module(a, b) for a, b in pairs
    )
