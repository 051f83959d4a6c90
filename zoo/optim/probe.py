"""Builds each optimizer and schedule once on a small tensor: what torch refuses is told at its place. Floor 2.

Schedules are walked too: some that torch builds fail at a step, which would be in the midst of a training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer

from zoo.diagnostics import Diagnostics, Span
from zoo.optim.build import new_optimizer, torch_group
from zoo.optim.catalogue import optimizers
from zoo.optim.running import GroupsView, RunningSchedule
from zoo.optim.schedules import ScheduleSpec
from zoo.optim.spec import GroupSpec, OptimizerSpec

_REFUSALS = (ValueError, TypeError, RuntimeError, AssertionError, ArithmeticError)
_POINTLESS = {  # torch takes them, and fails in the first step
    "differentiable": "gradients of the optimizer's own steps: a training has none",
    "capturable": "CUDA graphs, and no training captures one; on a CPU it fails",
}
_EPOCHS, _COUNT = 100.0, 1000  # of the training that a schedule is tried on
_MOST = 10_000  # steps of a longer one, for a schedule that counts beyond that


def probe(spec: OptimizerSpec, diagnostics: Diagnostics) -> None:
    """Tells what the optimizer, its groups and its schedules do not accept."""
    pointless = next((key for key in _POINTLESS if spec.arguments.get(key)), None)
    if pointless is not None:
        message = f"{spec.name}: {pointless} is for {_POINTLESS[pointless]}"
        diagnostics.error("bad-value", message, spec.node.value_span(pointless), help="leave it out")
        return
    optimizer = _try_optimizer(spec, diagnostics)
    if optimizer is None:
        return
    for group in spec.groups:
        _try_group(spec, group, optimizer, diagnostics)
    schedules = [spec.schedule, *(group.schedule for group in spec.groups)]
    for schedule in {id(one): one for one in schedules if one is not None}.values():
        _try_schedule(spec, schedule, diagnostics)


def _try_optimizer(spec: OptimizerSpec, diagnostics: Diagnostics) -> Optimizer | None:
    def make(arguments: dict[str, Any]) -> Optimizer:
        return new_optimizer(spec.entry, [{"params": [_small()]}], arguments)[0]

    try:
        return make(spec.arguments)
    except _REFUSALS as refusal:
        culprit = _culprit(make, spec.arguments)
        place, help = spec.node.value_span(culprit or ""), _other_meant(spec.name)
        _tell(spec.name, culprit, refusal, place, diagnostics, help=help)
        return None


def _other_meant(name: str) -> str | None:
    """The way out for one of timm's that is called as one of torch's, but for its capitals: sgd wants a momentum."""
    meant = next((other for other in optimizers if other != name and other.lower() == name.lower()), None)
    return (
        f"{name} is timm's, with defaults of its own; {meant} is torch's" if meant and name not in optimizers else None
    )


def _try_group(spec: OptimizerSpec, group: GroupSpec, optimizer: Optimizer, diagnostics: Diagnostics) -> None:
    fixed = [key for key in group.arguments if key not in optimizer.defaults]
    for key in fixed:
        message = f"{spec.name}: {key} is one for the whole optimizer; no group has its own"
        diagnostics.error("bad-value", message, group.node.value_span(key))
    if fixed:
        return

    def make(arguments: dict[str, Any]) -> Optimizer:
        # torch checks most arguments of the constructor but few of a group, so they go in by that door.
        return new_optimizer(spec.entry, [{"params": [_small()]}], {**spec.arguments, **arguments})[0]

    arguments = {key: value for key, value in torch_group(spec, group, []).items() if key != "params"}
    try:
        make(arguments)
    except _REFUSALS as refusal:
        culprit = _culprit(make, arguments)
        _tell(f"{spec.name}: group", culprit, refusal, group.node.value_span(culprit or ""), diagnostics)


def _try_schedule(spec: OptimizerSpec, schedule: ScheduleSpec, diagnostics: Diagnostics) -> None:
    before = len(diagnostics.errors)
    for child in schedule.children:
        _try_schedule(spec, child, diagnostics)
    if len(diagnostics.errors) > before:
        return

    def make(arguments: dict[str, Any]) -> None:
        optimizer, _ = new_optimizer(spec.entry, [{"params": [_small()]}], spec.arguments)
        _walk(replace(schedule, arguments=arguments), GroupsView(optimizer, [0]))

    try:
        make(schedule.arguments)
    except _REFUSALS as refusal:
        culprit = _culprit(make, schedule.arguments)
        _tell(schedule.name, culprit, refusal, schedule.node.value_span(culprit or ""), diagnostics)


def _walk(schedule: ScheduleSpec, view: GroupsView) -> None:
    """Takes a schedule through a training that goes past what it counts itself, as far as that is bounded."""
    count = min(max(_COUNT, _counted(schedule) + 2), _MOST)
    make = partial(schedule.build, view, count=count, epochs=_EPOCHS)
    running = RunningSchedule(make, view, by_step=True, count=schedule.values_in(count), metric=schedule.metric)
    for done in range(1, count):
        try:
            running.advance(done, {} if schedule.metric is None else {schedule.metric: 0.0})
        except _REFUSALS as refusal:
            raise ValueError(f"{refusal}, at its value {done + 1}") from refusal


def _counted(schedule: ScheduleSpec) -> int:
    """The last step or epoch that it names, those of the schedules inside it on top of its milestones."""
    last = max([0, *schedule.arguments.get("milestones", ())])
    own = schedule.arguments.get("total_iters") or 0
    return int(last + max([own, *map(_counted, schedule.children)]))


def _culprit(make: Callable[[dict[str, Any]], object], arguments: dict[str, Any]) -> str | None:
    """The argument without which nothing is refused, where there is one."""
    for key in arguments:
        try:
            make({name: value for name, value in arguments.items() if name != key})
        except _REFUSALS:
            continue
        return key
    return None


def _tell(
    what: str, key: str | None, refusal: Exception, span: Span, diagnostics: Diagnostics, *, help: str | None = None
) -> None:
    text = (str(refusal) or type(refusal).__name__).strip().rstrip(".")
    diagnostics.error("bad-value", ": ".join(part for part in (what, key, text) if part), span, help=help)


def _small() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.zeros(2, 2))
