"""Batched ColorJitter, HueSaturationValue, ToGray, with greys and hues as OpenCV has them. Floor 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.draws import Draws
from zoo.data.transforms.batched.canvas import Canvas
from zoo.data.transforms.batched.chosen import Change, Sometimes, by_number
from zoo.data.transforms.batched.forms import NotBatchedError, Parameters, Shape
from zoo.data.transforms.batched.levels import clipped, only_uint8

Planes = tuple[Tensor, Tensor, Tensor]  # (B, H, W) each

# OpenCV's weights of red, green and blue (ITU-R BT.601) in units of 2^-15; all sums stay whole in float32.
_GRAY = (9798.0, 19235.0, 3735.0)
_HUES = 180  # of OpenCV's uint8 images, two degrees each


@dataclass(frozen=True)
class ColorJitter:
    """ColorJitter of uint8 images: four changes in an order of each image's own."""

    p: float
    limits: tuple[tuple[float, float], ...]  # of brightness, contrast, saturation, hue
    after: Shape

    def draw(self, draws: Draws) -> Parameters:
        """``brightness``, ``contrast``, ``saturation``, ``hue`` (n): factors, and steps of two degrees.

        ``order`` (n, 4): which of the four comes first, second and so on; -1 where nothing is done.
        """
        happens = draws.happens(self.p)
        brightness, contrast, saturation, hue = (draws.uniform(*limit) for limit in self.limits)
        order = np.stack([draws.words() for _ in self.limits], axis=1).argsort(axis=1)
        return {
            "brightness": brightness.astype(np.float32),
            "contrast": contrast.astype(np.float32),
            "saturation": saturation.astype(np.float32),
            "hue": np.floor(hue * _HUES).astype(np.float32),
            "order": np.where(happens[:, None], order, -1).astype(np.int8),
        }

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Changes each image in its own order."""
        pixels = canvas.pixels()
        for step in range(len(self.limits)):
            pixels = by_number(pixels, parameters["order"][:, step], parameters, self._changes)
        return Canvas.of(pixels)

    @property
    def _changes(self) -> Sequence[Change]:
        """Those that do something: a hue of 0 leaves all images as they are, hue and saturation leave grey ones."""
        if self.after.channels == 1:
            return (_brightness, _contrast)
        changes = (_brightness, _contrast, _saturation, _hue)
        return changes[:3] if self.limits[3] == (0, 0) else changes


def _brightness(pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    return clipped(pixels_BHWC.to(torch.float32).mul_(per_image(parameters["brightness"])), torch.uint8)


def _contrast(pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    planes = planes_of(pixels_BHWC)
    gray = gray_of(planes) if len(planes) == 3 else planes[0]
    factor = parameters["contrast"].to(torch.float64)
    # A row's sum is a whole number in float32, a large image's need not be.
    mean = gray.sum(dim=2).sum(dim=1, dtype=torch.float64) / gray[0].numel()
    # A factor of 0 leaves the mean, which is rounded; all else is truncated.
    shift = torch.where(factor == 0, mean + 0.5, mean * (1 - factor)).to(torch.float32)
    values = pixels_BHWC.to(torch.float32).mul_(per_image(parameters["contrast"]))
    return clipped(values.add_(per_image(shift)), torch.uint8)


def _saturation(pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    # OpenCV does not round between multiplication and addition: in rare cases that makes a level more or less.
    factor = parameters["saturation"].view(-1, 1, 1)
    planes = planes_of(pixels_BHWC)
    gray = gray_of(planes).mul_(1 - factor)
    return joined([plane.mul_(factor).add_(gray).round_() for plane in planes])


def _hue(pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    hue, saturation, value = hsv_of(pixels_BHWC)
    return rgb_of((turned(hue, parameters["hue"]), saturation, value))


@dataclass(frozen=True)
class HueSaturationValue(Sometimes):
    """HueSaturationValue of uint8 images."""

    limits: tuple[tuple[float, float], ...]  # of hue, saturation, value

    def drawn(self, draws: Draws) -> Parameters:
        """``hue``, ``saturation``, ``value`` (n): what is added, in OpenCV's units."""
        hue, saturation, value = (draws.uniform(*limit) for limit in self.limits)
        shifts = {"hue": np.floor(hue), "saturation": np.trunc(saturation), "value": np.trunc(value)}
        return {name: shift.astype(np.float32) for name, shift in shifts.items()}

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Shifts hue, saturation and value."""
        change = _shifted if self.after.channels == 3 else _shifted_gray
        return change(pixels_BHWC, parameters)


def _shifted(pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    hue, saturation, value = hsv_of(pixels_BHWC)
    coloured = saturation.clamp(0, 1)  # grey stays grey
    saturation.add_(parameters["saturation"].view(-1, 1, 1)).clamp_(0, 255).mul_(coloured)
    value.add_(parameters["value"].view(-1, 1, 1)).clamp_(0, 255)
    return rgb_of((turned(hue, parameters["hue"]), saturation, value))


def _shifted_gray(pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    # albumentations warns that grey images have neither hue nor saturation, and shifts the value.
    return clipped(pixels_BHWC.to(torch.float32).add_(per_image(parameters["value"])), torch.uint8)


@dataclass(frozen=True)
class ToGray(Sometimes):
    """ToGray by weighted average (ITU-R BT.601), the three channels equal afterwards."""

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Greys."""
        if pixels_BHWC.dtype == torch.uint8:
            gray = gray_of(planes_of(pixels_BHWC)).to(torch.uint8)
        else:
            red, green, blue = pixels_BHWC.unbind(3)
            gray = (red * 0.299).add_(green, alpha=0.587).add_(blue, alpha=0.114)
        return gray[..., None].repeat(1, 1, 1, 3)


def planes_of(pixels_BHWC: Tensor) -> tuple[Tensor, ...]:
    """The channels of uint8 images, float32 (B, H, W) each, in memory of their own."""
    return pixels_BHWC.permute(3, 0, 1, 2).to(torch.float32, memory_format=torch.contiguous_format).unbind()


def gray_of(planes: Sequence[Tensor]) -> Tensor:
    """The grey levels of red, green and blue (B, H, W), whole numbers in float32, as OpenCV's RGB2GRAY."""
    total = (planes[0] * _GRAY[0]).add_(planes[1], alpha=_GRAY[1]).add_(planes[2], alpha=_GRAY[2])
    return total.add_(2.0**14).mul_(2.0**-15).floor_()


def hsv_of(pixels_BHWC: Tensor) -> Planes:
    """Hue (-30..149: that of a red is below 0), saturation and value (0..255) of uint8 images; OpenCV's RGB2HSV.

    Whole numbers in float32 (B, H, W). OpenCV divides by way of whole reciprocals in units of 2^-12; products of them
    are whole in float32, too.
    """
    red, green, blue = planes_of(pixels_BHWC)
    value = torch.maximum(torch.maximum(red, green), blue)
    span = value - torch.minimum(torch.minimum(red, green), blue)
    if_red, if_green = green - blue, (blue - red).add_(span, alpha=2)
    hue = (red - green).add_(span, alpha=4)  # where blue is the highest; then green, then red, if they are as high
    hue.lerp_(if_green, green.eq_(value)).lerp_(if_red, red.eq_(value))
    return _scaled(hue, _HUES / 6, span), _scaled(span, 255.0, value), value


def _scaled(part: Tensor, scale: float, whole: Tensor) -> Tensor:
    """part x scale / whole, rounded as OpenCV does."""
    reciprocal = whole.clamp_min(1).reciprocal_().mul_(scale * 2.0**12).round_()
    return reciprocal.mul_(part).add_(2.0**11).mul_(2.0**-12).floor_()


def turned(hue: Tensor, shift_B: Tensor) -> Tensor:
    """Hues (B, H, W) turned by whole steps (B), 0..179 afterwards; in place."""
    hue.add_((shift_B % _HUES).view(-1, 1, 1))
    return hue.sub_(hue.add(0.5).mul_(1 / _HUES).floor_(), alpha=_HUES)


def rgb_of(hsv: Planes) -> Tensor:
    """uint8 RGB images (B, H, W, 3) of hues (0..179), saturations and values (0..255) in float32; OpenCV's HSV2RGB.

    Truncated, as in OpenCV's vector code; the few columns at a row's end that fill no vector it rounds.
    """
    hue, saturation, value = hsv
    sixths = hue.mul_(6 / _HUES)
    lost = saturation.mul_(1 / 255).mul_(value)
    # How much of what saturation takes away each channel loses: nothing around its own hue, all opposite.
    red = (sixths - 3).abs_().neg_().add_(2).clamp_(0, 1)
    green = (sixths - 2).abs_().sub_(1).clamp_(0, 1)
    blue = (sixths - 4).abs_().sub_(1).clamp_(0, 1)
    return joined([share.mul_(lost).neg_().add_(value) for share in (red, green, blue)])


def per_image(values_B: Tensor) -> Tensor:
    """A number for every image (B), to be broadcast over its pixels."""
    return values_B.view(-1, 1, 1, 1)


def joined(planes: Sequence[Tensor]) -> Tensor:
    """Planes (B, H, W) of numbers, clipped to 0..255 and truncated, as uint8 images; changes the planes."""
    return torch.stack([plane.clamp_(0, 255).to(torch.int16) for plane in planes], dim=3).to(torch.uint8)


def to_gray(transform: Any, shape: Shape) -> ToGray:
    """ToGray of RGB images by weighted average."""
    if shape.channels != 3 or transform.num_output_channels != 3 or transform.method != "weighted_average":
        raise NotBatchedError("ToGray other than by weighted average of three channels")
    return ToGray(transform.p, shape)


def color_jitter(transform: Any, shape: Shape) -> ColorJitter:
    """ColorJitter of grey and RGB images."""
    _uint8_colours("ColorJitter", shape)
    limits = (transform.brightness, transform.contrast, transform.saturation, transform.hue)
    return ColorJitter(transform.p, tuple(map(tuple, limits)), shape)


def hue_saturation_value(transform: Any, shape: Shape) -> HueSaturationValue:
    """HueSaturationValue of grey and RGB images."""
    _uint8_colours("HueSaturationValue", shape)
    limits = (transform.hue_shift_limit, transform.sat_shift_limit, transform.val_shift_limit)
    still = all(tuple(limit) == (0, 0) for limit in limits)  # then albumentations leaves hues unrounded, too
    return HueSaturationValue(0.0 if still else transform.p, shape, tuple(map(tuple, limits)))


def _uint8_colours(name: str, shape: Shape) -> None:
    only_uint8(name, shape)
    if shape.channels not in (1, 3):
        raise NotBatchedError(f"{name} of {shape.channels} channels")
