"""Sums kept on the device, and the clock that measures steps without waiting for each. Floor 5."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor, nn

from zoo.train.ranks import ALONE, Ranks


def is_sum(loss: nn.Module) -> bool:
    """Whether a loss adds up its samples instead of averaging them."""
    return getattr(loss, "reduction", "mean") == "sum"


class Meter:
    """Loss and accuracy over samples: sums on the device, moved to the host only when read, those of all ranks then.

    ``sums`` and ``samples`` are this rank's own.
    """

    def __init__(self, device: torch.device, *, loss_is_sum: bool, ranks: Ranks = ALONE) -> None:
        self._loss_is_sum = loss_is_sum
        self._ranks = ranks
        # Double: a float32 sum over an epoch of ImageNet would drop digits.
        self.sums = torch.zeros(2, dtype=torch.float64, device=device)
        self._loss, self._correct = self.sums.unbind()  # views
        self.samples = 0

    def add(self, loss: Tensor, logits_BK: Tensor, labels: Tensor) -> None:
        """Takes a batch: its loss as the loss function gave it; labels B, or shares BK (counted by their argmax)."""
        samples = len(logits_BK)
        classes_B = labels.argmax(dim=1) if labels.dim() == 2 else labels
        self._loss.add_(loss.detach(), alpha=1 if self._loss_is_sum else samples)
        self._correct.add_((logits_BK.detach().argmax(dim=1) == classes_B).sum())
        self.samples += samples

    def read(self) -> dict[str, float]:
        """``loss`` and ``accuracy``, means over samples. Waits for the device, and for all ranks."""
        loss, correct, samples = self._totals()
        return {"loss": loss / max(1, samples), "accuracy": correct / max(1, samples)}

    def _totals(self) -> tuple[float, float, int]:
        if self._ranks.is_alone:
            loss, correct = self.sums.tolist()
            return loss, correct, self.samples
        sums = torch.cat([self.sums, self.sums.new_tensor([self.samples])])
        self._ranks.add_up([sums])
        loss, correct, samples = sums.tolist()
        return loss, correct, int(samples)

    def reset(self) -> None:
        """Begins anew."""
        self.sums.zero_()
        self.samples = 0

    def load(self, sums: Tensor, samples: int) -> None:
        """Goes on from sums kept in a checkpoint."""
        self.sums.copy_(sums)
        self.samples = samples


class StepClock:
    """Images a second over training steps only.

    It is read where the host waits for the device anyway, once a log interval; what lies between :meth:`stop`
    and :meth:`start` (evaluation, checkpoints) does not count, nor does the first interval, which warms up.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._began: float | None = None
        self._images = self._steps = 0
        self._size: tuple[int, int] | None = None  # of the images, where they are resized
        self._first: float | None = None  # the interval that warms up
        self._rates: deque[float] = deque(maxlen=10_000)
        self._recent: deque[float] = deque(maxlen=5)

    def turn_to(self, size: tuple[int, int] | None) -> None:
        """Steps are on images of this size from here on: those on another say nothing of them."""
        if size != self._size:
            self._size, self._first = size, None
            self._rates.clear()
            self._recent.clear()

    def start(self) -> None:
        """Begins an interval."""
        self._began, self._images, self._steps = self._now(), 0, 0

    def leave_out(self, seconds: float) -> None:
        """Takes seconds of the present interval out of it."""
        if self._began is not None:
            self._began += seconds

    def step(self, images: int) -> None:
        """Counts an optimizer step, of however many batches; reads no clock."""
        self._images += images
        self._steps += 1

    def stop(self) -> float:
        """Ends the interval, where the device has been waited for; gives its seconds, 0 of one without a step."""
        if self._began is None or not self._steps:
            return 0.0
        seconds = max(self._now() - self._began, 1e-9)
        self._began = None
        self._recent.append(seconds / self._steps)
        if self._first is None:
            self._first = self._images / seconds
        else:
            self._rates.append(self._images / seconds)
        return seconds

    @property
    def images_per_second(self) -> float:
        """The median interval's; before the second one is over, the first one's."""
        return statistics.median(self._rates) if self._rates else self._first or 0.0

    @property
    def step_seconds(self) -> float:
        """The seconds of an optimizer step, lately."""
        return statistics.median(self._recent) if self._recent else 0.0
