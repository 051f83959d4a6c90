"""Watches that loss, gradients and weights stay finite, without making the host wait for the device. Floor 5."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zoo.diagnostics import first_of
from zoo.errors import DivergedError
from zoo.train.ranks import ALONE, Ranks


class _Step(NamedTuple):
    """What is told of a step, should it turn out to have been bad."""

    number: int
    lr: float
    loss: Tensor
    indices: Sequence[Tensor]  # the samples of each of its batches


# The smallest normal number of half precision. fairseq gives up near it too (``--min-loss-scale``, 1e-4).
SMALLEST_LOSS_SCALE = 2.0**-14
_MOST_NAMED = 16  # samples of a bad step, in one message


class FiniteGuard:
    """From the first loss or gradient that is not finite on, no update happens any more; the host hears of it later.

    :attr:`skip`, a tensor on the device, is 1 from that step on and tells the optimizers to leave all as it is;
    another counts the steps that were left out. :meth:`check`, once a log interval, reads the count and raises.

    With loss scaling (``scaler``) a gradient that overflows is all in a day's work: that one update is left out and
    the scale halved. A gradient that is not finite at any scale shows in the scale, which :meth:`check` reads too.
    """

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        scaler: torch.amp.GradScaler | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self._scaler = scaler
        self._ranks = ranks
        self._parameters = [] if scaler is not None else list(model.parameters())
        self.skip = torch.zeros((), device=device)
        self._skipped = torch.zeros((), device=device)
        self._one = torch.ones((), device=device)
        self._recent: list[_Step] = []

    def observe(self, step: int, lr: float, loss: Tensor, indices: Sequence[Tensor]) -> None:
        """Looks at a step's loss and gradients, before its update."""
        self._recent.append(_Step(step, lr, loss, indices))
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        # GradScaler's kernel: one pass over all tensors sets `skip`, and never clears it. To multiply by one leaves
        # them as they are. On a CPU it was measured 9 times as fast as the gradients' largest norm.
        torch._amp_foreach_non_finite_check_and_unscale_([loss, *gradients], self.skip, self._one)
        self._skipped += self.skip

    def check(self) -> None:
        """Raises DivergedError if any step since the start was bad. Waits for the device."""
        recent, self._recent = self._recent, []
        skipped = int(self._skipped)
        if not skipped:
            self._check_scale(recent)
            return
        bad = recent[-skipped]
        what = "a gradient" if math.isfinite(bad.loss) else "the loss"
        own = [int(index) for indices in bad.indices for index in indices.tolist()]
        ids = list(dict.fromkeys(str(index) for of_rank in self._ranks.gather(own) for index in of_rank))
        shown = first_of(ids[:_MOST_NAMED], len(ids))
        raise DivergedError(
            f"training diverged: {what} is not finite at step {bad.number}, learning rate {bad.lr:.6g}",
            notes=(f"training samples of that step: {shown}", "the update was not made"),
            help="a lower learning rate, train.grad_clip, or train.precision: fp32; what was saved before is kept",
        )

    def _check_scale(self, recent: Sequence[_Step]) -> None:
        if self._scaler is None or not recent or self._scaler.get_scale() >= SMALLEST_LOSS_SCALE:
            return
        last = recent[-1]
        raise DivergedError(
            f"training diverged: gradients are not finite at any loss scale, seen at step {last.number}, "
            f"learning rate {last.lr:.6g}",
            notes=(f"the loss scale of fp16 has fallen below {SMALLEST_LOSS_SCALE:.3g}; the updates were not made",),
            help="a lower learning rate, or train.precision: fp32; what was saved before is kept",
        )

    def check_state(self, step: int, lr: float, state: Any) -> None:
        """Raises DivergedError if a tensor of a nested state is not finite: such a state must not be saved."""
        self.check()
        for name, tensor in _float_tensors(state, ""):
            if not bool(torch.isfinite(tensor).all()):
                raise DivergedError(
                    f"training diverged: {name} is not finite after step {step}, learning rate {lr:.6g}",
                    help="a lower learning rate, or train.grad_clip; what was saved before is kept",
                )

    def check_test(self, loss: float, step: int, lr: float, state: Any) -> None:
        """Raises DivergedError for the loss of a test that is not finite, naming a tensor of the state that is not."""
        if math.isfinite(loss):
            return
        self.check_state(step, lr, state)
        raise DivergedError(
            f"training diverged: the loss of the test is not finite after step {step}, learning rate {lr:.6g}",
            notes=(
                "weights and training losses are finite: the network, an image of the test, or the loss itself (class "
                "weights of 0) goes beyond that",
            ),
            help="a lower learning rate, or train.precision: fp32; what was saved before is kept",
        )


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
