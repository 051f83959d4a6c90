"""An optimization under way: optimizers, schedules and frozen stretches behind one set of calls. Floor 2.

The engine calls ``zero_grad``, ``step``, ``after_step`` for every optimizer step and ``after_epoch`` for every
epoch. Nothing here reads a tensor's value, so nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from zoo.optim.muon import Muon
from zoo.optim.skipping import decides_itself, stepped_unless

FOREVER = 2**62  # steps
_FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad)

# What schedulers write into a group: what they move, and what they note there for themselves.
_WRITTEN = ("lr", "momentum", "betas", "initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum")
_WATCHED = ("last_epoch", "_last_lr", "best", "num_bad_epochs", "cooldown_counter")  # what ReduceLROnPlateau has seen


class GroupsView(Optimizer):
    """Some groups of an optimizer, shown to a scheduler as an optimizer of their own. It takes no steps itself."""

    def __init__(self, optimizer: Optimizer, indices: Sequence[int]) -> None:
        # The base class would copy the groups; a scheduler has to write into the very ones.
        self._optimizer = optimizer
        self._indices = tuple(indices)
        self._opt_called = True  # torch warns where a scheduler moves before the optimizer it holds
        self.defaults = optimizer.defaults
        self.refresh()

    def refresh(self) -> None:
        """Looks the groups up again: loading a state puts new ones into the optimizer."""
        self.param_groups = [self._optimizer.param_groups[index] for index in self._indices]


@dataclass(slots=True)
class RunningSchedule:
    """A schedule over some groups, and the number of values it has; beyond the last one the rate stays.

    ``make`` gives torch's scheduler at its first value for the groups as declared. Where a schedule stands follows
    from the steps or epochs done, so a resumed run walks it there again; no position is kept, which would be one in
    the schedule of a shorter training. ReduceLROnPlateau alone follows what it has seen.
    """

    make: Callable[[], LRScheduler]
    view: GroupsView
    by_step: bool
    count: int
    metric: str | None = None
    _scheduler: LRScheduler = field(init=False)
    _declared: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self._declared = [{key: group[key] for key in _WRITTEN if key in group} for group in self.view.param_groups]
        self._scheduler = self.make()

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        """To the value for the step or epoch after the ``done`` ones."""
        if isinstance(self._scheduler, ReduceLROnPlateau):
            if self.metric is not None and self.metric in metrics:
                self._scheduler.step(metrics[self.metric])
        elif done < self.count:
            self._scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """What the steps and epochs done do not tell: plain numbers."""
        is_watching = isinstance(self._scheduler, ReduceLROnPlateau)
        return {key: vars(self._scheduler)[key] for key in _WATCHED} if is_watching else {}

    def take_up(self, done: int, saved: Mapping[str, Any]) -> None:
        """To where the schedule stands after ``done`` steps or epochs, once the optimizer has its saved state.

        Every value is reached as it was at first, one after the other: the same to the last bit.
        """
        self.view.refresh()
        if isinstance(self._scheduler, ReduceLROnPlateau):
            vars(self._scheduler).update({key: saved[key] for key in _WATCHED})
            return
        for group, declared in zip(self.view.param_groups, self._declared, strict=True):
            for key in _WRITTEN:
                group.pop(key, None)
            group.update(declared)
        self._scheduler = self.make()
        for past in range(1, min(done, self.count) + 1):
            self.advance(past, {})


@dataclass(frozen=True, slots=True)
class FrozenStretch:
    """Parameters that stand still before step ``until`` and from step ``after`` on (steps done, from 0)."""

    parameters: tuple[nn.Parameter, ...]
    until: int
    after: float

    def apply(self, done: int) -> None:
        """Sets ``requires_grad``; a gradient left over is dropped, so that no optimizer uses it."""
        trains = self.until <= done < self.after
        for parameter in self.parameters:
            parameter.requires_grad_(trains)
            if not trains:
                parameter.grad = None

    def thaw(self) -> None:
        """Lets the parameters train again."""
        for parameter in self.parameters:
            parameter.requires_grad_(True)


@dataclass(frozen=True, slots=True)
class RunningGroup:
    """One group of one optimizer. ``scale`` relates its rate to the one a range test sweeps; None: not swept."""

    label: str
    optimizer: int
    index: int
    names: tuple[str, ...]
    scale: float | None


class Optimization:
    """Built optimizers with their schedules. ``choices`` says which implementation each optimizer uses, and why."""

    def __init__(
        self,
        optimizers: Sequence[Optimizer],
        groups: Sequence[RunningGroup],
        schedules: Sequence[RunningSchedule] = (),
        frozen: Sequence[FrozenStretch] = (),
        choices: Mapping[str, str] | None = None,
    ) -> None:
        self.optimizers = tuple(optimizers)
        self.groups = tuple(groups)
        self.choices = dict(choices or {})
        self.steps = 0
        self.epochs = 0
        self._schedules = tuple(schedules)
        self._frozen = tuple(frozen)
        self._freeze()

    def step(self, skip: Tensor | None = None) -> None:
        """One step of every optimizer.

        ``skip`` is a scalar tensor on the parameters' device: where it is true (a NaN was seen) nothing changes,
        and nobody waits to learn whether it is.
        """
        for optimizer in self.optimizers:
            if skip is None:
                optimizer.step()
            else:
                stepped_unless(skip, optimizer)

    def skip_step(self, device: torch.device) -> None:
        """Runs the kernels of those optimizers that can leave all as it is; for warming up."""
        skip = torch.ones((), device=device)
        for optimizer in self.optimizers:
            if _leaves_all(optimizer):
                stepped_unless(skip, optimizer)

    def zero_grad(self) -> None:
        """Drops all gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def after_step(self) -> None:
        """Moves what is scheduled by step; call once after each :meth:`step`."""
        self.steps += 1
        for schedule in self._schedules:
            if schedule.by_step:
                schedule.advance(self.steps, {})
        for stretch in self._frozen:
            if self.steps in (stretch.until, stretch.after):
                stretch.apply(self.steps)

    def after_epoch(self, metrics: Mapping[str, float] | None = None) -> None:
        """Moves what is scheduled by epoch; ``metrics`` has ``loss`` and ``accuracy`` (of the validation set, else
        the test set), ``train.loss`` and ``train.accuracy``, as far as they were taken."""
        self.epochs += 1
        for schedule in self._schedules:
            if not schedule.by_step:
                schedule.advance(self.epochs, metrics or {})

    @property
    def lrs(self) -> dict[str, float]:
        """The present rate of each group, by label."""
        return {group.label: float(self._torch_group(group)["lr"]) for group in self.groups}

    def sweep(self, lr: float) -> None:
        """Sets the rate that a range test tries; groups with a rate of their own keep it."""
        for group in self.groups:
            if group.scale is not None:
                self._torch_group(group)["lr"] = lr * group.scale

    def thaw(self) -> None:
        """Gives back ``requires_grad`` to all that was frozen here; for an optimization that is of no further use."""
        for stretch in self._frozen:
            stretch.thaw()
        self._frozen = ()

    def rehearse(self) -> Generator[int, None, None]:
        """Freezes, one after another, what will be frozen from later steps on, and gives each such step.

        In the end it freezes what is frozen now.
        """
        turns = {int(step) for stretch in self._frozen for step in (stretch.until, stretch.after) if step < FOREVER}
        try:
            for turn in sorted(turn for turn in turns if turn > self.steps):
                for stretch in self._frozen:
                    stretch.apply(turn)
                yield turn
        finally:
            self._freeze()

    def state_dict(self) -> dict[str, Any]:
        """All that an exact resume needs: tensors under ``optimizers``, plain numbers elsewhere."""
        return {
            "steps": self.steps,
            "epochs": self.epochs,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedules": [schedule.state_dict() for schedule in self._schedules],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up a saved state: schedules stand where those declared now do after the saved steps and epochs.

        Raises ValueError for a tensor of a shape that no state of its parameter has, and what else a state raises
        that is another optimization's.
        """
        self.steps, self.epochs = int(state["steps"]), int(state["epochs"])
        for number, (optimizer, saved) in enumerate(zip(self.optimizers, state["optimizers"], strict=True)):
            _require_shapes(optimizer, saved, f"optimizers.{number}")
            _load_optimizer(optimizer, saved)
        for schedule, saved in zip(self._schedules, state["schedules"], strict=True):
            schedule.take_up(self.steps if schedule.by_step else self.epochs, saved)
        self._freeze()

    def _freeze(self) -> None:
        for stretch in self._frozen:
            stretch.apply(self.steps)

    def _torch_group(self, group: RunningGroup) -> dict[str, Any]:
        return self.optimizers[group.optimizer].param_groups[group.index]


def _leaves_all(optimizer: Optimizer) -> bool:
    """Whether a skipped step leaves no trace, even as the first one: of torch's fused optimizers and of Muon.

    Fused SGD leaves momentum buffers uninitialised that are not there yet. Of others nobody knows.
    """
    if not decides_itself(optimizer) or type(optimizer) not in (Muon, *_FUSED):
        return False
    momentum = [p for group in optimizer.param_groups if group.get("momentum") for p in group["params"]]
    is_sgd = isinstance(optimizer, torch.optim.SGD)
    return not is_sgd or all("momentum_buffer" in optimizer.state.get(parameter, {}) for parameter in momentum)


def _require_shapes(optimizer: Optimizer, saved: Mapping[str, Any], path: str) -> None:
    """Raises ValueError naming a saved tensor that is no state of its parameter: fused kernels would not look."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = [number for group in saved["param_groups"] for number in group["params"]]
    if len(parameters) != len(numbers):
        raise ValueError(f"{path} is of {len(numbers)} parameters, the training's has {len(parameters)}")
    for parameter, number in zip(parameters, numbers, strict=True):
        for key, value in saved["state"].get(number, {}).items():
            if isinstance(value, Tensor) and not _may_be_state(optimizer, key, value, parameter):
                raise ValueError(
                    f"{path}.state.{number}.{key} is {list(value.shape)}, its parameter {list(parameter.shape)}"
                )


def _may_be_state(optimizer: Optimizer, key: str, value: Tensor, parameter: Tensor) -> bool:
    """Whether an optimizer may keep a tensor of this shape: its parameter's, a number, or sums over rows or columns."""
    is_number = value.dim() == 0
    if key == "step":
        return is_number
    if value.shape == parameter.shape or type(optimizer) in (Muon, *_FUSED):
        return value.shape == parameter.shape
    is_factored = "Adafactor" in type(optimizer).__name__  # torch has one, timm two
    return is_number or (is_factored and set(value.shape) <= {1, *parameter.shape})


def _load_optimizer(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Loads as torch does, then gives tuples and memory formats back.

    JSON turns tuples into lists. A state tensor whose strides differ from its parameter's makes fused kernels,
    which walk memory in order, mix up elements without a word.
    """
    before = [dict(group) for group in optimizer.param_groups]
    optimizer.load_state_dict(dict(saved))
    for group, old in zip(optimizer.param_groups, before, strict=True):
        group.update({key: tuple(group[key]) for key, value in old.items() if isinstance(value, tuple)})
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
