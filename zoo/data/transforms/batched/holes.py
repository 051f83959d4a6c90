"""Batched transforms that fill rectangles of an image with one colour: CoarseDropout, Erasing. Floor 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.draws import Draws, Integers
from zoo.data.transforms.batched.canvas import Canvas, paint, rectangles
from zoo.data.transforms.batched.forms import NotBatchedError, Parameters, Shape, fill_values


@dataclass(frozen=True)
class Holes:
    """Rectangles of one colour, whose edges those who derive from it draw."""

    after: Shape
    fill: tuple[float, ...]  # a number a channel

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Fills the holes."""
        pixels = canvas.pixels()
        paint(pixels, holes_mask(parameters, canvas), self.fill)
        return Canvas.of(pixels)


@dataclass(frozen=True)
class CoarseDropout(Holes):
    """CoarseDropout: rectangles of one colour, wholly inside the image."""

    p: float
    holes: tuple[int, int]
    height_range: tuple[float, float]
    width_range: tuple[float, float]

    def draw(self, draws: Draws) -> Parameters:
        """``y0``, ``y1``, ``x0``, ``x1`` (n, holes): edges, the second of a pair excluded; equal for no hole."""
        wanted = np.where(draws.happens(self.p), draws.integers(*self.holes), 0)
        edges: dict[str, list[Integers]] = {name: [] for name in ("y0", "y1", "x0", "x1")}
        for hole in range(self.holes[1]):
            present = wanted > hole
            height = self._sizes(draws, self.height_range, self.after.height) * present
            width = self._sizes(draws, self.width_range, self.after.width) * present
            top = draws.integers(0, self.after.height - height)
            left = draws.integers(0, self.after.width - width)
            for name, values in zip(edges, (top, top + height, left, left + width), strict=True):
                edges[name].append(values)
        return {name: np.stack(values, axis=1) for name, values in edges.items()}

    def _sizes(self, draws: Draws, bounds: tuple[float, float], size: int) -> Integers:
        # albumentations lets the height's upper bound decide for both axes whether sizes are pixels or fractions.
        if self.height_range[1] >= 1:
            return draws.integers(int(bounds[0]), int(min(bounds[1], size)))
        return (draws.uniform(*bounds) * size).astype(np.int64)


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


def hole_fill(transform: Any, shape: Shape) -> tuple[float, ...]:
    """The fill of holes, a number a channel, where albumentations takes it."""
    name, fill = type(transform).__name__, fill_values(transform.fill, shape.channels)
    if np.ndim(transform.fill) == 1 and len(transform.fill) != shape.channels:
        raise NotBatchedError(f"{name} with a fill of one number in a list")
    if shape.dtype == "uint8" and not all(0 <= value <= 255 for value in fill):
        raise NotBatchedError(f"{name} with a fill outside 0..255")
    return fill


def holes_mask(parameters: Mapping[str, Tensor], canvas: Canvas) -> Tensor:
    """A mask for :func:`paint` of the holes, from their edges ``y0``, ``y1``, ``x0``, ``x1`` (B, holes)."""
    y = torch.arange(canvas.height, device=canvas.device)
    x = torch.arange(canvas.width, device=canvas.device)
    mask = None
    for hole in range(parameters["y0"].shape[1]):
        y0, y1, x0, x1 = (parameters[name][:, hole, None] for name in ("y0", "y1", "x0", "x1"))
        here = rectangles((y >= y0) & (y < y1), (x >= x0) & (x < x1), canvas.source.shape[3])
        mask = here if mask is None else mask | here
    assert mask is not None
    return mask


def coarse_dropout(transform: Any, shape: Shape) -> CoarseDropout:
    """CoarseDropout with a constant fill."""
    fill = hole_fill(transform, shape)
    height, width = transform.hole_height_range, transform.hole_width_range
    in_pixels = height[1] >= 1
    if in_pixels and (int(height[0]) > shape.height or int(width[0]) > min(width[1], shape.width)):
        raise NotBatchedError("CoarseDropout with holes larger than the image")
    return CoarseDropout(shape, fill, transform.p, transform.num_holes_range, height, width)


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
