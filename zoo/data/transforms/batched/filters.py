"""Batched filters of neighbouring pixels, each image with a kernel of its own: GaussianBlur, Blur, Sharpen. Floor 2.

Beyond the edge lies the image mirrored, the edge itself not repeated (OpenCV's BORDER_REFLECT_101).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.borders import REFLECT_101, inside
from zoo.data.draws import Draws, Floats, Integers
from zoo.data.transforms.batched.chosen import Sometimes
from zoo.data.transforms.batched.colours import joined, planes_of
from zoo.data.transforms.batched.forms import NotBatchedError, Parameters, Shape
from zoo.data.transforms.batched.levels import clipped

_MOST_PLACES = 1 << 24  # float32 numbers of a table by which kernels become matrices: 64 MiB


@dataclass(frozen=True)
class GaussianBlur(Sometimes):
    """GaussianBlur."""

    sigmas: tuple[float, float]
    sizes: tuple[int, int]  # even ones count as the next odd one; 0: by sigma
    reach: int  # of the largest kernel: pixels to either side of the middle

    def drawn(self, draws: Draws) -> Parameters:
        """``sigma`` and ``reach`` (n), in pixels: of the kernel."""
        sigma, size = draws.uniform(*self.sigmas), draws.integers(*self.sizes)
        return {"sigma": np.maximum(sigma, 1e-6).astype(np.float32), "reach": gaussian_reach(sigma, size)}

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Blurs; uint8 images are rounded, float32 ones clipped to 0..1."""
        kernel = self._kernels(parameters, pixels_BHWC.device)
        # A filter is a matrix that columns, or rows, are multiplied with.
        down, across = _matrices(kernel, pixels_BHWC.shape[1]), _matrices(kernel, pixels_BHWC.shape[2])
        planes = [torch.bmm(torch.bmm(down, plane), across.transpose(1, 2)) for plane in planes_of(pixels_BHWC)]
        if pixels_BHWC.dtype == torch.uint8:
            return joined([plane.round_() for plane in planes])
        return torch.stack(planes, dim=3).clamp_(0, 1)

    def _kernels(self, parameters: Mapping[str, Tensor], device: torch.device) -> Tensor:
        """Each image's weights (B, reach + 1), by distance from the middle."""
        distance = torch.arange(self.reach + 1, device=device)
        weights = torch.exp(-0.5 * (distance / parameters["sigma"][:, None]) ** 2)
        weights = weights * (distance <= parameters["reach"][:, None])
        return weights / (2 * weights.sum(dim=1, keepdim=True) - weights[:, :1])


def gaussian_reach(sigma: Floats, size: Integers) -> Integers:
    """How far a kernel of a size reaches to either side; one of size 0 takes in 3.5 sigma."""
    reach: Integers = np.where(size == 0, (sigma * 3.5).astype(np.int64), size // 2)
    return reach


def _matrices(kernel: Tensor, size: int) -> Tensor:
    """The filter (B, reach + 1) as matrices (B, size, size): how much of each pixel each pixel receives."""
    return (kernel @ _places(kernel.shape[1], size, kernel.device)).view(-1, size, size)


@lru_cache(maxsize=8)
def _places(distances: int, size: int, device: torch.device) -> Tensor:
    """Which pixel lies at which distance from which, either side counted (distances, size x size), float32."""
    here = torch.arange(size)
    places = torch.zeros(distances, size, size)
    for distance in range(distances):
        for step in {-distance, distance}:
            at = inside(here + step, size, REFLECT_101)
            places[distance].index_put_((here, at), torch.ones(()), accumulate=True)
    return places.view(distances, -1).to(device)


@dataclass(frozen=True)
class Blur(Sometimes):
    """Blur: the mean of a square."""

    sizes: tuple[int, int]  # the smallest and the largest, both odd

    def drawn(self, draws: Draws) -> Parameters:
        """``reach`` (n): pixels to either side of the middle."""
        return {"reach": draws.integers(self.sizes[0] // 2, self.sizes[1] // 2)}

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Blurs; uint8 images are rounded."""
        reach = parameters["reach"].view(-1, 1, 1)
        sums = _lines(pixels_BHWC, largest=self.sizes[1] ** 2)
        for axis, step in ((1, 1), (2, pixels_BHWC.shape[3])):
            for distance, pair in enumerate(_pairs(sums, axis, step, self.sizes[1] // 2), start=1):
                sums = torch.addcmul(sums, pair, (distance <= reach).to(sums.dtype))
        mean = sums.to(torch.float32).mul_((2 * reach + 1) ** -2.0).view(pixels_BHWC.shape)
        return mean if pixels_BHWC.dtype == torch.float32 else clipped(mean.round_(), torch.uint8)


@dataclass(frozen=True)
class Sharpen(Sometimes):
    """Sharpen by a kernel of 3 x 3: its middle weighs more, the eight around it are taken away."""

    alphas: tuple[float, float]
    lightness: tuple[float, float]

    def drawn(self, draws: Draws) -> Parameters:
        """``around`` and ``middle`` (n): weights of the sum of all nine, and of the middle beside that."""
        alpha, lightness = draws.uniform(*self.alphas), draws.uniform(*self.lightness)
        return {"around": -alpha.astype(np.float32), "middle": (1 + alpha * (8 + lightness)).astype(np.float32)}

    def changed(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Sharpens; uint8 images are rounded, float32 ones clipped to 0..1."""
        lines = nine = _lines(pixels_BHWC, largest=9)
        for axis, step in ((1, 1), (2, pixels_BHWC.shape[3])):
            nine = sum(_pairs(nine, axis, step, 1), start=nine)
        around, middle = (parameters[name].view(-1, 1, 1) for name in ("around", "middle"))
        sharp = (lines.to(torch.float32) * middle).add_(nine.to(torch.float32) * around)
        is_uint8 = pixels_BHWC.dtype == torch.uint8
        return clipped(sharp.round_() if is_uint8 else sharp, pixels_BHWC.dtype).view(pixels_BHWC.shape)


def _lines(pixels_BHWC: Tensor, largest: int) -> Tensor:
    """Images (B, H, W x C) in a type that holds sums of so many of their numbers."""
    lines = pixels_BHWC.view(*pixels_BHWC.shape[:2], -1)
    if lines.dtype == torch.float32:
        return lines
    return lines.to(torch.int16 if 255 * largest < 1 << 15 else torch.int32)


def _pairs(lines: Tensor, axis: int, step: int, reach: int) -> Iterator[Tensor]:
    """Each number's two neighbours at one, two, ... steps along an axis, added."""
    size = lines.shape[axis]
    outside = (*range(-reach, 0), *range(size // step, size // step + reach))
    edge = [lines.narrow(axis, _mirrored(at, size // step) * step, step) for at in outside]
    padded = torch.cat([*edge[:reach], lines, *edge[reach:]], dim=axis)
    for distance in range(1, reach + 1):
        before, behind = (padded.narrow(axis, (reach + by) * step, size) for by in (-distance, distance))
        yield before + behind


def _mirrored(place: int, size: int) -> int:
    """The place inside that stands for one outside: OpenCV's BORDER_REFLECT_101, the edge itself not repeated."""
    place %= max(1, 2 * size - 2)
    return min(place, max(0, 2 * size - 2 - place))


def blur(transform: Any, shape: Shape) -> Blur:
    """Blur."""
    # As albumentations' sample_odd_from_range.
    low, high = (max(3, size + (size % 2 == 0)) for size in transform.blur_limit)
    high = max(low, high)
    if 255 * high**2 >= 1 << 31:  # where a sum of so many pixels outgrows its whole numbers
        raise NotBatchedError(f"Blur with blur_limit: {high}")
    return Blur(transform.p, shape, (low, high))


def gaussian_blur(transform: Any, shape: Shape) -> GaussianBlur:
    """GaussianBlur."""
    (sigma, largest_sigma), (size, largest) = transform.sigma_limit, transform.blur_limit
    if largest_sigma <= 0:
        raise NotBatchedError(f"GaussianBlur with sigma_limit: {[sigma, largest_sigma]}")
    reach = max(largest // 2, largest_sigma * 3.5 if size == 0 else 0)
    if (reach + 1) * max(shape.height, shape.width) ** 2 > _MOST_PLACES:
        raise NotBatchedError(f"GaussianBlur with a kernel that reaches {reach:.0f} pixels far")
    return GaussianBlur(transform.p, shape, (sigma, largest_sigma), (int(size), int(largest)), int(reach))


def sharpen(transform: Any, shape: Shape) -> Sharpen:
    """Sharpen by its kernel; albumentations' gaussian method wraps uint8 differences around."""
    if transform.method != "kernel":
        raise NotBatchedError(f"Sharpen with method: {transform.method}")
    return Sharpen(transform.p, shape, tuple(transform.alpha), tuple(transform.lightness))
