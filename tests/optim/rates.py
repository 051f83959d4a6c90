"""The rates that a spec comes to, for tests: of a training without a model, and with a number in the place of ``find``.

A training takes neither way: it builds for its model, and ``zoo.assemble.max_lr`` puts a rate that was found into the
recipe's document.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from zoo.diagnostics import Diagnostics
from zoo.optim import Optimization, OptimizationSpec
from zoo.optim.assign import Share
from zoo.optim.build import Length, build_optimization
from zoo.optim.selection import NamedParameter
from zoo.optim.spec import OptimizerSpec


def with_lr(spec: OptimizationSpec, lr: float) -> OptimizationSpec:
    """The spec as it would be had this number stood where ``find`` does."""
    return replace(spec.with_found(lr), find=None)


def first_lr(optimization: Optimization) -> float:
    """The present rate of the first group."""
    return next(iter(optimization.lrs.values()))


def preview(spec: OptimizationSpec, *, steps_per_epoch: int, epochs: float) -> dict[str, list[float]]:
    """The rate of each group at each step, by label, as the training would take it.

    ReduceLROnPlateau, whose curve depends on the training, is shown as constant. A rate still to be found counts as 1.
    """
    length = Length(epochs, steps_per_epoch)
    optimizers = with_lr(spec, 1.0).optimizers
    optimization = build_optimization([(one, _dummy_shares(one)) for one in optimizers], length, Diagnostics())
    curves: dict[str, list[float]] = {group.label: [] for group in optimization.groups}
    for step in range(length.steps):
        for label, rate in optimization.lrs.items():
            curves[label].append(rate)
        optimization.after_step()
        if (step + 1) % steps_per_epoch == 0:
            optimization.after_epoch()
    return curves


def _dummy_shares(optimizer: OptimizerSpec) -> list[Share]:
    """One small tensor for each group, so that a schedule has something to move."""
    moving = [group for group in optimizer.groups if group.freeze is None or not group.freeze.always]
    return [Share(group, (_dummy(),)) for group in (None, *moving)]


def _dummy() -> NamedParameter:
    return NamedParameter("", nn.Parameter(torch.zeros(2, 2)), frozenset())
