"""A recipe's whole optimization as a value: what is declared, what it comes to, and the way to build it. Floor 2."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from torch import nn

from zoo.diagnostics import Diagnostics, Span
from zoo.errors import ConfigError, raise_if_errors
from zoo.optim.assign import assign
from zoo.optim.build import Length, build_optimization
from zoo.optim.depth import DepthsOf, all_alike
from zoo.optim.running import Optimization
from zoo.optim.schedule_length import check_length
from zoo.optim.schedules import ScheduleSpec
from zoo.optim.settings import FindSettings
from zoo.optim.spec import GroupSpec, OptimizerSpec


@dataclass(frozen=True, slots=True)
class FindRequest:
    """A learning rate that is to be found: where ``find`` stands, how, and for which optimizers."""

    span: Span
    settings: FindSettings
    optimizers: tuple[int, ...]
    in_schedule: bool


@dataclass(frozen=True, slots=True)
class OptimizationSpec:
    """Checked optimizers with their schedules; immutable."""

    optimizers: tuple[OptimizerSpec, ...]
    find: FindRequest | None = None

    @property
    def finds_lr(self) -> bool:
        """Whether a rate has to be found before anything can train; ``assemble/max_lr.py`` puts it into the recipe."""
        return self.find is not None

    @property
    def find_settings(self) -> FindSettings:
        """How the rate is to be found; the defaults where none is marked."""
        return self.find.settings if self.find is not None else FindSettings()

    @property
    def counts_steps(self) -> bool:
        """Whether a schedule says by itself at which steps something happens."""
        return any(schedule.interval == "step" and schedule.has_counts for schedule in self.schedules())

    def check(self, epochs: float, diagnostics: Diagnostics, *, steps: int | None = None) -> None:
        """Tells what does not fit a training of this many epochs, and of so many steps where that is known."""
        for schedule in self.schedules():
            is_of_group = not any(schedule is one.schedule for one in self.optimizers)
            check_length(schedule, epochs, diagnostics, is_of_group=is_of_group, steps=steps)
        for group in (group for optimizer in self.optimizers for group in optimizer.groups):
            group.check(epochs, diagnostics)

    def check_model(self, model: nn.Module, diagnostics: Diagnostics, depths: DepthsOf = all_alike) -> None:
        """Tells of parameters that nobody or two own, that an optimizer refuses, of groups that take nothing.

        The model is as before; it may be on ``meta``.
        """
        before = len(diagnostics.errors)
        assigned = assign(self.optimizers, model, diagnostics, depths)
        if len(diagnostics.errors) > before:
            return
        with suppress(ConfigError):  # what it holds is in the diagnostics
            build_optimization(assigned, Length(1.0, 1), diagnostics).thaw()

    def frozen_for_good(self, model: nn.Module) -> dict[str, GroupSpec]:
        """The parameters that never train, by name, and the groups that say so."""
        assigned = assign(self.optimizers, model, Diagnostics())
        shares = [share for _, several in assigned for share in several if share.is_frozen]
        return {one.name: share.group for share in shares for one in share.parameters if share.group is not None}

    @property
    def names_parameters(self) -> bool:
        """Whether it says anything that only a model can prove right."""
        return any(
            one.groups or not one.selector.is_rest or one.name == "Muon" or one.decays_layers for one in self.optimizers
        )

    def build(
        self,
        model: nn.Module,
        *,
        steps_per_epoch: int,
        epochs: float,
        diagnostics: Diagnostics,
        clips: bool = False,
        depths: DepthsOf = all_alike,
    ) -> Optimization:
        """The optimization of a training; parameters that are frozen for good get ``requires_grad`` false.

        ``steps_per_epoch`` counts optimizer steps, accumulated batches as one; ``clips`` says that the norm of all
        gradients is; ``depths`` is for optimizers with ``layer_decay``. Raises ConfigError with all that the
        diagnostics hold where something does not fit, ValueError where a rate is still to be found.
        """
        if self.find is not None:
            raise ValueError("a learning rate is still to be found")
        self.check(epochs, diagnostics)
        assigned = assign(self.optimizers, model, diagnostics, depths)
        raise_if_errors(diagnostics)
        return build_optimization(assigned, Length(epochs, steps_per_epoch, clips), diagnostics)

    def build_for_range_test(
        self, model: nn.Module, diagnostics: Diagnostics, depths: DepthsOf = all_alike
    ) -> Optimization:
        """The same optimizers without schedules, for :func:`zoo.optim.range_test.lr_range_test`.

        What the rate to be found moves is swept, groups times their ``lr_scale``; all else stands at the rate that
        it starts from, or climbs to where its schedule has a peak. Where nothing is marked ``find``, the rate of the
        first optimizer is the one. Raises ConfigError.
        """
        request = self.find or _of_the_first(self.optimizers[0])
        spec = replace(self, find=request)
        found, twice = spec.with_found(1.0), spec.with_found(2.0)
        plain = tuple(map(_unscheduled, found.optimizers, twice.optimizers))
        swept = [plain[index] for index in request.optimizers]
        assigned = assign(plain, model, diagnostics, depths)
        raise_if_errors(diagnostics)
        return build_optimization(assigned, Length(1.0, 1), diagnostics, swept=swept)

    def schedules(self) -> list[ScheduleSpec]:
        """Every schedule declared, once."""
        found: list[ScheduleSpec] = []
        for optimizer in self.optimizers:
            for schedule in (optimizer.schedule, *(group.schedule for group in optimizer.groups)):
                if schedule is not None and not any(schedule is other for other in found):
                    found.append(schedule)
        return found

    def with_found(self, lr: float) -> OptimizationSpec:
        """A copy in which this rate stands where one is to be found; itself where none is."""
        if self.find is None:
            return self
        changed = list(self.optimizers)
        for index in self.find.optimizers:
            optimizer = changed[index]
            if self.find.in_schedule and optimizer.schedule is not None:
                changed[index] = replace(optimizer, schedule=optimizer.schedule.with_arguments(max_lr=lr))
            else:
                changed[index] = optimizer.with_arguments(lr=lr)
        return replace(self, optimizers=tuple(changed))


def _of_the_first(optimizer: OptimizerSpec) -> FindRequest:
    """The request to find an optimizer's rate: its schedule's peak where that is the one that counts."""
    has_peak = optimizer.schedule is not None and optimizer.schedule.peak is not None
    return FindRequest(optimizer.node.span, FindSettings(), (0,), in_schedule=has_peak)


def _unscheduled(optimizer: OptimizerSpec, twice: OptimizerSpec) -> OptimizerSpec:
    """An optimizer without schedules, whose peaks are its rates. ``twice`` is it where what is to be found is doubled.

    A group whose rate is the same then, because its own schedule has a peak, say, has that for a rate of its own.
    """
    groups = tuple(
        replace(group, schedule=None)
        if optimizer.lr_of(group) != twice.lr_of(group)
        else replace(group, schedule=None, lr=optimizer.lr_of(group), lr_scale=1.0)
        for group in optimizer.groups
    )
    rate = optimizer.lr_of(None)
    plain = optimizer if rate == optimizer.lr else optimizer.with_arguments(lr=rate)
    return replace(plain, schedule=None, groups=groups)
