"""Batched transforms that look at pixels: normalise, cut out, brighten, resize. Floor 2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.data.draws import Draws, Integers
from zoo.data.transforms.batched.canvas import Canvas, constant, paint, rectangles
from zoo.data.transforms.batched.forms import NotBatchedError, Parameters, Shape, always, fill_values
from zoo.diagnostics import counted
from zoo.errors import DataError


@dataclass(frozen=True)
class Normalize:
    """(pixel / max_pixel_value - mean) / std, in the arithmetic of albumentations: float32, one multiplication."""

    mean: tuple[float, ...]  # of each channel, times max_pixel_value
    factor: tuple[float, ...]  # of each channel
    after: Shape

    def draw(self, draws: Draws) -> Parameters:
        """Nothing is drawn."""
        return {}

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Makes float32 images."""
        pixels = canvas.pixels()
        # One long last axis: broadcasting over 3 channels is five times slower on a CPU.
        lines = pixels.view(*pixels.shape[:2], -1)
        mean, factor = (constant(values * canvas.width, canvas.device) for values in (self.mean, self.factor))
        return Canvas.of(lines.to(torch.float32).sub_(mean).mul_(factor).view(pixels.shape))


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


@dataclass(frozen=True)
class BrightnessContrast:
    """RandomBrightnessContrast of uint8 images: pixel x alpha + beta, clipped and truncated as albumentations does."""

    p: float
    brightness: tuple[float, float]
    contrast: tuple[float, float]
    by_max: bool
    after: Shape

    def draw(self, draws: Draws) -> Parameters:
        """``alpha`` and ``beta`` (n); 1 and 0 where nothing is done."""
        happens = draws.happens(self.p)
        alpha = np.where(happens, 1.0 + draws.uniform(*self.contrast), 1.0)
        beta = np.where(happens, draws.uniform(*self.brightness), 0.0)
        return {"alpha": alpha.astype(np.float32), "beta": (beta * 255 if self.by_max else beta).astype(np.float32)}

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Brightens."""
        pixels = canvas.pixels()
        alpha, beta = (parameters[name].view(-1, 1, 1, 1) for name in ("alpha", "beta"))
        values = pixels.to(torch.float32)
        if not self.by_max:
            beta = beta * values.mean(dim=(1, 2, 3), keepdim=True)
        return Canvas.of(values.mul_(alpha).add_(beta).clamp_(0, 255).to(torch.uint8))


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
        return Canvas.of(resized.round().to(torch.uint8) if pixels.dtype == torch.uint8 else resized)


def miscounted(mean: Any, std: Any, channels: int) -> Iterator[tuple[str, int]]:
    """Which of Normalize's two has neither one number nor one a channel, and how many it has.

    albumentations would take the first ones and say nothing.
    """
    for name, values in (("mean", mean), ("std", std)):
        if np.size(values) not in (1, channels):
            yield name, np.size(values)


def normalize(transform: Any, shape: Shape) -> Normalize:
    """Normalize, its standard form."""
    always(transform.p, "Normalize")
    if transform.normalization != "standard":
        raise NotBatchedError(f"Normalize with normalization: {transform.normalization}")
    for name, count in miscounted(transform.mean, transform.std, shape.channels):
        channels = counted(shape.channels, "channel")
        raise DataError(f"Normalize: {name} has {count} numbers, the images have {channels}", help="one a channel")
    mean, factor = (fill_values(values, shape.channels) for values in (transform.mean_np, transform.denominator))
    return Normalize(mean, factor, shape.as_float())


def coarse_dropout(transform: Any, shape: Shape) -> CoarseDropout:
    """CoarseDropout with a constant fill."""
    fill = hole_fill(transform, shape)
    height, width = transform.hole_height_range, transform.hole_width_range
    in_pixels = height[1] >= 1
    if in_pixels and (int(height[0]) > shape.height or int(width[0]) > min(width[1], shape.width)):
        raise NotBatchedError("CoarseDropout with holes larger than the image")
    return CoarseDropout(shape, fill, transform.p, transform.num_holes_range, height, width)


def brightness_contrast(transform: Any, shape: Shape) -> BrightnessContrast:
    """RandomBrightnessContrast of uint8 images."""
    if shape.dtype != "uint8":
        raise NotBatchedError("RandomBrightnessContrast after Normalize")
    if transform.ensure_safe_range:
        raise NotBatchedError("RandomBrightnessContrast with ensure_safe_range")
    limits = (tuple(transform.brightness_limit), tuple(transform.contrast_limit))
    return BrightnessContrast(transform.p, *limits, transform.brightness_by_max, shape)


def resize(transform: Any, shape: Shape) -> Resize:
    """Resize with linear interpolation."""
    always(transform.p, "Resize")
    if transform.interpolation != 1 or transform.area_for_downscale is not None:
        raise NotBatchedError("Resize with another interpolation than linear")
    return Resize(shape.resized(transform.height, transform.width))
