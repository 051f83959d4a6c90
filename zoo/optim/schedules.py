"""Schedules by name, and a schedule as a recipe declares it: arguments, unit of time, totals worked out. Floor 2.

``interval: step`` moves the rate after every optimizer step, ``epoch`` after every epoch. Left out, it is the step
for what torch steps by batch (OneCycleLR, CyclicLR), for PiecewiseLinear, and where the total is worked out; it is
the epoch where counts were written by hand, as in torch's own examples.
"""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeAlias

import torch
from pydantic import Field
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from zoo.document import Mapping as MappingNode
from zoo.optim.piecewise import PiecewiseLinear, PiecewiseLinearArguments
from zoo.registry import Registry
from zoo.schema import ArgsModel, arguments_model
from zoo.schema.signature import translated

Interval = Literal["step", "epoch"]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]

REFUSED = {
    "LambdaLR": "it takes a function; PiecewiseLinear draws any curve",
    "MultiplicativeLR": "it takes a function; PiecewiseLinear draws any curve",
}
_COUNTS = ("T_max", "T_0", "T_mult", "total_iters", "total_steps", "step_size", "step_size_up", "step_size_down")
_JUST_UNDER_ONE = 1 - 1e-9
_RATES = ("eta_min", "min_lr", "eps")  # arguments that are rates, or a difference of two
_LEFT_OUT = ("optimizer", "last_epoch", "scale_fn", "lr_lambda", "epochs", "steps_per_epoch")


class OneCycleKeys(ArgsModel):
    """What zoo adds to OneCycleLR."""

    max_lr: float | None = Field(None, description="the peak; `find` looks for it; default: the optimizer's lr")
    peak_epoch: Annotated[float, Field(ge=0)] | None = Field(None, description="the epoch of the peak: pct_start")
    annihilation: bool = Field(True, description="false: the rate ends where it began (final_div_factor 1)")


class PlateauKeys(ArgsModel):
    """What zoo adds to ReduceLROnPlateau."""

    metric: Literal["loss", "accuracy", "train.loss", "train.accuracy"] = Field(
        "loss", description="what is watched; without `train.`, that of the validation set, else the test set"
    )


Arguments: TypeAlias = dict[str, Any]
Settle: TypeAlias = "Callable[[ScheduleSpec, Arguments, Optimizer, int, float], Arguments]"


@dataclass(frozen=True, slots=True)
class Traits:
    """What a schedule is beside its signature; a plain one moves the rate it is given, by whatever it counts.

    ``settle`` makes torch's arguments of those that were given, in a training of so many counts and epochs.
    ``overrides`` are arguments that torch's signature says too little of.
    """

    total: str | None = None  # the argument that is the training's length where it is left out
    after_total: str | None = None  # what the rate does when that is over, where nobody wants it
    acts_at: str | None = None  # the argument that counts when the rate changes
    climbs: bool = False  # begins below the rate that it is given
    by_step: bool = False  # moves the rate with every step, where nothing else is said
    cycles: bool = False  # climbs to its max_lr, whatever the optimizer's own lr, and moves the momentum
    has_corners: bool = False  # draws the rate over the training's epochs, whatever others made of it
    watches: bool = False  # a figure that is taken once an epoch
    nests: Literal["in turn", "at once"] | None = None  # other schedules
    worked_out: str | None = None  # an argument that follows from the rest of what is said
    overrides: Mapping[str, Any] = field(default_factory=dict, compare=False)
    settle: Settle = lambda spec, arguments, optimizer, count, epochs: arguments

    @property
    def stands_alone(self) -> bool:
        """Whether it cannot stand inside another schedule."""
        return self.cycles or self.watches or self.nests is not None


@dataclass(frozen=True, slots=True)
class ScheduleEntry:
    """A schedule that a recipe can name."""

    name: str
    target: Callable[..., LRScheduler]
    arguments: type[ArgsModel]
    doc: str
    traits: Traits = Traits()


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """A declared schedule. ``arguments`` are the scheduler's own, as far as they were given; ``node`` says where."""

    entry: ScheduleEntry
    arguments: dict[str, Any]
    interval: Interval
    node: MappingNode
    peak_epoch: float | None = None
    metric: str | None = None
    children: tuple[ScheduleSpec, ...] = ()

    @property
    def name(self) -> str:
        """The schedule's name."""
        return self.entry.name

    @property
    def peak(self) -> float | None:
        """The rate this schedule climbs to, where it says so itself."""
        return self.arguments.get("max_lr") if self.entry.traits.cycles else None

    @property
    def climbs(self) -> bool:
        """Whether it begins below the rate that it is given."""
        return self.entry.traits.climbs and self.arguments.get("start_factor", 0) < 1

    @property
    def has_counts(self) -> bool:
        """Whether it, or one inside it, says by itself when something happens, in steps or epochs."""
        keys = (self.entry.traits.total, self.entry.traits.acts_at)
        return any(key in self.arguments for key in keys) or any(child.has_counts for child in self.children)

    @property
    def moves_momentum(self) -> bool:
        """Whether it, or one inside it, sets the momentum, of SGD without one too."""
        return self.entry.traits.cycles or any(child.moves_momentum for child in self.children)

    def with_arguments(self, **arguments: Any) -> ScheduleSpec:
        """A copy with some arguments set."""
        return replace(self, arguments={**self.arguments, **arguments})

    def scaled(self, factor: float) -> ScheduleSpec:
        """The schedule of rates that are all multiplied by a factor; a share of a rate stays what it is."""
        if factor == 1:
            return self
        fields = self.entry.arguments.model_fields
        given = {key: self.arguments.get(key, fields[key].default) for key in _RATES if key in fields}
        rates = {key: value * factor for key, value in given.items() if value is not None}
        return replace(self.with_arguments(**rates), children=tuple(child.scaled(factor) for child in self.children))

    def count(self, steps: int, epochs: float) -> int:
        """How many values the schedule has in a training: its steps, or its epochs begun."""
        return steps if self.interval == "step" else max(1, math.ceil(epochs - 1e-9))

    def values_in(self, count: int) -> int:
        """How many of a training's so many values are its own: those of its `total_steps`, or all."""
        return self.arguments.get("total_steps") or count

    def build(self, optimizer: Optimizer, *, count: int, epochs: float) -> LRScheduler:
        """torch's scheduler for an optimizer; ``count`` as :meth:`count` gives it, ``epochs`` those of the training.

        Raises ValueError as torch does.
        """
        traits, arguments = self.entry.traits, dict(self.arguments)
        if traits.total is not None:
            arguments.setdefault(traits.total, count)
        if traits.nests is not None:
            arguments["schedulers"] = self._build_children(optimizer, count, epochs)
            return self.entry.target(optimizer=optimizer, **arguments)
        return self.entry.target(optimizer, **traits.settle(self, arguments, optimizer, count, epochs))

    def stretches(self, count: int) -> list[int]:
        """How many values each schedule inside it has: those of its stretch of a sequence, or all in a chain."""
        if self.entry.traits.nests != "in turn":
            return [count] * len(self.children)
        corners = [0, *self.arguments["milestones"], count]
        return [max(1, late - early) for early, late in pairwise(corners)]

    def _build_children(self, optimizer: Optimizer, count: int, epochs: float) -> list[LRScheduler]:
        """Each with the length of its own stretch."""
        lengths = self.stretches(count)
        pairs = zip((replace(child, interval=self.interval) for child in self.children), lengths, strict=True)
        return [child.build(optimizer, count=length, epochs=epochs * length / count) for child, length in pairs]


def _one_cycle(spec: ScheduleSpec, arguments: Arguments, optimizer: Optimizer, count: int, epochs: float) -> Arguments:
    """Each group peaks at its own rate; where the peak falls on the very first value, torch would divide by zero."""
    arguments["max_lr"] = [group["lr"] for group in optimizer.param_groups]
    if spec.peak_epoch is not None:
        arguments["pct_start"] = min(1.0, spec.peak_epoch / epochs)
    total = arguments["total_steps"]
    if arguments.get("pct_start", 0.3) * total == 1:
        arguments["pct_start"] = _JUST_UNDER_ONE / total
    arguments.setdefault("cycle_momentum", _has_momentum(optimizer))
    return arguments


def _cyclic(spec: ScheduleSpec, arguments: Arguments, optimizer: Optimizer, count: int, epochs: float) -> Arguments:
    """Each group swings up to its own rate, from the same share of it."""
    peaks = [group["lr"] for group in optimizer.param_groups]
    share = arguments["base_lr"] / arguments["max_lr"] if arguments["max_lr"] else 0.0
    lows = [arguments["base_lr"] if peak == arguments["max_lr"] else peak * share for peak in peaks]
    arguments.setdefault("cycle_momentum", _has_momentum(optimizer))
    return {**arguments, "max_lr": peaks, "base_lr": lows}


def _has_momentum(optimizer: Optimizer) -> bool:
    return "momentum" in optimizer.defaults or "betas" in optimizer.defaults


def _piecewise(spec: ScheduleSpec, arguments: Arguments, optimizer: Optimizer, count: int, epochs: float) -> Arguments:
    return {**arguments, "per_epoch": count / epochs if spec.interval == "step" else 1.0}


def _keys_of(model: type[ArgsModel]) -> dict[str, Any]:
    return {key: (info.annotation, info) for key, info in model.model_fields.items()}


_DUE = inspect.Parameter.empty
_NESTED = {"schedulers": (list[Any], _DUE)}
_TRAITS = {
    "OneCycleLR": Traits(
        total="total_steps",
        after_total="stands still",
        by_step=True,
        cycles=True,
        worked_out="cycle_momentum",
        overrides={
            **_keys_of(OneCycleKeys),
            "pct_start": (Annotated[float, Field(ge=0, le=1)], 0.3),
            "div_factor": (Positive, 25.0),
            "final_div_factor": (Positive, 1e4),
            "base_momentum": (float, 0.85),
            "max_momentum": (float, 0.95),
        },
        settle=_one_cycle,
    ),
    "CyclicLR": Traits(
        by_step=True,
        cycles=True,
        worked_out="cycle_momentum",
        overrides={"base_lr": (float, _DUE), "max_lr": (float, _DUE)},
        settle=_cyclic,
    ),
    "ReduceLROnPlateau": Traits(
        watches=True,
        worked_out="mode",
        overrides={**_keys_of(PlateauKeys), "min_lr": (float, 0.0)},  # torch takes a list, one for each of its groups
    ),
    "CosineAnnealingLR": Traits(total="T_max", after_total="climbs again"),
    "PolynomialLR": Traits(total="total_iters", after_total="is 0"),
    "LinearLR": Traits(total="total_iters", climbs=True),
    "StepLR": Traits(acts_at="step_size"),
    "MultiStepLR": Traits(acts_at="milestones"),
    "SequentialLR": Traits(acts_at="milestones", nests="in turn", overrides=_NESTED),
    "ChainedScheduler": Traits(nests="at once", overrides=_NESTED),
    "PiecewiseLinear": Traits(by_step=True, has_corners=True, settle=_piecewise),
}


def _signature_overrides(target: Callable[..., LRScheduler], traits: Traits) -> dict[str, Any]:
    """torch's annotations, read with the names that its modules import for type checkers only; counts start at 1.

    What is worked out where it is left out has no default: none would be true.
    """
    names = {
        **vars(lr_scheduler),
        "Callable": Callable,
        "Iterable": Iterable,
        "Sequence": Sequence,
        "Tensor": torch.Tensor,
    }
    hints = typing.get_type_hints(target.__init__, names) if inspect.isclass(target) else {}
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(target).parameters.items():
        annotation = translated(hints.get(name, parameter.annotation), parameter.default)
        if name in _COUNTS:
            annotation = Count if parameter.default is not None else Count | None
        if name in (*_LEFT_OUT, "schedulers") or annotation is None:
            continue
        is_worked_out = name in (traits.total, traits.worked_out)
        found[name] = (annotation | None, None) if is_worked_out else (annotation, parameter.default)
    return found


def schedule_entry(name: str, target: Callable[..., LRScheduler]) -> ScheduleEntry:
    """The entry of a scheduler class; arguments come from the signature."""
    traits = _TRAITS.get(name, Traits())
    overrides = {**_signature_overrides(target, traits), **traits.overrides}
    model = arguments_model(name, target, leave_out=_LEFT_OUT, overrides=overrides)
    return ScheduleEntry(name, target, model, model.__doc__ or "", traits)


def _fill(registry: Registry[ScheduleEntry]) -> None:
    name, doc = "PiecewiseLinear", PiecewiseLinearArguments.__doc__ or ""
    registry.add(name, ScheduleEntry(name, PiecewiseLinear, PiecewiseLinearArguments, doc, _TRAITS[name]))
    for name, target in sorted(vars(lr_scheduler).items()):
        is_scheduler = inspect.isclass(target) and issubclass(target, LRScheduler)
        if is_scheduler and target is not LRScheduler and not name.startswith("_") and name not in REFUSED:
            registry.add(name, schedule_entry(name, target))


schedules: Registry[ScheduleEntry] = Registry("schedule", _fill)
