"""Batched Erasing: one rectangle of an image filled, its area and its shape drawn. Floor 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo.data.draws import Draws
from zoo.data.transforms.batched.forms import NotBatchedError, Parameters, Shape
from zoo.data.transforms.batched.pixels import Holes, hole_fill


@dataclass(frozen=True)
class Erasing(Holes):
    """Erasing (Zhong et al. 2017)."""

    p: float
    areas: tuple[float, float]  # pixels
    ratios: tuple[float, float]  # width / height

    def draw(self, draws: Draws) -> Parameters:
        """``y0``, ``y1``, ``x0``, ``x1`` (n, 1): edges, the second of a pair excluded; equal for no hole."""
        happens = draws.happens(self.p)
        area, ratio = draws.uniform(*self.areas), draws.uniform(*self.ratios)
        height = np.rint(np.sqrt(area / ratio)).astype(np.int64)
        width = np.rint(np.sqrt(area * ratio)).astype(np.int64)
        top, left = draws.integers(0, self.after.height - height), draws.integers(0, self.after.width - width)
        edges = {"y0": top, "y1": top + height * happens, "x0": left, "x1": left + width * happens}
        return {name: values[:, None] for name, values in edges.items()}


def erasing(transform: Any, shape: Shape) -> Erasing:
    """Erasing with a constant fill."""
    fill = hole_fill(transform, shape)
    size, (low, high) = shape.height * shape.width, transform.ratio
    if low <= 0:
        raise NotBatchedError(f"Erasing with ratio: {[low, high]}")
    # The largest rectangle of every ratio has to fit: that is all albumentations ever draws.
    largest = min(size * transform.scale[1], low * shape.height**2, shape.width**2 / high)
    smallest = size * transform.scale[0]
    if largest < smallest or largest <= 0:
        raise NotBatchedError(f"Erasing with scale: {list(transform.scale)}, too much for its ratio")
    return Erasing(shape, fill, transform.p, (smallest, largest), (low, high))
