"""The LR range test: a sweep of the learning rate over a few batches, leaving no trace. Floor 2.

Source: Leslie Smith 2015 (arXiv:1506.01186), in the form of fastai's ``lr_find``: the rate rises evenly on a log
scale, the loss is a bias-corrected running mean, and the sweep stops where that is several times its smallest value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import chain, count, islice
from typing import Protocol

from torch import Tensor, nn

from zoo.errors import DivergedError
from zoo.optim.frozen_statistics import into_training
from zoo.optim.lr_rules import RULES
from zoo.optim.running import Optimization
from zoo.optim.settings import FindSettings, Rule
from zoo.optim.undoing import undone

_LAST_DROPPED = 5  # points at the end, where the loss is already on its way up
_FEWEST = 5  # points a rule can read

OnStep = Callable[[int, float, float], None]  # steps done, rate, loss
Objective = Callable[[Tensor, Tensor, Tensor], Tensor]  # a network's output, labels, images BCHW: one number


class BatchLike(Protocol):
    """A batch: images float32 BCHW and their labels, on the device."""

    @property
    def images(self) -> Tensor:
        """Images, BCHW."""

    @property
    def labels(self) -> Tensor:
        """Classes, B, or their shares, BK."""


class BatchesLike(Protocol):
    """Batches of a split, epoch by epoch."""

    def epoch(self, epoch: int) -> Iterator[BatchLike]:
        """The batches of an epoch, counted from 1."""


@dataclass(frozen=True, slots=True)
class LRRangeTest:
    """The curve (rates and smoothed losses), what each rule reads off it, and the rate to use."""

    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    raw_losses: tuple[float, ...]
    suggestions: dict[str, float]
    rule: Rule
    chosen: float

    @property
    def falls(self) -> bool:
        """Whether any rate brought the smoothed loss below where it began: if not, the suggestions say little."""
        return min(self.losses) < self.losses[0]

    def by(self, rule: Rule) -> LRRangeTest:
        """The same test, its rate taken by another rule: the sweep knows nothing of rules."""
        return replace(self, rule=rule, chosen=self.suggestions[rule])


def lr_range_test(
    model: nn.Module,
    loss: nn.Module,
    optimization: Optimization,
    batches: BatchesLike,
    settings: FindSettings | None = None,
    *,
    objective: Objective | None = None,
    forward: Callable[[Tensor], Tensor] | None = None,
    backward: Callable[[Tensor], object] = Tensor.backward,
    update: Callable[[], object] | None = None,
    accumulate: int = 1,
    on_step: OnStep = lambda steps, lr, loss: None,
) -> LRRangeTest:
    """Trains for a few batches while the rate rises, then puts everything back bit for bit.

    Weights, buffers, gradients, modes, the optimizers' state and the random generators are as before; what the
    optimization froze is thawed, since it is of no further use. ``optimization`` comes from
    ``OptimizationSpec.build_for_range_test``. How the training takes its steps: ``objective`` (default: the loss) is
    what they make smaller, reduced as the loss is, ``forward`` (default: the model) is where autocast goes,
    ``backward`` where the loss is scaled, ``update`` (default: the optimizers' step) where gradients are unscaled and
    clipped; ``accumulate`` batches make a step. ``on_step`` is told how many steps are done, the rate and the loss.
    The result depends on the model, the batches and the settings alone. Raises DivergedError
    where the loss is finite at no rate; whether it falls, :attr:`LRRangeTest.falls` says.
    """
    settings = settings or FindSettings()
    is_sum = getattr(loss, "reduction", "mean") == "sum"
    objective = objective or (lambda output, labels, images_BCHW: loss(output, labels))
    backward_pass = _BackwardPass(objective, is_sum, forward or model, backward, accumulate)
    with _undone(model, optimization):
        into_training(model)
        lrs, raw = _sweep(optimization, backward_pass, update or optimization.step, batches, settings, on_step)
    smoothed = _smoothed(raw, settings.smoothing)
    end = _divergence(smoothed, settings.diverges_at)
    lrs, raw, smoothed = lrs[:end], raw[:end], smoothed[:end]
    suggestions = suggest(lrs, smoothed, skip=settings.steps // 10)
    if not suggestions:
        raise DivergedError(
            f"the LR range test found no learning rate: the loss is not finite from {settings.start_lr:g} on",
            help="write a learning rate in place of `find`, or look at the data and the loss",
        )
    rule = settings.rule
    return LRRangeTest(tuple(lrs), tuple(smoothed), tuple(raw), suggestions, rule, suggestions[rule])


def suggest(lrs: list[float], losses: list[float], *, skip: int = 0) -> dict[str, float]:
    """What each rule reads off a curve, its first ``skip`` and last five points left out where there are enough.

    Nothing where there is no curve.
    """
    if len(lrs) >= skip + _LAST_DROPPED + _FEWEST:
        lrs, losses = lrs[skip:-_LAST_DROPPED], losses[skip:-_LAST_DROPPED]
    if len(lrs) < 2 or not all(map(math.isfinite, losses)):
        return {}
    return {name: float(rule(lrs, losses)) for name, rule in RULES.items()}


@dataclass(frozen=True, slots=True)
class _BackwardPass:
    """Forward and backward over a step's batches."""

    objective: Objective
    is_sum: bool  # over images; else their mean
    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor], object]
    accumulate: int

    def __call__(self, batches: Iterator[BatchLike]) -> list[tuple[Tensor, int]]:
        """Leaves a step's gradients, of the mean over its batches unless the loss is a sum over images.

        Each batch's loss, and how many it is the sum of: its images, or 1 for a mean.
        """
        found: list[tuple[Tensor, int]] = []
        for batch in islice(batches, self.accumulate):
            value = self.objective(self.forward(batch.images), batch.labels, batch.images)
            self.backward(value if self.is_sum or self.accumulate == 1 else value / self.accumulate)
            found.append((value.detach(), len(batch.images) if self.is_sum else 1))
        return found


def _sweep(
    optimization: Optimization,
    backward_pass: _BackwardPass,
    update: Callable[[], object],
    batches: BatchesLike,
    settings: FindSettings,
    on_step: OnStep,
) -> tuple[list[float], list[float]]:
    """The rates tried and the loss of the step at each."""
    ratio = settings.end_lr / settings.start_lr
    lrs: list[float] = []
    raw: list[float] = []
    stream = chain.from_iterable(map(batches.epoch, count(1)))
    for number in range(settings.steps):
        lr = settings.start_lr * ratio ** (number / (settings.steps - 1))
        optimization.sweep(lr)
        optimization.zero_grad()
        losses = backward_pass(stream)
        update()
        lrs.append(lr)
        raw.append(sum(value.item() for value, _ in losses) / sum(of for _, of in losses))
        on_step(number + 1, lr, raw[-1])
        if _divergence(_smoothed(raw, settings.smoothing), settings.diverges_at) < len(raw):
            break
    return lrs, raw


def _smoothed(losses: list[float], keep: float) -> list[float]:
    """The running mean, corrected for its start from zero."""
    found, mean = [], 0.0
    for number, loss in enumerate(losses, start=1):
        mean = keep * mean + (1 - keep) * loss
        found.append(mean / (1 - keep**number))
    return found


def _divergence(losses: list[float], factor: float) -> int:
    """How many points there are before the loss is not finite, or more than this many times its smallest value."""
    smallest = math.inf
    for index, loss in enumerate(losses):
        if not math.isfinite(loss) or loss > factor * smallest:
            return index
        smallest = min(smallest, loss)
    return len(losses)


@contextmanager
def _undone(model: nn.Module, optimization: Optimization) -> Iterator[None]:
    """Undoes what happens inside to the model, the optimizers and the random generators."""
    state = deepcopy(optimization.state_dict())
    with undone(model):
        try:
            yield
        finally:
            optimization.load_state_dict(state)
            optimization.thaw()
