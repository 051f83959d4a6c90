"""Batched warps: each image looked up at places of its own, which lie between pixels. Floor 2.

Pixels are those of OpenCV 5, whose ``warpAffine`` and ``warpPerspective`` compute coordinates and blend in float32, no
longer in steps of 1/32 pixel. Their fused multiplications round a few ties the other way: one grey level, in fewer than
one value of a thousand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.borders import CONSTANT, REFLECT, inside
from zoo.data.draws import Draws, Floats
from zoo.data.transforms.batched.canvas import Canvas, constant
from zoo.data.transforms.batched.chosen import in_parts, where_chosen
from zoo.data.transforms.batched.forms import NotBatchedError, Parameters, Shape, border_fill, is_linear
from zoo.data.transforms.batched.levels import truncated

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
                return plane[down * width + right :].index_select(0, place.reshape(-1)).view(place.shape)

            if not self.linear:
                return tap(0, 0)
            return blended(blended(tap(0, 0), tap(0, 1), x), blended(tap(1, 0), tap(1, 1), x), y)

        values = (looked_up(plane) for plane in planes.flatten(1))
        if self.shape.dtype == "uint8":
            values = (truncated(plane.round_()) for plane in values)
        return torch.stack(list(values), dim=-1)


def _within(position: Tensor, size: int, mode: int) -> Tensor:
    """Positions between pixels, which may lie outside, as positions in the image or on its ring."""
    if mode == CONSTANT:
        return position.clamp(-_RING, size)
    if mode == REFLECT:  # at the edge itself, half a pixel beyond the outermost
        folded = (position + 0.5).remainder(2 * size)
        return torch.minimum(folded, 2 * size - folded) - 0.5
    return inside(position, size, mode)


def blended(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """``first`` + (``second`` - ``first``) * ``share`` as OpenCV has it; float32, takes over both."""
    return first.addcmul_(second.sub_(first), share)


@dataclass(frozen=True)
class Warp:
    """Looks each image up at places that a matrix of its own gives; ``p`` below 1 leaves the other images alone."""

    p: float
    sampling: Sampling
    after: Shape

    def draw(self, draws: Draws) -> Parameters:
        """``matrix`` (n, 6 or 9), see :meth:`_matrix`; with p < 1 ``chosen`` (n): whether the image is warped."""
        matrix = {"matrix": self._matrix(draws).astype(np.float32, order="C")}
        return matrix if self.p >= 1 else matrix | {"chosen": draws.happens(self.p)}

    def _matrix(self, draws: Draws) -> Floats:
        """From a pixel's place to where it is looked up: (n, 6), affine, or (n, 9), homogeneous; row by row."""
        raise NotImplementedError

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Warps the chosen images."""
        pixels, own = canvas.pixels(), {"matrix": parameters["matrix"]}
        if "chosen" not in parameters:
            return Canvas.of(in_parts(pixels, own, self._warped))
        return Canvas.of(where_chosen(pixels, parameters["chosen"], own, self._warped))

    def _warped(self, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        height, width = pixels_BHWC.shape[1:3]
        x = torch.arange(width, dtype=torch.float32, device=pixels_BHWC.device)
        y = torch.arange(height, dtype=torch.float32, device=pixels_BHWC.device)[:, None]
        rows = parameters["matrix"].view(len(pixels_BHWC), -1, 3, 1, 1).unbind(1)
        places = [row[:, 0] * x + (row[:, 1] * y + row[:, 2]) for row in rows]
        if len(places) == 3:
            # On the horizon a place is no number.
            places = [place.div_(places[2]).nan_to_num_(nan=0.0) for place in places[:2]]
        return self.sampling.at(pixels_BHWC, *places)


def sampling(transform: Any, shape: Shape) -> Sampling:
    """How a transform looks pixels up, by its ``interpolation``, ``border_mode`` and ``fill``."""
    name = type(transform).__name__
    linear = is_linear(transform)
    if shape.channels not in (1, 3, 4):  # where OpenCV still counts in steps of 1/32 pixel
        raise NotBatchedError(f"{name} of images of {shape.channels} channels")
    if (shape.height + 2 * _RING) * (shape.width + 2 * _RING) > 2**24:
        raise NotBatchedError(f"{name} of images of {shape.height} x {shape.width}")
    if transform.border_mode == CONSTANT:
        border_fill(transform.fill, shape)  # refuses what is no fill for these images
    return Sampling(transform.border_mode, transform.fill, linear, shape)
