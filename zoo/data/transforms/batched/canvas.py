"""Images as they travel through batched transforms: geometry is put off until a pixel is looked at. Floor 2.

Pads, crops, flips and shifts move whole rows and columns, so any chain of them is one map of rows and one of columns
per image. A canvas carries the two maps and gathers once, straight from the data set's uint8 array.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Canvas:
    """B images of H x W that are cut out of N source images when :meth:`pixels` is called.

    ``source`` (N, H, W, C) is uint8 or float32; ``sample`` (B) says which source image each one comes from; ``rows``
    (B or 1, H) and ``columns`` (B or 1, W) say which row and column of it, None all of them. A negative entry -1 - k
    means: outside the image, filled with ``fills[k]``, a number a channel; of two, the one put there last shows.
    """

    source: Tensor
    sample: Tensor
    rows: Tensor | None = None
    columns: Tensor | None = None
    fills: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(cls, pixels_BHWC: Tensor) -> Canvas:
        """A canvas of images that are there already."""
        return cls(pixels_BHWC, torch.arange(len(pixels_BHWC), device=pixels_BHWC.device))

    def __len__(self) -> int:
        return len(self.sample)

    @property
    def height(self) -> int:
        """Rows of every image."""
        return self.source.shape[1] if self.rows is None else self.rows.shape[1]

    @property
    def width(self) -> int:
        """Columns of every image."""
        return self.source.shape[2] if self.columns is None else self.columns.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the images lie."""
        return self.source.device

    def moved(self, rows: Tensor | None, columns: Tensor | None, fill: tuple[float, ...] | None = None) -> Canvas:
        """Takes rows and columns of this canvas (B or 1, new size); entries of -1 are outside and become ``fill``."""
        fills = self.fills if fill is None else (*self.fills, fill)
        outside = -len(fills)
        return replace(
            self,
            rows=_compose(self.rows, rows, outside),
            columns=_compose(self.columns, columns, outside),
            fills=fills,
        )

    def where(self, chosen_B: Tensor, moved: Canvas) -> Canvas:
        """These images, the chosen ones as they are in ``moved``: this canvas after some :meth:`moved`."""
        assert moved.source is self.source
        rows = _either(chosen_B, moved.rows, self.rows, self.source.shape[1])
        columns = _either(chosen_B, moved.columns, self.columns, self.source.shape[2])
        return replace(moved, rows=rows, columns=columns)

    def pixels(self, transposed: Tensor | None = None) -> Tensor:
        """The images (B, H, W, C), new memory; those marked in ``transposed`` (B), all square then, transposed."""
        if self.rows is None and self.columns is None and transposed is None:
            return self.source.index_select(0, self.sample)
        _, height, width, channels = self.source.shape
        every = torch.arange(max(height, width), device=self.device)
        rows = every[None, :height] if self.rows is None else self.rows
        columns = every[None, :width] if self.columns is None else self.columns
        line_BH, column = (self.sample[:, None] * height + rows.clamp_min(0)) * width, columns.clamp_min(0)
        if transposed is not None:
            line_BH, column = _exchanged(line_BH, column, transposed)
            rows, columns = _exchanged(rows, columns, transposed)
        flat_BHW = line_BH[:, :, None] + column[:, None, :]
        pixels = self.source.reshape(-1, channels).index_select(0, flat_BHW.reshape(-1))
        return self._fill(pixels.view(*flat_BHW.shape, channels), rows, columns)

    def _fill(self, pixels_BHWC: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        for number, fill in enumerate(self.fills):
            paint(pixels_BHWC, self._outside(number, rows, columns), fill)
        return pixels_BHWC

    def _outside(self, number: int, rows: Tensor, columns: Tensor) -> Tensor:
        """Where the fill of this number shows (B or 1, H, W)."""
        if len(self.fills) == 1:
            return (rows < 0)[:, :, None] | (columns < 0)[:, None, :]
        # The code of the fill that was put there last is the smaller one.
        return torch.minimum(rows[:, :, None], columns[:, None, :]) == -1 - number


@lru_cache(maxsize=256)
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Numbers as float32 on a device, put there once: a copy in every batch would make the host wait for the GPU."""
    return torch.tensor(values, dtype=torch.float32, device=device)


def paint(pixels_BHWC: Tensor, where_BHW: Tensor, fill: tuple[float, ...]) -> None:
    """Fills places (B or 1, H, W), in place. One number for all channels, the usual case, is twice as fast."""
    where = where_BHW[..., None]
    if len(set(fill)) == 1:
        pixels_BHWC.masked_fill_(where, fill[0])
    else:
        torch.where(where, constant(fill, pixels_BHWC.device).to(pixels_BHWC.dtype), pixels_BHWC, out=pixels_BHWC)


def _either(chosen_B: Tensor, moved: Tensor | None, lines: Tensor | None, size: int) -> Tensor | None:
    """The map ``moved`` of the chosen images and ``lines`` of the others."""
    if moved is lines:
        return lines
    every = torch.arange(size, device=chosen_B.device)[None]
    return torch.where(chosen_B[:, None], every if moved is None else moved, every if lines is None else lines)


def _exchanged(first: Tensor, second: Tensor, where_B: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where(where_B[:, None], second, first), torch.where(where_B[:, None], first, second)


def _compose(inner: Tensor | None, outer: Tensor | None, outside: int) -> Tensor | None:
    """The map that follows ``outer`` and then ``inner``; where ``outer`` is -1 the result is ``outside``."""
    if outer is None:
        return inner
    if inner is None:
        return torch.where(outer < 0, outside, outer) if outside != -1 else outer
    size = max(len(inner), len(outer))
    picked = inner.expand(size, -1).gather(1, outer.clamp_min(0).expand(size, -1))
    return torch.where(outer < 0, outside, picked)
