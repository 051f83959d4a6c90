"""Batched affine warps: rotate, scale, shear and shift about the image's centre. Floor 2.

Distributions are albumentations' (``get_params_dependent_on_data`` of the transform that each form is built from).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo.data.draws import Draws, Floats
from zoo.data.transforms.batched import geometry
from zoo.data.transforms.batched.forms import BatchedForm, NotBatchedError, Shape
from zoo.data.transforms.batched.warps import Warp, sampling

Range = tuple[float, float]

_FARTHEST = 2**31  # pixels or degrees: beyond, OpenCV and float32 have no places for an image


@dataclass(frozen=True)
class AffineWarp(Warp):
    """Affine, ShiftScaleRotate, Rotate: shift of shear of rotation of scale, about the centre.

    Ranges are pairs, x's and y's: ``translate`` in pixels, or with ``in_fractions`` in fractions of the size; ``shear``
    and ``rotate`` in degrees.
    """

    rotate: Range
    scale: tuple[Range, Range] = ((1.0, 1.0), (1.0, 1.0))
    shear: tuple[Range, Range] = ((0.0, 0.0), (0.0, 0.0))
    translate: tuple[Range, Range] = ((0.0, 0.0), (0.0, 0.0))
    in_fractions: bool = False
    keep_ratio: bool = False
    balanced_scale: bool = False

    def _matrix(self, draws: Draws) -> Floats:
        return inverted(self._forward(draws))

    def _forward(self, draws: Draws) -> Floats:
        """Where each point of an image goes (n, 2, 3)."""
        size = np.array([self.after.width, self.after.height])
        shift = np.stack([self._shift(draws, *one) for one in zip(self.translate, size, strict=True)], axis=1)
        shear_x, shear_y = (np.tan(np.deg2rad(-draws.uniform(*bounds))) for bounds in self.shear)
        scale_x, scale_y = self._scales(draws)
        angle = np.deg2rad(draws.uniform(*self.rotate))
        cos, sin = np.cos(angle), np.sin(angle)
        row_x = np.stack([cos * scale_x, sin * scale_y], axis=1)
        row_y = np.stack([-sin * scale_x, cos * scale_y], axis=1)
        linear = np.stack([row_x + shear_x[:, None] * row_y, row_y + shear_y[:, None] * row_x], axis=1)
        centre = size / 2 - 0.5
        return np.concatenate([linear, (centre + shift - linear @ centre)[:, :, None]], axis=2)

    def _shift(self, draws: Draws, bounds: Range, size: int) -> Floats:
        if not self.in_fractions:
            return draws.integers(int(bounds[0]), int(bounds[1])).astype(np.float64)
        return np.trunc(draws.uniform(*bounds) * size)

    def _scales(self, draws: Draws) -> tuple[Floats, Floats]:
        scale = _balanced if self.balanced_scale else Draws.uniform
        x, y = (scale(draws, *bounds) for bounds in self.scale)
        return x, x if self.keep_ratio else y


def _balanced(draws: Draws, low: float, high: float) -> Floats:
    """Below and above 1 equally often, where the range has both."""
    below, share = draws.happens(0.5), draws.uniform()
    if low >= 1 or high <= 1:
        below = np.full(len(draws), low < 1)
    other = np.where(below, low, max(high, 1.0))
    return 1.0 + share * (other - 1.0)


def inverted(forward: Floats) -> Floats:
    """The inverses (n, 6), row by row, of affine maps (n, 2, 3); of one that has none all 0, as in OpenCV."""
    a, b, c, d = forward[:, 0, 0], forward[:, 0, 1], forward[:, 1, 0], forward[:, 1, 1]
    determinant = a * d - b * c
    factor = np.divide(1.0, determinant, out=np.zeros_like(determinant), where=determinant != 0)
    xx, xy, yx, yy = d * factor, -b * factor, -c * factor, a * factor
    x, y = forward[:, 0, 2], forward[:, 1, 2]
    return np.stack([xx, xy, -xx * x - xy * y, yx, yy, -yx * x - yy * y], axis=1)


@dataclass(frozen=True)
class SafeRotateWarp(Warp):
    """SafeRotate: rotated, and then made as small as the frame is, each axis by itself."""

    limit: Range

    def _matrix(self, draws: Draws) -> Floats:
        size = np.array([self.after.width, self.after.height])
        angle = np.deg2rad(draws.uniform(*self.limit))
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.stack([np.stack([cos, sin], axis=1), np.stack([-sin, cos], axis=1)], axis=1)
        needed = np.floor((np.abs(turn) * size).sum(axis=2))
        scale = size / needed
        forward = np.concatenate([turn, (needed / 2 - turn @ (size / 2 - 0.5))[:, :, None]], axis=2)
        return inverted(scale[:, :, None] * forward)


def _check_reach(transform: Any, *names: str) -> None:
    """Refuses angles and shifts that are no such."""
    for name in names:
        value = getattr(transform, name)
        bounds = list(value.values()) if isinstance(value, dict) else value
        if value is not None and np.abs(bounds).max() > _FARTHEST:
            raise NotBatchedError(f"{type(transform).__name__} with {name}: {value}")


def rotate(transform: Any, shape: Shape) -> AffineWarp:
    """Rotate, within the image's frame."""
    if transform.crop_border:
        raise NotBatchedError("Rotate with crop_border: true")
    _check_reach(transform, "limit")
    return AffineWarp(transform.p, sampling(transform, shape), shape, tuple(transform.limit))


def safe_rotate(transform: Any, shape: Shape) -> SafeRotateWarp:
    """SafeRotate."""
    _check_reach(transform, "limit")
    return SafeRotateWarp(transform.p, sampling(transform, shape), shape, tuple(transform.limit))


def affine(transform: Any, shape: Shape) -> BatchedForm:
    """Affine and ShiftScaleRotate; those that shift by whole pixels and do nothing else move rows and columns."""
    if transform.fit_output:
        raise NotBatchedError(f"{type(transform).__name__} with fit_output: true")
    _check_reach(transform, "rotate", "shear", "translate_px", "translate_percent")
    if geometry.only_shifts(transform):
        return geometry.shift(transform, shape)
    percent = transform.translate_percent
    scale, shear, translate = (
        (tuple(ranges["x"]), tuple(ranges["y"]))
        for ranges in (transform.scale, transform.shear, transform.translate_px if percent is None else percent)
    )
    return AffineWarp(
        transform.p,
        sampling(transform, shape),
        shape,
        tuple(transform.rotate),
        scale=scale,
        shear=shear,
        translate=translate,
        in_fractions=percent is not None,
        keep_ratio=transform.keep_ratio,
        balanced_scale=transform.balanced_scale,
    )
