"""Batched transforms that change each number of an image by itself: normalised, brightened, inverted. Floor 2.

albumentations changes uint8 images by lookup tables; the same tables are used here, or what gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.draws import Draws, Floats
from zoo.data.transforms.batched.canvas import Canvas, constant
from zoo.data.transforms.batched.chosen import Sometimes
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
        return Canvas.of(clipped(values.mul_(alpha).add_(beta), torch.uint8))


@dataclass(frozen=True)
class InvertImg(Sometimes):
    """InvertImg: the largest value less the pixel."""

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Inverts."""
        return _largest(pixels_BHWC) - pixels_BHWC


@dataclass(frozen=True)
class Solarize(Sometimes):
    """Solarize: pixels at or above a threshold inverted."""

    thresholds: tuple[float, float]

    def drawn(self, draws: Draws) -> Parameters:
        """``threshold`` (n): the least of the inverted, a whole number for uint8 images."""
        threshold = draws.uniform(*self.thresholds)
        is_uint8 = self.after.dtype == "uint8"
        return {"threshold": np.ceil(threshold * 255).astype(np.uint8) if is_uint8 else threshold.astype(np.float32)}

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Solarizes; float32 images are clipped to 0..1."""
        above = pixels_BHWC >= parameters["threshold"].view(-1, 1, 1, 1)
        if pixels_BHWC.dtype == torch.uint8:
            return pixels_BHWC ^ above.view(torch.uint8).mul_(255)  # 255 - x is every bit turned over
        return torch.where(above, 1 - pixels_BHWC, pixels_BHWC).clamp_(0, 1)


@dataclass(frozen=True)
class Posterize(Sometimes):
    """Posterize of uint8 images: the upper bits are kept."""

    bits: tuple[tuple[int, int], ...]  # of all channels, or of each

    def drawn(self, draws: Draws) -> Parameters:
        """``mask`` (n, 1 or channels): the bits that are kept."""
        bits = np.stack([draws.integers(*bounds) for bounds in self.bits], axis=1)
        return {"mask": (256 - (1 << (8 - bits))).astype(np.uint8)}

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Posterizes."""
        return by_channel(torch.bitwise_and, pixels_BHWC, parameters["mask"])


@dataclass(frozen=True)
class RandomGamma(Sometimes):
    """RandomGamma of uint8 images."""

    gamma: tuple[float, float]

    def drawn(self, draws: Draws) -> Parameters:
        """``gamma`` (n)."""
        return {"gamma": draws.uniform(*self.gamma) / 100}

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Raises to the power of gamma, and truncates."""
        unit = torch.arange(256, dtype=torch.float64, device=pixels_BHWC.device) * (1 / 255)
        table = (unit ** parameters["gamma"].to(torch.float64)[:, None]).mul_(255)
        return looked_up(pixels_BHWC, table.to(torch.uint8)[:, None])


@dataclass(frozen=True)
class RandomToneCurve(Sometimes):
    """RandomToneCurve of uint8 images: a Bezier curve through the two ends and two drawn points."""

    scale: float
    per_channel: bool

    def drawn(self, draws: Draws) -> Parameters:
        """``low`` and ``high`` (n, 1 or channels): the points, in 0..1."""
        count = self.after.channels if self.per_channel else 1
        return {"low": self._points(draws, 0.25, count), "high": self._points(draws, 0.75, count)}

    def _points(self, draws: Draws, middle: float, count: int) -> Floats:
        from scipy.special import ndtri

        points = np.stack([middle + self.scale * ndtri(draws.uniform()) for _ in range(count)], axis=1)
        return points.clip(0, 1) if self.scale > 0 else np.full_like(points, middle)

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Looks pixels up on the curve."""
        t = torch.arange(256, dtype=torch.float64, device=pixels_BHWC.device) * (1 / 255)
        low, high = (parameters[name].to(torch.float64)[:, :, None] for name in ("low", "high"))
        curve = (3 * (1 - t) ** 2 * t * low + 3 * (1 - t) * t**2 * high + t**3) * 255
        return looked_up(pixels_BHWC, curve.round_().clamp_(0, 255).to(torch.uint8))


@dataclass(frozen=True)
class RGBShift(Sometimes):
    """RGBShift: a number of each channel's own added; albumentations calls grey images' only channel red."""

    limits: tuple[tuple[float, float], ...]  # of each channel, as shares of the largest value

    def drawn(self, draws: Draws) -> Parameters:
        """``shift`` (n, channels): whole numbers for uint8 images."""
        shift = np.stack([draws.uniform(*limit) for limit in self.limits], axis=1)
        return {"shift": (np.trunc(shift * 255).astype(np.int16) if self.after.dtype == "uint8" else shift)}

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Shifts, and clips."""
        kind = torch.int16 if pixels_BHWC.dtype == torch.uint8 else torch.float32
        shifted = by_channel(torch.add, pixels_BHWC.to(kind), parameters["shift"].to(kind))
        return shifted.clamp_(0, _largest(pixels_BHWC)).to(pixels_BHWC.dtype)


@dataclass(frozen=True)
class Multiply(Sometimes):
    """Images times ``factor`` (n, 1 or channels), which those who derive from it draw."""

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Multiplies, clips, and truncates uint8 images."""
        return clipped(by_channel(torch.mul, pixels_BHWC.to(torch.float32), parameters["factor"]), pixels_BHWC.dtype)


@dataclass(frozen=True)
class ToFloat:
    """ToFloat: float32 images, uint8 ones divided by a number; those that are float32 already stay as they are."""

    max_value: float
    after: Shape

    def draw(self, draws: Draws) -> Parameters:
        """Nothing is drawn."""
        return {}

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Divides."""
        pixels = canvas.pixels()
        return Canvas.of(pixels.to(torch.float32).div_(self.max_value) if pixels.dtype == torch.uint8 else pixels)


def clipped(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers clipped to 0..255 and truncated for uint8, to 0..1 for float32; changes ``values``."""
    if dtype != torch.uint8:
        return values.clamp_(0, 1)
    return truncated(values.clamp_(0, 255))


def truncated(values: Tensor) -> Tensor:
    """Numbers of 0..255 in float32 as uint8; on a CPU by way of int16, since straight to uint8 it goes one by one."""
    return (values.to(torch.int16) if values.device.type == "cpu" else values).to(torch.uint8)


def by_channel(operation: Callable[[Tensor, Tensor], Tensor], pixels_BHWC: Tensor, values: Tensor) -> Tensor:
    """An operation between images and a number for each (B, 1) or for each of its channels (B, C)."""
    # One long last axis: broadcasting over 3 channels is five times slower on a CPU.
    lines = pixels_BHWC.view(*pixels_BHWC.shape[:2], -1)
    along = values.repeat(1, pixels_BHWC.shape[2]) if values.shape[1] > 1 else values
    return operation(lines, along[:, None]).view(pixels_BHWC.shape)


def looked_up(pixels_BHWC: Tensor, tables: Tensor) -> Tensor:
    """uint8 images through tables of their own (B, 1, 256), or of each channel's (B, C, 256)."""
    images, count, levels = tables.shape
    first = torch.arange(0, images * count * levels, levels, dtype=torch.int32, device=tables.device).view(
        images, count
    )
    at = by_channel(torch.add, pixels_BHWC.to(torch.int32), first)
    return tables.view(-1).index_select(0, at.view(-1)).view(pixels_BHWC.shape)


def _largest(pixels: Tensor) -> int:
    return 255 if pixels.dtype == torch.uint8 else 1


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


def miscounted(mean: Any, std: Any, channels: int) -> Iterator[tuple[str, int]]:
    """Which of Normalize's two has neither one number nor one a channel, and how many it has.

    albumentations would take the first ones and say nothing.
    """
    for name, values in (("mean", mean), ("std", std)):
        if np.size(values) not in (1, channels):
            yield name, np.size(values)


def brightness_contrast(transform: Any, shape: Shape) -> BrightnessContrast:
    """RandomBrightnessContrast of uint8 images."""
    only_uint8("RandomBrightnessContrast", shape)
    if transform.ensure_safe_range:
        raise NotBatchedError("RandomBrightnessContrast with ensure_safe_range")
    limits = (tuple(transform.brightness_limit), tuple(transform.contrast_limit))
    return BrightnessContrast(transform.p, *limits, transform.brightness_by_max, shape)


def invert_img(transform: Any, shape: Shape) -> InvertImg:
    """InvertImg."""
    return InvertImg(transform.p, shape)


def solarize(transform: Any, shape: Shape) -> Solarize:
    """Solarize."""
    return Solarize(transform.p, shape, tuple(transform.threshold_range))


def posterize(transform: Any, shape: Shape) -> Posterize:
    """Posterize of uint8 images."""
    only_uint8("Posterize", shape)
    bits = transform.num_bits if isinstance(transform.num_bits, list) else [transform.num_bits]
    if len(bits) not in (1, shape.channels) or not all(1 <= low <= high <= 8 for low, high in bits):
        raise NotBatchedError(f"Posterize with num_bits: {transform.num_bits}")
    return Posterize(transform.p, shape, tuple((int(low), int(high)) for low, high in bits))


def random_gamma(transform: Any, shape: Shape) -> RandomGamma:
    """RandomGamma of uint8 images."""
    only_uint8("RandomGamma", shape)
    return RandomGamma(transform.p, shape, tuple(transform.gamma_limit))


def random_tone_curve(transform: Any, shape: Shape) -> RandomToneCurve:
    """RandomToneCurve of uint8 images."""
    only_uint8("RandomToneCurve", shape)
    return RandomToneCurve(transform.p, shape, transform.scale, transform.per_channel)


def rgb_shift(transform: Any, shape: Shape) -> RGBShift:
    """RGBShift of images of at most three channels."""
    limits = transform.noise_params["ranges"][: shape.channels]
    if shape.channels > len(limits):
        raise NotBatchedError(f"RGBShift of {shape.channels} channels")
    return RGBShift(transform.p, shape, tuple(map(tuple, limits)))


def to_float(transform: Any, shape: Shape) -> ToFloat:
    """ToFloat of all images."""
    if transform.p < 1:
        raise NotBatchedError("ToFloat with p < 1 gives images of several types")
    return ToFloat(255.0 if transform.max_value is None else transform.max_value, shape.as_float())


def only_uint8(name: str, shape: Shape) -> None:
    """Refuses images that went through Normalize, for a transform that takes them back to uint8 or cannot do them."""
    if shape.dtype != "uint8":
        raise NotBatchedError(f"{name} after Normalize")
