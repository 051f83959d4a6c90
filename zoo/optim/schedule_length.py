"""Whether a schedule fits the length of its training: what is cut short, stands still or climbs again. Floor 2."""

from __future__ import annotations

from dataclasses import replace

from zoo.diagnostics import Diagnostics, counted
from zoo.optim.schedules import ScheduleSpec
from zoo.registry import listed


def check_length(
    spec: ScheduleSpec, epochs: float, diagnostics: Diagnostics, *, is_of_group: bool, steps: int | None = None
) -> None:
    """Tells what does not fit a training of this many epochs; a group may well stand still before its end.

    ``steps`` are the training's; where they are not known, what a schedule counts in steps is not judged.
    """
    if spec.peak_epoch is not None and spec.peak_epoch > epochs:
        diagnostics.error(
            "peak-outside-training",
            f"{spec.name}: peak_epoch {spec.peak_epoch:g} lies outside the training of {epochs:g} epochs",
            spec.node.value_span("peak_epoch"),
            help=f"choose one between 0 and {epochs:g}, or train for longer",
        )
    if spec.entry.traits.has_corners:
        _check_corners(spec, epochs, diagnostics, may_stand_still=is_of_group)
    if spec.interval == "epoch" or steps is not None:
        _check_counts(spec, spec.count(steps or 0, epochs), diagnostics, may_stand_still=is_of_group)


def _check_corners(spec: ScheduleSpec, epochs: float, diagnostics: Diagnostics, *, may_stand_still: bool) -> None:
    """Tells of corners that were drawn for another training: this one would end, or stand, far from the last."""
    last = float(spec.arguments["epochs"][-1])
    stands = last < epochs and spec.arguments["factors"][-1] == 0 and not may_stand_still
    if last <= epochs and not stands:
        return
    code, message, help = (
        (
            "schedule-ends-early",
            f"the rate is 0 from epoch {last:g} on, the training has {epochs:g}",
            f"end at {epochs:g}; to freeze parameters for good, give them a group with `freeze`",
        )
        if stands
        else (
            "schedule-cut-short",
            f"the last corner is at epoch {last:g}, the training ends after {epochs:g}",
            f"end at {epochs:g}, where the rate should be what the last factor says",
        )
    )
    diagnostics.warning(code, f"{spec.name}: {message}", spec.node.value_span("epochs"), help=help)


def _check_counts(spec: ScheduleSpec, count: int, diagnostics: Diagnostics, *, may_stand_still: bool) -> None:
    """Tells of counts that were written for another training than one of so many values of the rate.

    Each stretch of a sequence is a training of its own to the schedule that stands there.
    """
    if _tell_unreached(spec, count, diagnostics):
        return
    _check_total(spec, count, diagnostics, may_stand_still=may_stand_still)
    for child, stretch in zip(spec.children, spec.stretches(count), strict=True):
        clocked = replace(child, interval=spec.interval)
        if stretch == 1 and spec.interval == "epoch" and spec.entry.traits.nests == "in turn" and child.climbs:
            diagnostics.warning(
                "schedule-stands",
                f"{child.name}: its stretch is one epoch, and the rate moves once an epoch: it never leaves its start",
                child.node.span,
                help=f"{spec.name} with interval: step, its milestones in steps, moves it with every step",
            )
        _check_counts(clocked, stretch, diagnostics, may_stand_still=may_stand_still)


def _tell_unreached(spec: ScheduleSpec, count: int, diagnostics: Diagnostics) -> bool:
    """Warns of counts at which the rate would change, had the training not ended; whether there are any."""
    key = spec.entry.traits.acts_at
    written = spec.arguments.get(key, []) if key is not None else []
    late = [str(at) for at in (written if isinstance(written, list) else [written]) if at >= count]
    if key is None or not late:
        return False
    are = "is" if len(late) == 1 else "are"
    steps = "; interval: step counts steps" if spec.interval == "epoch" else ""
    diagnostics.warning(
        "schedule-cut-short",
        f"{spec.name}: {key} {listed(late, 'and')} {are} never reached in {counted(count, spec.interval)}",
        spec.node.value_span(key),
        help=f"stay below {count}{steps}",
    )
    return True


def _check_total(spec: ScheduleSpec, count: int, diagnostics: Diagnostics, *, may_stand_still: bool) -> None:
    """Warns of a total that is given and not the training's: the rate goes on behind it, or does not come so far."""
    traits = spec.entry.traits
    total = spec.arguments.get(traits.total) if traits.total is not None else None
    if total is None or traits.after_total is None:
        return
    length = counted(count, spec.interval)
    if total < count - 1 and not may_stand_still:
        code, message = "schedule-ends-early", f"after {traits.total} {total} of {length} the rate {traits.after_total}"
    elif total > count and traits.cycles:
        code, message = "schedule-cut-short", f"{traits.total} {total} is cut short by the training of {length}"
    else:
        return
    diagnostics.warning(
        code,
        f"{spec.name}: {message}",
        spec.node.value_span(traits.total or ""),
        help=f"leave {traits.total} out, and it is worked out",
    )
