"""Watches that loss, gradients and weights stay finite, without making the host wait for the device. Floor 5."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import DivergedError

_WHAT = ("the loss", "a gradient")


class FiniteGuard:
    """From the first loss or gradient that is not finite on, no update happens any more; the host hears of it later.

    A tensor on the device holds the first bad step, and another, :attr:`skip`, tells the optimizers to leave all
    as it is. :meth:`check`, once a log interval, moves the first one to the host and raises.
    """

    def __init__(self, model: nn.Module, device: torch.device, *, scaled: bool) -> None:
        self._parameters = list(model.parameters())
        self._first_bad = torch.full((2,), math.inf, dtype=torch.float64, device=device)
        self.skip = torch.zeros((), dtype=torch.float32, device=device)
        # With loss scaling infinite gradients are all in a day's work: the scaler skips their updates itself.
        self._scaled = scaled
        self._recent: list[tuple[int, float, Tensor]] = []

    def observe(self, step: int, lr: float, loss: Tensor, indices: Tensor) -> None:
        """Looks at a step's loss and gradients, before its update."""
        self._recent.append((step, lr, indices))
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        largest = torch.zeros_like(loss) if self._scaled or not gradients else _largest(gradients)
        found = torch.stack((loss.detach().double(), largest.double()))
        torch.minimum(self._first_bad, torch.where(found.isfinite(), math.inf, float(step)), out=self._first_bad)
        self.skip.copy_(self._first_bad.isfinite().any())

    def check(self) -> None:
        """Raises DivergedError if any step since the start was bad. Waits for the device."""
        recent, self._recent = self._recent, []
        steps = self._first_bad.tolist()
        if math.isinf(min(steps)):
            return
        bad = int(min(steps))
        what = _WHAT[steps.index(min(steps))]
        lr, indices = next(((lr, indices) for step, lr, indices in recent if step == bad), (math.nan, torch.empty(0)))
        ids = [int(index) for index in indices.tolist()]
        raise DivergedError(
            f"training diverged: {what} is not finite at step {bad}, learning rate {lr:.6g}",
            notes=(f"training samples of that step: {_listing(ids)}", "the update was not made"),
            help="a lower learning rate, train.grad_clip, or train.precision: fp32; the last good checkpoint is kept",
        )

    def check_state(self, step: int, lr: float, state: Any) -> None:
        """Raises DivergedError if a tensor of a nested state is not finite: such a state must not be saved."""
        self.check()
        for name, tensor in _float_tensors(state, ""):
            if not bool(torch.isfinite(tensor).all()):
                raise DivergedError(
                    f"training diverged: {name} is not finite after step {step}, learning rate {lr:.6g}",
                    help="a lower learning rate, or train.grad_clip; the last good checkpoint is kept",
                )


def _largest(tensors: list[Tensor]) -> Tensor:
    return torch.stack(torch._foreach_norm(tensors, math.inf)).max()


def _float_tensors(value: Any, path: str) -> Iterable[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _float_tensors(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _float_tensors(item, f"{path}.{number}" if path else str(number))


def _listing(ids: list[int], most: int = 16) -> str:
    shown = ", ".join(map(str, ids[:most]))
    return f"{shown} and {len(ids) - most} more" if len(ids) > most else shown
