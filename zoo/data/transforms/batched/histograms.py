"""Batched transforms that look at how often each grey level occurs: AutoContrast, Equalize. Floor 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.data.transforms.batched.chosen import Sometimes
from zoo.data.transforms.batched.forms import NotBatchedError, Shape
from zoo.data.transforms.batched.levels import by_channel, looked_up, only_uint8

_LEVELS = 256


@dataclass(frozen=True)
class Equalize(Sometimes):
    """Equalize of uint8 images, each channel by itself, as OpenCV's equalizeHist."""

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Equalizes; a channel of one level stays as it is."""
        counts = counted(pixels_BHWC).cumsum(dim=2).to(torch.float32)
        first, all_ = _first(counts), counts[..., -1:]
        table = (counts - first).mul_(_share_of_255((all_ - first).clamp_min(1)))
        same = torch.arange(_LEVELS, device=table.device)
        return looked_up(pixels_BHWC, torch.where(all_ > first, table.round_().clamp_(0, 255), same).to(torch.uint8))


@dataclass(frozen=True)
class AutoContrast(Sometimes):
    """AutoContrast of uint8 images, each channel by itself."""

    linear: bool  # levels are stretched; else they are equalized

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Stretches; a channel of one level stays as it is."""
        histogram = counted(pixels_BHWC)
        histogram[..., 255] = 0  # albumentations does not count white
        counts = histogram.cumsum(dim=2).to(torch.float32)
        level = torch.arange(_LEVELS, dtype=torch.float64, device=pixels_BHWC.device)
        all_ = counts[..., -1:]
        low = (counts == 0).sum(dim=2, keepdim=True)
        high = (counts < all_).sum(dim=2, keepdim=True)
        if self.linear:
            table = (level - low) * _share_of_255((high - low).clamp_min(1).to(torch.float64))
        else:
            first = _first(counts)
            table = (counts - first) * 255 / (all_ - first).clamp_min(1)
        stretched = torch.where(level > high, 255, table.round_().clamp_(0, 255).to(torch.uint8))
        return looked_up(pixels_BHWC, torch.where(high > low, stretched, level.to(torch.uint8)))


def counted(pixels_BHWC: Tensor) -> Tensor:
    """How many pixels of each channel have each level (B, C, 256), int32."""
    size, device = (len(pixels_BHWC), pixels_BHWC.shape[3]), pixels_BHWC.device
    counts = torch.zeros(size[0] * size[1] * _LEVELS, dtype=torch.int32, device=device)
    first = torch.arange(0, len(counts), _LEVELS, dtype=torch.int32, device=device).view(size)
    at = by_channel(torch.add, pixels_BHWC.to(torch.int32), first).view(-1).to(torch.int64)
    return counts.scatter_add_(0, at, torch.ones_like(at, dtype=torch.int32)).view(*size, _LEVELS)


def _share_of_255(counts: Tensor) -> Tensor:
    # `255 / counts` would be 255 times a rounded reciprocal.
    return torch.full_like(counts, 255) / counts


def _first(counts: Tensor) -> Tensor:
    """The count of the lowest level that occurs, of cumulated counts."""
    return torch.where(counts > 0, counts, torch.inf).amin(dim=-1, keepdim=True)


def equalize(transform: Any, shape: Shape) -> Equalize:
    """Equalize of grey and RGB images."""
    only_uint8("Equalize", shape)
    if shape.channels not in (1, 3):
        raise NotBatchedError(f"Equalize of {shape.channels} channels")
    if transform.mode != "cv" or transform.mask is not None:
        raise NotBatchedError(
            f"Equalize with mode: {transform.mode}" if transform.mask is None else "Equalize with mask"
        )
    if not transform.by_channels and shape.channels > 1:
        raise NotBatchedError("Equalize with by_channels: false")
    return Equalize(transform.p, shape)


def auto_contrast(transform: Any, shape: Shape) -> AutoContrast:
    """AutoContrast of the whole range of levels."""
    only_uint8("AutoContrast", shape)
    for name, usual in (("cutoff", 0), ("ignore", None)):
        if getattr(transform, name) != usual:
            raise NotBatchedError(f"AutoContrast with {name}: {getattr(transform, name)}")
    return AutoContrast(transform.p, shape, transform.method == "pil")
