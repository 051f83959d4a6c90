"""Which mistakes to show. Floor 6."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def most_confident(labels: Indices, predictions: Indices, confidence: NDArray[np.float32], count: int) -> Indices:
    """The mistakes the network was surest of, surest first; ties by index."""
    wrong = np.flatnonzero(labels != predictions)
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:count].astype(np.int64)


def from_every_class(labels: Indices, predictions: Indices, confidence: NDArray[np.float32], count: int) -> Indices:
    """Mistakes for a gallery: the surest of every class first, then every class's second, until ``count``.

    A gallery by confidence alone would show little but cats and dogs. Surest first.
    """
    ordered = most_confident(labels, predictions, confidence, len(labels))
    turn = np.zeros(len(ordered), np.int64)
    seen: dict[int, int] = {}
    for place, index in enumerate(ordered):
        label = int(labels[index])
        turn[place] = seen.get(label, 0)
        seen[label] = int(turn[place]) + 1
    kept = np.sort(np.argsort(turn, kind="stable")[:count])
    return ordered[kept]
