"""Batched Resize, and crops that are resized: RandomResizedCrop, RandomSizedCrop. Floor 2.

Resizing a crop blends neighbouring rows, and then neighbouring columns. OpenCV does so in whole numbers where images
are uint8, with weights in steps of 1/2048; here it is float32, which differs by one grey level at most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.data.borders import LINEAR
from zoo.data.draws import Draws, Floats, Integers
from zoo.data.transforms.batched.canvas import Canvas, values_of
from zoo.data.transforms.batched.chosen import in_parts, where_chosen
from zoo.data.transforms.batched.forms import NotBatchedError, Parameters, Shape, always, is_linear
from zoo.data.transforms.batched.levels import truncated
from zoo.data.transforms.batched.warps import blended

_TALLEST = 2**31  # an image that OpenCV has no number for
_TRIES = 10  # albumentations' for a rectangle that fits


@dataclass(frozen=True)
class Resize:
    """Resize with linear interpolation without smoothing, as OpenCV's INTER_LINEAR."""

    after: Shape

    def draw(self, draws: Draws) -> Parameters:
        """Nothing is drawn."""
        return {}

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Resizes; uint8 images are rounded."""
        pixels = canvas.pixels()
        planes = pixels.permute(0, 3, 1, 2).to(torch.float32)
        size = (self.after.height, self.after.width)
        planes = F.interpolate(planes, size=size, mode="bilinear", align_corners=False)
        resized = planes.permute(0, 2, 3, 1).contiguous()
        return Canvas.of(truncated(resized.round_()) if pixels.dtype == torch.uint8 else resized)


@dataclass(frozen=True)
class ResizedCrop:
    """A rectangle of each image, resized; ``p`` below 1 leaves the other images as they are."""

    p: float
    linear: bool
    before: Shape
    after: Shape

    def draw(self, draws: Draws) -> Parameters:
        """``top``, ``left``, ``height``, ``width`` (n): the rectangle; with p < 1 ``chosen`` (n): whether at all."""
        names = ("top", "left", "height", "width")
        rectangle = dict(zip(names, self._rectangle(draws), strict=True))
        return rectangle if self.p >= 1 else rectangle | {"chosen": draws.happens(self.p)}

    def _rectangle(self, draws: Draws) -> tuple[Integers, ...]:
        raise NotImplementedError

    def _laid(self, height: Integers, width: Integers, down: Floats, right: Floats) -> tuple[Integers, ...]:
        """Rectangles of these sizes, ``down`` and ``right`` in [0, 1) of the way they can go."""
        top = ((self.before.height - height + 1) * down).astype(np.int64)
        left = ((self.before.width - width + 1) * right).astype(np.int64)
        return top, left, height, width

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Cuts out and resizes."""
        if not self.linear:
            return self._nearest(canvas, parameters)
        pixels = canvas.pixels()
        if "chosen" not in parameters:
            return Canvas.of(in_parts(pixels, parameters, self._resized))
        return Canvas.of(where_chosen(pixels, parameters["chosen"], parameters, self._resized))

    def _resized(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        height, width, channels = self.after.height, self.after.width, self.after.channels
        row_Bh, down_Bh = _between(parameters["top"], parameters["height"], height)
        column_Bw, right_Bw = _between(parameters["left"], parameters["width"], width)
        rows = _blended_rows(pixels_BHWC, row_Bh, down_Bh)
        # Channels stay beside each other, so that the last axis is a long one.
        value = values_of(column_Bw, channels)
        beside = (value + channels).clamp_max(rows.shape[2] - 1)
        share = right_Bw[:, :, None].expand(-1, -1, channels).flatten(1)[:, None]
        first, second = (rows.gather(2, one.expand(-1, height, -1)) for one in (value, beside))
        resized = blended(first, second, share)
        if self.after.dtype == "uint8":
            resized = truncated(resized.add_(0.5))
        return resized.view(-1, height, width, channels)

    def _nearest(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        rows = _nearest(parameters["top"], parameters["height"], self.after.height)
        columns = _nearest(parameters["left"], parameters["width"], self.after.width)
        if "chosen" in parameters:
            every = torch.arange(max(self.after.height, self.after.width), device=canvas.device)
            chosen = parameters["chosen"][:, None]
            rows = torch.where(chosen, rows, every[: self.after.height])
            columns = torch.where(chosen, columns, every[: self.after.width])
        return canvas.moved(rows, columns)


def _between(start_B: Tensor, size_B: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of each of ``count`` places on ``size`` pixels the pixel (B, count) before it, and its way (0..1) to the next."""
    every = torch.arange(count, dtype=torch.float32, device=start_B.device)
    size = size_B[:, None]
    place = (every + 0.5) * (size / count) - 0.5
    place = torch.minimum(place.clamp_min(0), size - 1)
    before = place.floor()
    return before.long() + start_B[:, None], place - before


def _nearest(start_B: Tensor, size_B: Tensor, count: int) -> Tensor:
    """The pixel (B, count) nearest to each of ``count`` places on ``size`` pixels, in OpenCV's arithmetic."""
    size = size_B[:, None]
    # A tensor of counts: PyTorch divides a number by a tensor as number * (1 / tensor), which rounds twice.
    step = 1 / (torch.full_like(size, count, dtype=torch.float64) / size)
    every = torch.arange(count, dtype=torch.float64, device=start_B.device)
    return torch.minimum((every * step).floor().long(), size - 1) + start_B[:, None]


def _blended_rows(pixels_BHWC: Tensor, row_Bh: Tensor, share_Bh: Tensor) -> Tensor:
    """Each row blended with the next by a share: float32 (B, h, W * C)."""
    count, height = pixels_BHWC.shape[:2]
    lines = pixels_BHWC.to(torch.float32).reshape(count * height, -1)
    line = (row_Bh + torch.arange(count, device=row_Bh.device)[:, None] * height).view(-1)
    first, second = lines.index_select(0, line), lines.index_select(0, (line + 1).clamp_max(len(lines) - 1))
    return blended(first, second, share_Bh.view(-1, 1)).view(count, row_Bh.shape[1], -1)


@dataclass(frozen=True)
class RandomResizedCrop(ResizedCrop):
    """RandomResizedCrop: ``scale`` is the range of areas, a share of the image's; ``ratio`` that of width / height."""

    scale: tuple[float, float]
    ratio: tuple[float, float]

    def _rectangle(self, draws: Draws) -> tuple[Integers, ...]:
        down, right = draws.uniform(), draws.uniform()
        area = self.before.height * self.before.width
        height, width = (np.zeros(len(draws), dtype=np.int64) for _ in range(2))
        for _ in range(_TRIES):
            target = draws.uniform(self.scale[0] * area, self.scale[1] * area)
            ratio = np.exp(draws.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            wide, tall = (np.rint(np.sqrt(sides)).astype(np.int64) for sides in (target * ratio, target / ratio))
            fits = (wide > 0) & (wide <= self.before.width) & (tall > 0) & (tall <= self.before.height)
            fits &= height == 0
            height, width = np.where(fits, tall, height), np.where(fits, wide, width)
        return self._or_centred(self._laid(height, width, down, right))

    def _or_centred(self, rectangle: tuple[Integers, ...]) -> tuple[Integers, ...]:
        """The rectangles, the largest in the middle in place of those that no try has found."""
        tall, wide = _largest(self.before, self.ratio)
        centred = ((self.before.height - tall) // 2, (self.before.width - wide) // 2, tall, wide)
        found = rectangle[2] > 0
        return tuple(np.where(found, one, other) for one, other in zip(rectangle, centred, strict=True))


def _largest(shape: Shape, ratio: tuple[float, float]) -> tuple[int, int]:
    """Height and width of the largest rectangle of a ratio, in whole pixels: of one that no image has, none."""
    if shape.width / shape.height < ratio[0]:
        return round(shape.width / ratio[0]), shape.width
    if shape.width / shape.height > ratio[1]:
        return shape.height, round(shape.height * ratio[1])
    return shape.height, shape.width


@dataclass(frozen=True)
class RandomSizedCrop(ResizedCrop):
    """RandomSizedCrop: ``heights`` are the least and the largest, a width is ``ratio`` times the height."""

    heights: tuple[int, int]
    ratio: float

    def _rectangle(self, draws: Draws) -> tuple[Integers, ...]:
        height = draws.integers(*self.heights)
        width = np.minimum(height * self.ratio, self.before.width).astype(np.int64)
        return self._laid(np.minimum(height, self.before.height), width, draws.uniform(), draws.uniform())


def resize(transform: Any, shape: Shape) -> Resize:
    """Resize with linear interpolation."""
    always(transform.p, "Resize")
    if transform.interpolation != LINEAR or transform.area_for_downscale is not None:
        raise NotBatchedError("Resize with another interpolation than linear")
    return Resize(shape.resized(transform.height, transform.width))


def random_resized_crop(transform: Any, shape: Shape) -> RandomResizedCrop:
    """RandomResizedCrop."""
    common, ratio = _common(transform, shape), tuple(transform.ratio)
    if ratio[0] <= 0 or math.isinf(ratio[1]) or min(_largest(shape, ratio)) < 1:
        raise NotBatchedError(f"RandomResizedCrop with ratio: {list(ratio)} of {shape.height} x {shape.width} pixels")
    return RandomResizedCrop(*common, tuple(transform.scale), ratio)


def random_sized_crop(transform: Any, shape: Shape) -> RandomSizedCrop:
    """RandomSizedCrop."""
    common = _common(transform, shape)
    heights = tuple(transform.min_max_height)
    if heights[1] > _TALLEST:
        raise NotBatchedError(f"RandomSizedCrop with min_max_height: {list(heights)}")
    if heights[0] * transform.w2h_ratio < 1:
        raise NotBatchedError(f"RandomSizedCrop with w2h_ratio: {transform.w2h_ratio}, which gives no width")
    return RandomSizedCrop(*common, heights, transform.w2h_ratio)


def _common(transform: Any, shape: Shape) -> tuple[float, bool, Shape, Shape]:
    name = type(transform).__name__
    after = shape.resized(*transform.size)
    if after != shape:
        always(transform.p, name)
    linear = is_linear(transform)
    if transform.area_for_downscale is not None:
        raise NotBatchedError(f"{name} with area_for_downscale: {transform.area_for_downscale}")
    return transform.p, linear, shape, after
