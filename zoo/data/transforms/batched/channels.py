"""Batched transforms that tell channels apart: ChannelDropout, ChannelShuffle, PlanckianJitter, ToSepia. Floor 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.draws import Draws, Floats, Integers
from zoo.data.transforms.albumentations import planckian_coefficients
from zoo.data.transforms.batched.chosen import Sometimes
from zoo.data.transforms.batched.colours import joined, planes_of
from zoo.data.transforms.batched.forms import NotBatchedError, Nothing, Parameters, Shape
from zoo.data.transforms.batched.levels import Multiply, by_channel, only_uint8

_WHITE, _COLD_SHARE = 6000, 0.4  # kelvin; how often albumentations draws a temperature below white


@dataclass(frozen=True)
class ChannelDropout(Sometimes):
    """ChannelDropout: some channels filled with a number."""

    counts: tuple[int, int]
    fill: float

    def drawn(self, draws: Draws) -> Parameters:
        """``dropped`` (n, channels): which."""
        count = draws.integers(*self.counts)
        return {"dropped": orders(draws, self.after.channels) < count[:, None]}

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Fills the channels."""
        dropped = parameters["dropped"].to(pixels_BHWC.dtype)
        kept = by_channel(torch.mul, pixels_BHWC, 1 - dropped)
        return by_channel(torch.add, kept, dropped.mul_(self.fill)) if self.fill else kept


@dataclass(frozen=True)
class ChannelShuffle(Sometimes):
    """ChannelShuffle: the channels in an order of each image's own."""

    def drawn(self, draws: Draws) -> Parameters:
        """``order`` (n, channels): the channel that comes to each place."""
        return {"order": orders(draws, self.after.channels)}

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Shuffles."""
        size, height, width, channels = pixels_BHWC.shape
        first = torch.arange(0, width * channels, channels, device=pixels_BHWC.device)
        place = (first[:, None] + parameters["order"][:, None]).view(size, 1, -1).expand(-1, height, -1)
        return pixels_BHWC.view(size, height, -1).gather(2, place).view(pixels_BHWC.shape)


@dataclass(frozen=True)
class PlanckianJitter(Multiply):
    """PlanckianJitter: red and blue as under light of another temperature.

    ``temperatures`` (kelvin) and ``factors`` (of red, green, blue at each) are what is interpolated between.
    """

    limits: tuple[float, float]
    gaussian: bool
    temperatures: tuple[float, ...]
    factors: tuple[tuple[float, ...], ...]

    def drawn(self, draws: Draws) -> Parameters:
        """``factor`` (n, 3)."""
        temperature = np.floor(self._temperatures(draws).clip(*self.limits)).clip(
            self.temperatures[0], self.temperatures[-1]
        )
        red, green, blue = (np.interp(temperature, self.temperatures, each) for each in zip(*self.factors, strict=True))
        return {"factor": np.stack([red / green, np.ones_like(red), blue / green], axis=1).astype(np.float32)}

    def _temperatures(self, draws: Draws) -> Floats:
        from scipy.special import ndtri

        below, share = draws.happens(_COLD_SHARE), draws.uniform()
        reach = np.where(below, self.limits[0], self.limits[1]) - _WHITE
        if self.gaussian:  # half a bell on either side, three deviations wide
            share = np.abs(ndtri(np.maximum(share, 2.0**-54))) / 3
        temperatures: Floats = _WHITE + share * reach
        return temperatures


@dataclass(frozen=True)
class ToSepia(Sometimes):
    """ToSepia of uint8 images: every channel a weighted sum of all."""

    matrix: tuple[tuple[float, ...], ...]

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Weighs; sums are rounded."""
        planes = planes_of(pixels_BHWC)
        sums = []
        for weights in self.matrix:
            total = planes[0] * weights[0]
            for plane, weight in zip(planes[1:], weights[1:], strict=True):
                total.add_(plane, alpha=weight)
            sums.append(total.round_())
        return joined(sums)


def orders(draws: Draws, count: int) -> Integers:
    """The numbers from 0 to count - 1 in an order of each sample's own (n, count)."""
    return np.stack([draws.words() for _ in range(count)], axis=1).argsort(axis=1)


def channel_dropout(transform: Any, shape: Shape) -> ChannelDropout:
    """ChannelDropout that leaves a channel at least."""
    low, high = transform.channel_drop_range
    if high >= shape.channels or low > high:
        raise NotBatchedError(f"ChannelDropout with channel_drop_range: {[low, high]} of {shape.channels} channels")
    if shape.dtype == "uint8" and not 0 <= transform.fill <= 255:
        raise NotBatchedError("ChannelDropout with a fill outside 0..255")
    fill = int(transform.fill) if shape.dtype == "uint8" else transform.fill
    return ChannelDropout(transform.p, shape, (int(low), int(high)), fill)


def channel_shuffle(transform: Any, shape: Shape) -> ChannelShuffle | Nothing:
    """ChannelShuffle; a single channel stays where it is."""
    return ChannelShuffle(transform.p, shape) if shape.channels > 1 else Nothing(shape)


def planckian_jitter(transform: Any, shape: Shape) -> PlanckianJitter:
    """PlanckianJitter of RGB images."""
    only_uint8("PlanckianJitter", shape)
    if shape.channels != 3:
        raise NotBatchedError(f"PlanckianJitter of {shape.channels} channels")
    table = planckian_coefficients(transform.mode)
    temperatures = tuple(sorted(table))
    factors = tuple(tuple(table[temperature]) for temperature in temperatures)
    gaussian = transform.sampling_method == "gaussian"
    return PlanckianJitter(transform.p, shape, tuple(transform.temperature_limit), gaussian, temperatures, factors)


def to_sepia(transform: Any, shape: Shape) -> ToSepia | Nothing:
    """ToSepia of uint8 images; grey ones stay as they are."""
    only_uint8("ToSepia", shape)
    if shape.channels not in (1, 3):
        raise NotBatchedError(f"ToSepia of {shape.channels} channels")
    if shape.channels == 1:
        return Nothing(shape)
    return ToSepia(transform.p, shape, tuple(map(tuple, transform.sepia_transformation_matrix.tolist())))
