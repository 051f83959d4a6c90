"""From checked specs and a model to torch's optimizers and schedulers. Floor 2."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from zoo.diagnostics import Diagnostics
from zoo.errors import raise_if_errors
from zoo.optim.assign import Share
from zoo.optim.catalogue import OptimizerEntry
from zoo.optim.running import FOREVER, FrozenStretch, GroupsView, Optimization, RunningGroup, RunningSchedule
from zoo.optim.schedules import ScheduleSpec
from zoo.optim.spec import Freeze, GroupSpec, OptimizerSpec

# At a rate of zero these leave a parameter where it is, so it may as well be frozen (Muon would renormalise it).
_STILL_AT_ZERO = ("SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta", "ASGD")


@dataclass(frozen=True, slots=True)
class Length:
    """How long a training is: optimizer steps in all, and in an epoch; epochs may be a fraction."""

    epochs: float
    steps_per_epoch: int
    clips: bool = False  # gradients, to a norm of them all

    @property
    def steps(self) -> int:
        """Steps in all: a begun one counts, as in airbench."""
        return max(1, math.ceil(self.epochs * self.steps_per_epoch - 1e-9))

    def step_at(self, epoch: float) -> int:
        """The first step that begins at or after an epoch, counted from 0."""
        return math.ceil(epoch * self.steps_per_epoch - 1e-9) if epoch < FOREVER else FOREVER


def build_optimization(
    assigned: Sequence[tuple[OptimizerSpec, list[Share]]],
    length: Length,
    diagnostics: Diagnostics,
    *,
    swept: Collection[OptimizerSpec] = (),
) -> Optimization:
    """The optimization of a training. ``swept`` are the optimizers whose rate a range test looks for.

    Raises ConfigError where an optimizer refuses the parameters it is given (Muon those without rows, say).
    """
    optimizers: list[Optimizer] = []
    groups: list[RunningGroup] = []
    running: list[RunningSchedule] = []
    frozen: list[FrozenStretch] = []
    choices: dict[str, str] = {}
    for spec, shares in assigned:
        trained = [share for share in shares if not share.is_frozen]
        frozen += _stretches(spec, shares, length)
        if not trained:
            continue
        made = _torch_optimizer(spec, trained, diagnostics)
        if made is None:
            continue
        optimizer, choice = made
        groups += _running_groups(spec, trained, len(optimizers), groups, is_swept=spec in swept)
        running += _running_schedules(spec, trained, optimizer, length)
        label = spec.label_of(trained[0].group)
        choices[groups[-len(trained)].label if label in choices else label] = choice
        optimizers.append(optimizer)
    if not optimizers and not diagnostics.errors:
        message = "there is nothing to train: every parameter is frozen"
        diagnostics.error("nothing-to-train", message, assigned[0][0].node.span if assigned else None)
    raise_if_errors(diagnostics)
    return Optimization(optimizers, groups, running, frozen, choices)


def new_optimizer(
    entry: OptimizerEntry, groups: list[dict[str, Any]], arguments: dict[str, Any], *, moves_momentum: bool = False
) -> tuple[Optimizer, str]:
    """The optimizer in its fastest form, and which one that is: fused, foreach, or torch's own choice.

    ``moves_momentum`` says that a schedule will give it a momentum. Raises ValueError as the optimizer does for
    arguments it does not like.
    """
    is_chosen = any(arguments.get(key) is not None for key in ("fused", "foreach")) or arguments.get("differentiable")
    if is_chosen:
        optimizer = entry.target(groups, **arguments)
        _fill_momentum(optimizer, moves_momentum)
        return optimizer, "as declared"
    if entry.has_fused:
        try:
            optimizer = entry.target([dict(group) for group in groups], **arguments, fused=True)
        except RuntimeError:  # not on this device, or not with these arguments
            pass
        else:
            _fill_momentum(optimizer, moves_momentum)
            return optimizer, "fused: one kernel a step"
    if entry.has_foreach:
        return entry.target(groups, **arguments, foreach=True), "foreach: all tensors at once, there is no fused form"
    return entry.target(groups, **arguments), "its only form"


def _fill_momentum(optimizer: Optimizer, is_moved: bool) -> None:
    """Starts fused SGD's momentum at zero, which without dampening gives the same first step to the last bit.

    torch's fused SGD leaves it uninitialised where the first step is skipped for an overflow, and goes on from there.
    """
    for group in optimizer.param_groups:
        has_momentum = isinstance(optimizer, torch.optim.SGD) and (group["momentum"] or is_moved)
        if has_momentum and group["fused"] and not group["dampening"]:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def torch_group(
    spec: OptimizerSpec, group: GroupSpec | None, parameters: Sequence[torch.Tensor], scale: float = 1.0
) -> dict[str, Any]:
    """A group as torch takes it, its rate times ``scale``."""
    own = {} if group is None else group.arguments
    rate = {"lr": spec.lr_of(group) * scale} if "lr" in spec.entry.arguments.model_fields else {}
    return {"params": list(parameters), **own, **rate}


def _torch_optimizer(
    spec: OptimizerSpec, shares: list[Share], diagnostics: Diagnostics
) -> tuple[Optimizer, str] | None:
    groups = [torch_group(spec, share.group, [p.tensor for p in share.parameters], share.scale) for share in shares]
    try:
        schedules = [spec.schedule_of(share.group) for share in shares]
        moves = any(schedule is not None and schedule.moves_momentum for schedule in schedules)
        return new_optimizer(spec.entry, groups, dict(spec.arguments), moves_momentum=moves)
    except (ValueError, TypeError, RuntimeError) as refusal:
        diagnostics.error("refused-parameters", f"{spec.name}: {refusal}", spec.node.value_span("params"))
        return None


def _running_groups(
    spec: OptimizerSpec, shares: list[Share], number: int, earlier: list[RunningGroup], *, is_swept: bool
) -> list[RunningGroup]:
    taken = {group.label for group in earlier}
    found = []
    for index, share in enumerate(shares):
        label = share.label_in(spec)
        unique = next(name for name in (label, *(f"{label} #{n}" for n in range(2, 10_000))) if name not in taken)
        taken.add(unique)
        names = tuple(parameter.name for parameter in share.parameters)
        follows = is_swept and (share.group is None or share.group.lr is None)
        scale = share.scale * (1.0 if share.group is None else share.group.lr_scale) if follows else None
        found.append(RunningGroup(unique, number, index, names, scale))
    return found


def _running_schedules(
    spec: OptimizerSpec, shares: list[Share], optimizer: Optimizer, length: Length
) -> list[RunningSchedule]:
    """One scheduler for all groups that follow the same schedule at the same depth."""
    indices: dict[tuple[int, float], list[int]] = {}
    specs: dict[tuple[int, float], ScheduleSpec] = {}
    for index, share in enumerate(shares):
        schedule = spec.schedule_of(share.group)
        if schedule is not None:
            key = (id(schedule), share.scale)
            indices.setdefault(key, []).append(index)
            specs[key] = schedule.scaled(share.scale)
    return [_running(specs[key], GroupsView(optimizer, mine), length) for key, mine in indices.items()]


def _running(schedule: ScheduleSpec, view: GroupsView, length: Length) -> RunningSchedule:
    count = schedule.count(length.steps, length.epochs)
    make = partial(schedule.build, view, count=count, epochs=length.epochs)
    return RunningSchedule(make, view, schedule.interval == "step", schedule.values_in(count), schedule.metric)


def _stretches(spec: OptimizerSpec, shares: list[Share], length: Length) -> list[FrozenStretch]:
    found = []
    for share in shares:
        parameters: tuple[nn.Parameter, ...] = tuple(parameter.tensor for parameter in share.parameters)
        freeze = share.group.freeze if share.group is not None else None
        if freeze is not None:
            until = FOREVER if freeze.always else length.step_at(freeze.until)
            found.append(FrozenStretch(parameters, until, length.step_at(freeze.after)))
        ends = _ends_at_zero(spec, share.group, length)
        if ends is not None and (freeze is None or freeze == Freeze()):
            found.append(FrozenStretch(parameters, 0, ends))
    return found


def _ends_at_zero(spec: OptimizerSpec, group: GroupSpec | None, length: Length) -> int | None:
    """The step from which a group's rate is zero for good: frozen there, it costs no gradient either.

    Where gradients are clipped its own count for the norm of them all, and so for what others do.
    """
    if length.clips:
        return None
    schedule = spec.schedule_of(group)
    if schedule is None or not schedule.entry.traits.has_corners or spec.name not in _STILL_AT_ZERO:
        return None
    epochs, factors = schedule.arguments["epochs"], schedule.arguments["factors"]
    if factors[-1] != 0:
        return None
    ends = length.step_at(epochs[-1] if schedule.interval == "step" else math.ceil(epochs[-1]))
    return ends if ends < length.steps else None
