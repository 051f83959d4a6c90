"""Batched noise: GaussNoise, MultiplicativeNoise. Floor 2.

Each image has a key, drawn on the host; a pixel's random bits are a hash of its image's key and its place. So noise is
the same on every device, whatever batch an image comes in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.draws import Draws
from zoo.data.transforms.batched.chosen import Sometimes
from zoo.data.transforms.batched.forms import NotBatchedError, Parameters, Shape
from zoo.data.transforms.batched.levels import Multiply, clipped

_GOLDEN, _MIX_1, _MIX_2 = (word - (1 << 64) for word in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_BITS = 16  # of a random number: 65,536 values, all equally likely, are more than the noise of 256 grey levels shows


@dataclass(frozen=True)
class GaussNoise(Sometimes):
    """GaussNoise: a normally distributed number added to each pixel, or to each of its channels."""

    stds: tuple[float, float]
    means: tuple[float, float]
    per_channel: bool

    def drawn(self, draws: Draws) -> Parameters:
        """``std`` and ``mean`` (n), as shares of the largest value; ``key`` (n)."""
        std, mean = (draws.uniform(*bounds).astype(np.float32) for bounds in (self.stds, self.means))
        return {"std": std, "mean": mean, "key": draws.words().view(np.int64)}

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Adds noise, truncated for uint8 images, and clips."""
        noise = standard_normals(parameters["key"], pixels_BHWC, per_channel=self.per_channel)
        std, mean = (parameters[name].view(-1, 1, 1, 1) for name in ("std", "mean"))
        noise.mul_(std).add_(mean)
        if pixels_BHWC.dtype == torch.uint8:
            noise.mul_(255).trunc_()
        return clipped(pixels_BHWC.to(torch.float32) + noise, pixels_BHWC.dtype)


@dataclass(frozen=True)
class MultiplicativeNoise(Multiply):
    """MultiplicativeNoise: each image times a number, or times one for each of its channels."""

    multiplier: tuple[float, float]
    per_channel: bool

    def drawn(self, draws: Draws) -> Parameters:
        """``factor`` (n, 1 or channels)."""
        count = self.after.channels if self.per_channel else 1
        factors = [draws.uniform(*self.multiplier) for _ in range(count)]
        return {"factor": np.stack(factors, axis=1).astype(np.float32)}


@dataclass(frozen=True)
class ElementwiseNoise(Sometimes):
    """MultiplicativeNoise with a number for each pixel, or for each of its channels."""

    multiplier: tuple[float, float]
    per_channel: bool

    def drawn(self, draws: Draws) -> Parameters:
        """``key`` (n)."""
        return {"key": draws.words().view(np.int64)}

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Multiplies, clips, and truncates uint8 images."""
        low, high = self.multiplier
        numbers = _numbers(parameters["key"], pixels_BHWC, per_channel=self.per_channel)
        factors = numbers.to(torch.float32).add_(0.5).mul_((high - low) * 2.0**-_BITS).add_(low)
        return clipped(factors * pixels_BHWC, pixels_BHWC.dtype)


def standard_normals(key_B: Tensor, pixels_BHWC: Tensor, *, per_channel: bool) -> Tensor:
    """Normally distributed numbers (mean 0, standard deviation 1) for each pixel (B, H, W, C or 1), float32.

    They take 65,536 values, which lie in the middle of as many equally likely parts of the distribution.
    """
    numbers = _numbers(key_B, pixels_BHWC, per_channel=per_channel)
    return _quantiles(key_B.device).index_select(0, numbers.view(-1)).view(numbers.shape)


@lru_cache
def _quantiles(device: torch.device) -> Tensor:
    from scipy.special import ndtri

    middles = (np.arange(1 << _BITS) + 0.5) * 2.0**-_BITS
    return torch.from_numpy(ndtri(middles).astype(np.float32)).to(device)


def _numbers(key_B: Tensor, pixels_BHWC: Tensor, *, per_channel: bool) -> Tensor:
    """Whole numbers below 65,536 for each pixel (B, H, W, C or 1), int32: each a pure function of key and place."""
    count, height, width, channels = pixels_BHWC.shape
    size = height * width * (channels if per_channel else 1)
    words = _words(key_B, -(-size // 4))
    numbers = words.view(torch.int16)[:, :size].to(torch.int32).bitwise_and_((1 << _BITS) - 1)
    return numbers.view(count, height, width, -1)


def _words(key_B: Tensor, count: int) -> Tensor:
    """64 random bits (B, count): SplitMix64 from each key on, as in :mod:`zoo.data.draws`."""
    place = torch.arange(1, count + 1, device=key_B.device) * _GOLDEN
    words = key_B[:, None] + place
    words.bitwise_xor_(_shifted(words, 30)).mul_(_MIX_1)
    words.bitwise_xor_(_shifted(words, 27)).mul_(_MIX_2)
    return words.bitwise_xor_(_shifted(words, 31))


def _shifted(words: Tensor, by: int) -> Tensor:
    """Shifted right, zeros moving in: int64's own shift moves the sign in."""
    return (words >> by).bitwise_and_((1 << (64 - by)) - 1)


def gauss_noise(transform: Any, shape: Shape) -> GaussNoise:
    """GaussNoise in the image's own resolution."""
    if transform.noise_scale_factor != 1:
        raise NotBatchedError(f"GaussNoise with noise_scale_factor: {transform.noise_scale_factor}")
    ranges = (tuple(transform.std_range), tuple(transform.mean_range))
    return GaussNoise(transform.p, shape, *ranges, transform.per_channel)


def multiplicative_noise(transform: Any, shape: Shape) -> MultiplicativeNoise | ElementwiseNoise:
    """MultiplicativeNoise."""
    form = ElementwiseNoise if transform.elementwise else MultiplicativeNoise
    return form(transform.p, shape, tuple(transform.multiplier), transform.per_channel)
