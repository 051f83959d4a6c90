"""The four rules that read a learning rate off the curve of a range test. Floor 2; no torch.

They are fastai's (``fastai/callback/schedule.py``), which says where each comes from; ``minimum`` and ``steep`` go
back to Smith 2015 (arXiv:1506.01186). All take rates that rise evenly on a log scale and smoothed losses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from zoo.optim.settings import Rule

_SLIDE_WIDTH = 15  # points between the two ends of the interval that slides
_SLIDE_THRESHOLD = 0.005  # difference of slopes at which it stops


def valley(lrs: Sequence[float], losses: Sequence[float]) -> float:
    """In the middle third of the longest stretch along which the loss falls, ups and downs between ignored."""
    end, length = _longest_fall(losses)
    third = length / 3
    return lrs[max(0, end - length + int(third) + int(third / 2))]


def steep(lrs: Sequence[float], losses: Sequence[float]) -> float:
    """Where the loss falls fastest, per factor of the rate."""
    slopes = np.diff(losses) / np.diff(np.log(lrs))
    return lrs[int(slopes.argmin())]


def minimum(lrs: Sequence[float], losses: Sequence[float]) -> float:
    """A tenth of the rate at which the loss is smallest."""
    return lrs[int(np.argmin(losses))] / 10


def slide(lrs: Sequence[float], losses: Sequence[float]) -> float:
    """The left end of an interval that slides down from the right until the slopes at its ends agree."""
    slopes = np.gradient(losses)
    right, left = len(lrs) - 1, max(0, len(lrs) - 1 - _SLIDE_WIDTH)
    found = lrs[left]
    while left >= 0 and abs(slopes[right] - slopes[left]) > _SLIDE_THRESHOLD:
        found = lrs[left]
        right, left = right - 1, left - 1
    return found


RULES: dict[Rule, Callable[[Sequence[float], Sequence[float]], float]] = {
    "valley": valley,
    "steep": steep,
    "minimum": minimum,
    "slide": slide,
}


def _longest_fall(losses: Sequence[float]) -> tuple[int, int]:
    """The last point of the longest strictly falling subsequence (the first of several), and how many it has."""
    lengths: list[int] = []
    for index, loss in enumerate(losses):
        above = [lengths[earlier] for earlier in range(index) if losses[earlier] > loss]
        lengths.append(1 + max(above, default=0))
    end = int(np.argmax(lengths))
    return end, lengths[end]
