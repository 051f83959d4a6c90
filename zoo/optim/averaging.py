"""Averages of the weights over a training: EMA, Lookahead, SWA. Floor 2.

Each follows the optimizer step by step (``after_step(step)``, counted from 1) and can put its average into the model
for the length of a ``with`` block (``applied()``). Buffers are averaged too, so that batch norm's statistics belong
to the averaged weights; whole numbers are copied. No host sync.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.diagnostics import Diagnostics, Span
from zoo.optim.frozen_statistics import has_frozen_statistics, into_training
from zoo.optim.undoing import same_randomness


class WeightAverage:
    """Named tensors of a model (parameters and buffers) and an average of each; the model's own until a first pull."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        self._slots = dict(_slots(model))

    @torch.no_grad()
    def pull(self, share: float) -> None:
        """Moves the average towards the model by a share of the way: average + share x (model - average)."""
        # All together: a GPU takes as long to start a small kernel as to run it.
        moving: list[tuple[Tensor, Tensor]] = []
        counted: list[tuple[Tensor, Tensor]] = []
        for name, average in self._tensors.items():
            (moving if average.is_floating_point() else counted).append((average, self._present(name)))
        torch._foreach_lerp_(*_columns(moving), share)
        if counted:
            torch._foreach_copy_(*_columns(counted))

    @torch.no_grad()
    def write(self) -> None:
        """Copies the average into the model."""
        torch._foreach_copy_(*_columns((self._present(name), average) for name, average in self._tensors.items()))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model with the averaged weights; afterwards its own again, bit for bit."""
        own = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.write()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in own.items():
                    self._present(name).copy_(value)

    def _present(self, name: str) -> Tensor:
        """The model's tensor of this name. ``state_dict()`` would find them all, but walks the modules for it."""
        tensors, key = self._slots[name]
        tensor: Tensor = tensors[key]
        return tensor

    def tensors(self) -> dict[str, Tensor]:
        """The averages, by name."""
        return dict(self._tensors)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes up saved averages. Raises KeyError for one that is missing, ValueError for one of another kind."""
        for name, old in self._tensors.items():
            if (tensors[name].shape, tensors[name].dtype) != (old.shape, old.dtype):
                raise ValueError(f"the average of {name} is {_kind(tensors[name])}, the network has {_kind(old)}")
        self._tensors = {name: tensors[name].to(old.device).clone() for name, old in self._tensors.items()}


def _slots(model: nn.Module) -> Iterator[tuple[str, tuple[dict[str, Any], str]]]:
    """Where the model keeps each tensor of its state: a buffer may be another tensor after every pass."""
    kept = model.state_dict().keys()
    for path, module in model.named_modules(remove_duplicate=False):
        for tensors in (module._parameters, module._buffers):
            for key in tensors:
                name = f"{path}.{key}" if path else key
                if name in kept:
                    yield name, (tensors, key)


def _kind(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _columns(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    first, second = zip(*pairs, strict=True)
    return list(first), list(second)


class _Averaging(ABC):
    """What the three have in common: an average, the number of updates that went into it, and its state."""

    takes_statistics: ClassVar[bool] = False  # batch norm's, anew for the average; else they are averaged too

    def __init__(self, model: nn.Module) -> None:
        self._average = WeightAverage(model)
        self._refreshed = 0  # the updates that statistics taken anew know of
        self.updates = 0

    @abstractmethod
    def after_step(self, step: int) -> None:
        """Follows optimizer step ``step``, counted from 1."""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model with the averaged weights; as it is where nothing was averaged yet."""
        if self.updates == 0:
            yield
            return
        with self._average.applied():
            yield

    def refresh_statistics(self, images: Iterable[Tensor]) -> None:
        """Batch norm's statistics of the average over batches BCHW, as ``torch.optim.swa_utils.update_bn`` takes them.

        Statistics that stand still are left alone, and used. Nothing, and no image is read, where statistics are
        averaged with the weights, no weights joined the average since the last time, or no batch norm learns. The model
        and the random state stay as they are.
        """
        if not self.takes_statistics or self._refreshed == self.updates:
            return
        if _learning_norms(self._average.model):
            with self._average.applied():
                mean = deepcopy(self._average.model)
            with same_randomness(mean):  # dropout draws
                _take_statistics(mean, images)
            self._average.load(mean.state_dict())
        self._refreshed = self.updates

    def state_dict(self) -> dict[str, Any]:
        """Tensors under ``average``, the number of updates, and of those that statistics taken anew know of."""
        return {"updates": self.updates, "refreshed": self._refreshed, "average": self._average.tensors()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up a saved state."""
        self.updates = int(state["updates"])
        self._refreshed = int(state.get("refreshed", 0))  # older checkpoints have it of SWA alone
        self._average.load(state["average"])


class EMA(_Averaging):
    """Exponential moving average: ``decay`` x average + (1 - ``decay``) x weights, every ``every`` steps.

    The first update takes the weights as they are. ``decay`` holds for one update: 0.99**5 every 5 steps looks
    as far back as 0.99 every step. With ``warmup`` the decay rises to that, from 2/11 by (1 + n) / (10 + n) after n
    updates, as in TensorFlow's ``ExponentialMovingAverage``: without it a short training's average keeps a share of
    ``decay^updates`` of its first, poor weights.
    """

    def __init__(self, model: nn.Module, decay: float = 0.999, every: int = 1, *, warmup: bool = False) -> None:
        super().__init__(model)
        self.decay = decay
        self.every = every
        self.warmup = warmup

    @property
    def present_decay(self) -> float:
        """The share of itself that the average keeps at the next update."""
        if self.updates == 0:
            return 0.0
        return min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay

    def after_step(self, step: int) -> None:
        """Updates the average where ``step`` is due."""
        if step % self.every == 0:
            self._average.pull(1.0 - self.present_decay)
            self.updates += 1


class Lookahead(_Averaging):
    """Slow weights that the fast ones are set back to every ``every`` steps (Zhang et al. 2019, arXiv:1907.08610).

    In airbench's form (Jordan 2024) the slow weights keep a share of ``decay x (step / total_steps)^power`` of
    themselves, buffers too: at first they are the weights, towards the end an average over several pulls. The
    slow weights are the result; ``applied()`` shows them.
    """

    def __init__(
        self, model: nn.Module, total_steps: int, every: int = 5, decay: float = 0.95**5, power: float = 3.0
    ) -> None:
        super().__init__(model)
        self.total_steps = total_steps
        self.every = every
        self.decay = decay
        self.power = power

    def decay_at(self, step: int) -> float:
        """The share of themselves that the slow weights keep after this step."""
        return self.decay * float(min(1.0, step / self.total_steps) ** self.power)

    def after_step(self, step: int) -> None:
        """Pulls the slow weights, and sets the model to them, where ``step`` is due."""
        if step % self.every == 0:
            self._average.pull(1.0 - self.decay_at(step))
            self._average.write()
            self.updates += 1


class SWA(_Averaging):
    """Stochastic weight averaging: the plain mean of weights along the end of a training.

    Source: Izmailov et al. 2018, arXiv:1803.05407. The first weights that count are those at ``start_epoch``, and
    then every ``every_epochs`` (fractions too). Batch norm's statistics are computed anew for the mean
    (:meth:`refresh_statistics`); until that is done it has the mean of the weights' own.
    """

    takes_statistics = True

    def __init__(self, model: nn.Module, steps_per_epoch: int, start_epoch: float, every_epochs: float = 1.0) -> None:
        super().__init__(model)
        self._start = max(1, round(start_epoch * steps_per_epoch))
        self._every = max(1, round(every_epochs * steps_per_epoch))

    def after_step(self, step: int) -> None:
        """Takes the weights into the mean where ``step`` is due."""
        if step >= self._start and (step - self._start) % self._every == 0:
            self._average.pull(1.0 / (self.updates + 1))
            self.updates += 1


def _learning_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    norms = (module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))
    return [norm for norm in norms if not has_frozen_statistics(norm)]


@torch.no_grad()
def _take_statistics(model: nn.Module, images: Iterable[Tensor]) -> None:
    """``update_bn``, which would begin anew with those too that stand still."""
    into_training(model)
    for norm in _learning_norms(model):
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    for images_BCHW in images:
        model(images_BCHW)


def check_start(start_epoch: float, epochs: float, span: Span, diagnostics: Diagnostics) -> None:
    """Tells where stochastic weight averaging would begin after the end of a training of this many epochs."""
    if start_epoch > epochs:
        diagnostics.error(
            "swa-outside-training",
            f"train.swa: start_epoch {start_epoch:g} lies outside the training of {epochs:g} epochs: "
            "nothing would be averaged",
            span,
            help=f"choose one between 0 and {epochs:g}, or train for longer",
        )
