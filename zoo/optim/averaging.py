"""Averages of the weights over a training: EMA, Lookahead, SWA. Floor 2.

Each follows the optimizer step by step (``after_step(step)``, ``after_epoch(epoch)``, both counted from 1) and can
put its average into the model for the length of a ``with`` block (``applied()``). Buffers are averaged too, so
that batch norm's statistics belong to the averaged weights; whole numbers are copied. No host sync.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Named tensors of a model (parameters and buffers) and an average of each; the model's own until a first pull."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def pull(self, share: float) -> None:
        """Moves the average towards the model by a share of the way: average + share x (model - average)."""
        averages, values = [], []
        for name, value in self._model.state_dict().items():
            if value.is_floating_point():
                averages.append(self._tensors[name])
                values.append(value)
            else:
                self._tensors[name].copy_(value)
        torch._foreach_lerp_(averages, values, share)

    @torch.no_grad()
    def write(self) -> None:
        """Copies the average into the model."""
        for name, value in self._model.state_dict().items():
            value.copy_(self._tensors[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model with the averaged weights; afterwards its own again, bit for bit."""
        own = {name: tensor.clone() for name, tensor in self._model.state_dict().items()}
        self.write()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in self._model.state_dict().items():
                    value.copy_(own[name])

    def tensors(self) -> dict[str, Tensor]:
        """The averages, by name."""
        return dict(self._tensors)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes up saved averages. Raises KeyError for one that is missing."""
        self._tensors = {name: tensors[name].to(old.device).clone() for name, old in self._tensors.items()}


class _Averaging:
    """What the three have in common: an average, the number of updates that went into it, and its state."""

    def __init__(self, model: nn.Module) -> None:
        self._average = WeightAverage(model)
        self.updates = 0

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model with the averaged weights; as it is where nothing was averaged yet."""
        if self.updates == 0:
            yield
            return
        with self._average.applied():
            yield

    def state_dict(self) -> dict[str, Any]:
        """Tensors under ``average``, and the number of updates."""
        return {"updates": self.updates, "average": self._average.tensors()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up a saved state."""
        self.updates = int(state["updates"])
        self._average.load(state["average"])


class EMA(_Averaging):
    """Exponential moving average: ``decay`` x average + (1 - ``decay``) x weights, every ``every`` steps.

    The first update takes the weights as they are. ``decay`` holds for one update: 0.99**5 every 5 steps looks
    as far back as 0.99 every step.
    """

    def __init__(self, model: nn.Module, decay: float = 0.999, every: int = 1) -> None:
        super().__init__(model)
        self.decay = decay
        self.every = every

    def after_step(self, step: int) -> None:
        """Updates the average where ``step`` is due."""
        if step % self.every == 0:
            self._average.pull(1.0 if self.updates == 0 else 1.0 - self.decay)
            self.updates += 1

    def after_epoch(self, epoch: int) -> None:
        """Nothing: it goes by steps."""


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

    def after_epoch(self, epoch: int) -> None:
        """Nothing: it goes by steps."""


class SWA(_Averaging):
    """Stochastic weight averaging: the plain mean of weights along the end of a training.

    Source: Izmailov et al. 2018, arXiv:1803.05407. The first weights that count are those at ``start_epoch``, and
    then every ``every_epochs`` (fractions too). The paper computes batch norm's statistics anew for the mean;
    here the statistics are averaged with the weights.
    """

    def __init__(self, model: nn.Module, steps_per_epoch: int, start_epoch: float, every_epochs: float = 1.0) -> None:
        super().__init__(model)
        self._start = max(1, round(start_epoch * steps_per_epoch))
        self._every = max(1, round(every_epochs * steps_per_epoch))

    def after_step(self, step: int) -> None:
        """Takes the weights into the mean where ``step`` is due."""
        if step >= self._start and (step - self._start) % self._every == 0:
            self._average.pull(1.0 / (self.updates + 1))
            self.updates += 1

    def after_epoch(self, epoch: int) -> None:
        """Nothing: epochs are counted in steps."""
