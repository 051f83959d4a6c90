"""Batched perspective: each image seen as if from another side. Floor 2."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zoo.data.draws import Draws, Floats
from zoo.data.transforms.batched.forms import NotBatchedError, Shape
from zoo.data.transforms.batched.warps import Warp, sampling

_LARGEST = 0.32  # share of the size by which a corner moves at most; albumentations takes what is more modulo this
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])  # x and y, clockwise


@dataclass(frozen=True)
class PerspectiveWarp(Warp):
    """Perspective that keeps the size; corners move inwards by normal draws of a deviation drawn from ``scale``.

    The quadrilateral between them becomes the image, which albumentations then enlarges once more, by the image's size
    over the quadrilateral's. Of an image ten times as long as wide that can show the horizon: a few pixels there, whose
    places float32 no longer tells, differ from OpenCV's.
    """

    scale: tuple[float, float]

    def _matrix(self, draws: Draws) -> Floats:
        size = np.array([self.after.width, self.after.height])
        deviation = draws.uniform(*self.scale)
        inwards = np.stack([_half_normal(draws) for _ in range(8)], axis=1).reshape(-1, 4, 2)
        inwards = np.mod(inwards * deviation[:, None, None], _LARGEST)
        corners = np.abs(_CORNERS - inwards) * size
        corners = corners.astype(np.float32)
        return _from_rectangle(corners.astype(np.float64), size**2 / _extent(corners))


def _half_normal(draws: Draws) -> Floats:
    """Absolute values of standard normal draws (n)."""
    from scipy.special import ndtri

    values: Floats = -ndtri((1.0 - draws.uniform()) / 2)
    return values


def _extent(corners: np.ndarray[Any, Any]) -> Floats:
    """Width and height (n, 2) in whole pixels: the longer of the upper and lower side, of the left and right one."""
    sides = np.sqrt(((corners - np.roll(corners, -1, axis=1)) ** 2).sum(axis=2)).reshape(-1, 2, 2)
    extent: Floats = np.trunc(sides.max(axis=1)).astype(np.float64)
    return extent


def _from_rectangle(corners: Floats, size: Floats) -> Floats:
    """The homogeneous matrices (n, 9) that take rectangles from (0, 0) to ``size`` (n, 2) to ``corners`` (n, 4, 2).

    Source: Heckbert, Fundamentals of Texture Mapping and Image Warping, 1989, section 2.2.3.
    """
    first, second, third, fourth = corners.transpose(1, 2, 0)
    right, down, rest = second - third, fourth - third, first - second + third - fourth
    area = right[0] * down[1] - down[0] * right[1]
    g = (rest[0] * down[1] - down[0] * rest[1]) / area
    h = (right[0] * rest[1] - rest[0] * right[1]) / area
    across, along = second - first + g * second, fourth - first + h * fourth
    unit = np.stack([np.stack([*across, g]), np.stack([*along, h]), np.stack([*first, np.ones_like(g)])], axis=1)
    unit[:, :2] /= size.T
    return unit.transpose(2, 0, 1).reshape(-1, 9)


def perspective(transform: Any, shape: Shape) -> PerspectiveWarp:
    """Perspective."""
    for name, needed in (("keep_size", True), ("fit_output", False)):
        if getattr(transform, name) != needed:
            raise NotBatchedError(f"Perspective with {name}: {str(not needed).lower()}")
    if min(shape.height, shape.width) * (1 - 2 * _LARGEST) < 2:  # where albumentations widens what it has drawn
        raise NotBatchedError(f"Perspective of images of {shape.height} x {shape.width}")
    how = sampling(transform, shape)
    if not isinstance(how.fill, tuple):
        how = replace(how, fill=(how.fill,))  # one number reaches OpenCV as it is, and is the first channel's
    return PerspectiveWarp(transform.p, how, shape, tuple(transform.scale))
