"""Reads a schedule: its name, its arguments, its unit of time. Floor 2."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

from zoo.diagnostics import Diagnostics
from zoo.document import Mapping, Node, Scalar, Sequence
from zoo.optim.models import schedule_model
from zoo.optim.parse_parts import FindMark, named, take_find
from zoo.optim.schedules import REFUSED, Interval, ScheduleEntry, ScheduleSpec, schedules
from zoo.schema import given, validate

_OWN_KEYS = ("name", "interval", "peak_epoch", "annihilation", "metric", "schedulers")


def parse_schedule(
    node: Node, diagnostics: Diagnostics, *, what: str = "schedule", is_child: bool = False
) -> tuple[ScheduleSpec | None, FindMark | None]:
    """The schedule and, where its `max_lr` is to be found, the mark of that; None after errors were told."""
    mapping = named(node, what, diagnostics)
    entry = _entry(mapping, diagnostics, what=what, is_child=is_child) if mapping is not None else None
    if mapping is None or entry is None:
        return None, None
    mapping, mark = take_find(mapping, "max_lr", diagnostics, what=entry.name)
    arguments = validate(schedule_model(entry), mapping, diagnostics, what=entry.name)
    if arguments is None:
        return None, mark
    values = given(arguments)
    _tell_contradictions(entry, mapping, values, diagnostics, is_child=is_child)
    children = _children(mapping.get("schedulers"), values, diagnostics, what=entry.name)
    own = {key: value for key, value in values.items() if key not in _OWN_KEYS and value is not None}
    if not values.get("annihilation", True):
        own["final_div_factor"] = 1.0
    if entry.traits.watches:
        own["mode"] = _mode(values)
    spec = ScheduleSpec(
        entry,
        own,
        _interval(entry, values),
        mapping,
        peak_epoch=values.get("peak_epoch"),
        metric=values.get("metric", "loss") if entry.traits.watches else None,
        children=children,
    )
    return spec, mark


def _entry(mapping: Mapping, diagnostics: Diagnostics, *, what: str, is_child: bool) -> ScheduleEntry | None:
    node = mapping.get("name")
    assert isinstance(node, Scalar)
    name = str(node.value)
    entry = schedules.get(name)
    if name in REFUSED:
        diagnostics.error("unknown-schedule", f"{what} {name!r} cannot be used here: {REFUSED[name]}", node.span)
    elif entry is None:
        diagnostics.add(schedules.unknown(name, node.span))
    elif is_child and entry.traits.stands_alone:
        diagnostics.error("unknown-schedule", f"{what}: {name} cannot stand inside another schedule", node.span)
        return None
    return entry


def _interval(entry: ScheduleEntry, values: dict[str, Any]) -> Interval:
    if "interval" in values:
        given_interval: Interval = values["interval"]
        return given_interval
    total = entry.traits.total
    is_worked_out = total is not None and values.get(total) is None
    return "step" if entry.traits.by_step or is_worked_out else "epoch"


def _mode(values: dict[str, Any]) -> Literal["min", "max"]:
    """Which way the figure that is watched gets better."""
    return "max" if values.get("metric", "loss").endswith("accuracy") else "min"


def _tell_contradictions(
    entry: ScheduleEntry, mapping: Mapping, values: dict[str, Any], diagnostics: Diagnostics, *, is_child: bool
) -> None:
    def tell(key: str, message: str, help: str | None = None) -> None:
        node = mapping.get(key)
        assert node is not None
        diagnostics.error("bad-value", f"{entry.name}: {message}", node.span, help=help)

    if values.get("peak_epoch") is not None and "pct_start" in values:
        tell("pct_start", "peak_epoch and pct_start say the same thing", "keep one of them")
    if values.get("peak_epoch") is not None and values.get("total_steps") is not None:
        message = "it counts epochs of the whole training, and total_steps gives the cycle a length of its own"
        tell("peak_epoch", message, "pct_start says where in the cycle the peak is")
    if values.get("annihilation") is False and "final_div_factor" in values:
        tell("final_div_factor", "annihilation: false means final_div_factor: 1", "keep one of them")
    if entry.traits.watches and values.get("interval") == "step":
        tell("interval", "it watches a figure that is taken once an epoch", "leave interval out")
    if entry.traits.watches and values.get("mode") not in (None, _mode(values)):
        tell("mode", f"{values.get('metric', 'loss')} gets better towards its {_mode(values)}", "leave mode out")
    if is_child and "interval" in values:
        tell("interval", "it goes by the interval of the schedule around it", "leave interval out here")
    drawn = next((name for name in _child_names(mapping.get("schedulers")) if _has_corners(name)), None)
    if entry.traits.nests == "at once" and drawn is not None:
        message = f"{drawn} sets the rate whatever the others made of it"
        tell("schedulers", message, "SequentialLR has them one after another")
    if entry.traits.nests == "in turn" and any(late <= early for early, late in pairwise([0, *values["milestones"]])):
        tell("milestones", "each milestone comes after the one before it, the first after 0")
    if entry.traits.nests == "in turn" and len(values["milestones"]) != len(values["schedulers"]) - 1:
        tell("milestones", f"{len(values['schedulers'])} schedulers need {len(values['schedulers']) - 1} milestones")


def _has_corners(name: object) -> bool:
    entry = schedules.get(str(name))
    return entry is not None and entry.traits.has_corners


def _child_names(node: Node | None) -> set[object]:
    items = node.items if isinstance(node, Sequence) else ()
    names = [item.get("name") if isinstance(item, Mapping) else item for item in items]
    return {name.value for name in names if isinstance(name, Scalar)}


def _children(
    node: Node | None, values: dict[str, Any], diagnostics: Diagnostics, *, what: str
) -> tuple[ScheduleSpec, ...]:
    if not isinstance(node, Sequence):
        return ()
    found = [
        parse_schedule(item, diagnostics, what=f"{what}: schedulers[{index}]", is_child=True)[0]
        for index, item in enumerate(node)
    ]
    return tuple(child for child in found if child is not None)
