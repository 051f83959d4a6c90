"""Batched affine warps: rotate, scale, shear, shift, each image by a matrix of its own. Floor 2.

Distributions are albumentations', pixels OpenCV 5's: its ``warpAffine`` computes coordinates and blends in float32, no
longer in steps of 1/32 pixel. Its fused multiplications round a few ties the other way: one grey level, in fewer than
one value of a thousand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.borders import CONSTANT, REFLECT, REPLICATE, WRAP, inside
from zoo.data.draws import Draws, Floats
from zoo.data.transforms import geometry
from zoo.data.transforms.canvas import Canvas, constant
from zoo.data.transforms.chosen import where_chosen
from zoo.data.transforms.forms import BatchedForm, NotBatchedError, Parameters, Shape, border_fill
from zoo.data.transforms.parts import in_parts

Range = tuple[float, float]

_NEAREST, _LINEAR = 0, 1
_RING = 2  # pixels of border around each image, so that no tap of a coordinate that `_within` gives is missing


@dataclass(frozen=True)
class Sampling:
    """How pixels are looked up: border mode and fill, and whether between pixels or at the nearest one."""

    mode: int
    fill: Any
    linear: bool
    shape: Shape

    def planes(self, pixels_BHWC: Tensor) -> Tensor:
        """The images as float32 (C, B, H + 4, W + 4), a ring of border around each."""
        count, height, width = pixels_BHWC.shape[:3]
        if self.mode == CONSTANT:
            fill = constant(border_fill(self.fill, self.shape), pixels_BHWC.device).view(-1, 1, 1, 1)
            planes = fill.repeat(1, count, height + 2 * _RING, width + 2 * _RING)
            planes[:, :, _RING:-_RING, _RING:-_RING] = pixels_BHWC.permute(3, 0, 1, 2)
            return planes
        rows, columns = (
            inside(torch.arange(-_RING, size + _RING, device=pixels_BHWC.device)[None], size, self.mode)
            for size in (height, width)
        )
        ringed = Canvas.of(pixels_BHWC).moved(rows, columns).pixels()
        return ringed.permute(3, 0, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)

    def at(self, pixels_BHWC: Tensor, x_BHW: Tensor, y_BHW: Tensor) -> Tensor:
        """The images (B, H, W, C) looked up at these columns and rows of theirs."""
        x, y = (x_BHW, y_BHW) if self.linear else (x_BHW.round(), y_BHW.round())
        x, y = _within(x, pixels_BHWC.shape[2], self.mode), _within(y, pixels_BHWC.shape[1], self.mode)
        planes = self.planes(pixels_BHWC)
        height, width = planes.shape[2:]
        left, above = x.floor(), y.floor()
        image = torch.arange(len(pixels_BHWC), device=x.device).view(-1, 1, 1)
        # A place in an image is a whole number that float32 can tell from the next: `sampling` saw to it.
        place = torch.add(left, above, alpha=width).long().add_(image * height * width + (_RING * width + _RING))
        x, y = x.sub_(left), y.sub_(above)

        def looked_up(plane: Tensor) -> Tensor:
            def tap(down: int, right: int) -> Tensor:
                return plane[down * width + right :].index_select(0, place.view(-1)).view(place.shape)

            if not self.linear:
                return tap(0, 0)
            return _blend(_blend(tap(0, 0), tap(0, 1), x), _blend(tap(1, 0), tap(1, 1), x), y)

        values = (looked_up(plane) for plane in planes.flatten(1))
        if self.shape.dtype == "uint8":
            # By way of int16: PyTorch's CPU converts float32 to uint8 number by number.
            values = (plane.round_().to(torch.int16).to(torch.uint8) for plane in values)
        return torch.stack(list(values), dim=-1)


def _blend(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """``first`` + (``second`` - ``first``) * ``share``, as OpenCV has it; takes over ``second``."""
    return second.sub_(first).mul_(share).add_(first)


def _within(position: Tensor, size: int, mode: int) -> Tensor:
    """Positions between pixels, which may lie outside, as positions in the image or on its ring."""
    if mode == CONSTANT:
        return position.clamp(-_RING, size)
    if mode == REPLICATE:
        return position.clamp(0, size - 1)
    if mode == WRAP:
        return position.remainder(size)
    if mode == REFLECT:
        folded = (position + 0.5).remainder(2 * size)
        return torch.minimum(folded, 2 * size - folded) - 0.5
    if size == 1:
        return torch.zeros_like(position)
    folded = position.remainder(2 * size - 2)
    return torch.minimum(folded, 2 * size - 2 - folded)


@dataclass(frozen=True)
class AffineWarp:
    """Affine, ShiftScaleRotate, Rotate: shift of shear of rotation of scale, about the centre.

    Ranges are pairs, x's and y's: ``translate`` in pixels, or with ``in_fractions`` in fractions of the size; ``shear``
    and ``rotate`` in degrees.
    """

    p: float
    rotate: Range
    sampling: Sampling
    after: Shape
    scale: tuple[Range, Range] = ((1.0, 1.0), (1.0, 1.0))
    shear: tuple[Range, Range] = ((0.0, 0.0), (0.0, 0.0))
    translate: tuple[Range, Range] = ((0.0, 0.0), (0.0, 0.0))
    in_fractions: bool = False
    keep_ratio: bool = False
    balanced_scale: bool = False

    def draw(self, draws: Draws) -> Parameters:
        """``matrix`` (n, 6): where in the image each pixel is looked up; with p < 1 ``chosen`` (n): whether at all."""
        matrix = {"matrix": inverted(self._forward(draws)).astype(np.float32)}
        return matrix if self.p >= 1 else matrix | {"chosen": draws.happens(self.p)}

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Warps the chosen images."""
        pixels, own = canvas.pixels(), {"matrix": parameters["matrix"]}
        if "chosen" not in parameters:
            return Canvas.of(self._change(pixels, own))
        return Canvas.of(where_chosen(pixels, parameters["chosen"], own, self._change))

    def _change(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        return in_parts(pixels_BHWC, parameters, self._warped)

    def _warped(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        height, width = pixels_BHWC.shape[1:3]
        x = torch.arange(width, dtype=torch.float32, device=pixels_BHWC.device)
        y = torch.arange(height, dtype=torch.float32, device=pixels_BHWC.device)[:, None]
        xx, xy, x0, yx, yy, y0 = parameters["matrix"].view(-1, 6, 1, 1).unbind(1)
        return self.sampling.at(pixels_BHWC, xx * x + (xy * y + x0), yx * x + (yy * y + y0))

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


def rotate(transform: Any, shape: Shape) -> AffineWarp:
    """Rotate, within the image's frame."""
    if transform.crop_border:
        raise NotBatchedError("Rotate with crop_border: true")
    return AffineWarp(transform.p, tuple(transform.limit), sampling(transform, shape), shape)


def affine(transform: Any, shape: Shape) -> BatchedForm:
    """Affine and ShiftScaleRotate; those that shift by whole pixels and do nothing else move rows and columns."""
    if transform.fit_output:
        raise NotBatchedError(f"{type(transform).__name__} with fit_output: true")
    if geometry.only_shifts(transform):
        return geometry.shift(transform, shape)
    percent = transform.translate_percent
    scale, shear, translate = (
        (tuple(ranges["x"]), tuple(ranges["y"]))
        for ranges in (transform.scale, transform.shear, transform.translate_px if percent is None else percent)
    )
    return AffineWarp(
        transform.p,
        tuple(transform.rotate),
        sampling(transform, shape),
        shape,
        scale=scale,
        shear=shear,
        translate=translate,
        in_fractions=percent is not None,
        keep_ratio=transform.keep_ratio,
        balanced_scale=transform.balanced_scale,
    )


def sampling(transform: Any, shape: Shape) -> Sampling:
    """How a transform looks pixels up, by its ``interpolation``, ``border_mode`` and ``fill``."""
    name = type(transform).__name__
    if transform.interpolation not in (_NEAREST, _LINEAR):
        raise NotBatchedError(f"{name} with another interpolation than linear or nearest")
    if shape.channels not in (1, 3, 4):  # where OpenCV still counts in steps of 1/32 pixel
        raise NotBatchedError(f"{name} of images of {shape.channels} channels")
    if (shape.height + 2 * _RING) * (shape.width + 2 * _RING) > 2**24:
        raise NotBatchedError(f"{name} of images of {shape.height} x {shape.width}")
    if transform.border_mode == CONSTANT:
        border_fill(transform.fill, shape)  # refuses what is no fill for these images
    return Sampling(transform.border_mode, transform.fill, transform.interpolation == _LINEAR, shape)
