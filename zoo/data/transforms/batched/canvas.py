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

    ``source`` (N, H, W, C) is uint8 or float32; ``sample`` (B) says which source image each one comes from, None all in
    order; ``rows`` (B or 1, H) and ``columns`` (B or 1, W) say which row and column of it, None all of them. A negative
    entry -1 - k means: outside the image, filled with ``fills[k]``, a number a channel; of two, the one put there last
    shows.
    """

    source: Tensor
    sample: Tensor | None = None
    rows: Tensor | None = None
    columns: Tensor | None = None
    fills: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(cls, pixels_BHWC: Tensor) -> Canvas:
        """A canvas of images that are there already."""
        return cls(pixels_BHWC.contiguous())

    def __len__(self) -> int:
        return len(self.source if self.sample is None else self.sample)

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

    def pixels(self) -> Tensor:
        """The images (B, H, W, C), new memory.

        Rows first, which are copied whole, then the columns of those: a fraction of what single pixels take.
        """
        pixels_BHWC = self._columns_of(self._whole_rows())
        for number, fill in enumerate(self.fills):
            paint(pixels_BHWC, self._outside(number), fill)
        return pixels_BHWC

    def pixels_to_read(self) -> Tensor:
        """The same for whoever writes nothing there: where nothing was chosen and moved, the canvas' own memory."""
        is_as_it_was = self.sample is None and self.rows is None and self.columns is None
        return self.source if is_as_it_was else self.pixels()

    def _whole_rows(self) -> Tensor:
        if self.rows is None:
            return self.source.clone() if self.sample is None else self.source.index_select(0, self.sample)
        size, height, width, channels = self.source.shape
        sample = torch.arange(size, device=self.device) if self.sample is None else self.sample
        line_BH = sample[:, None] * height + self.rows.clamp_min(0)
        lines = self.source.reshape(-1, width * channels).index_select(0, line_BH.reshape(-1))
        return lines.view(*line_BH.shape, width, channels)

    def _columns_of(self, rows_BHWC: Tensor) -> Tensor:
        if self.columns is None:
            return rows_BHWC
        size, height, _, channels = rows_BHWC.shape
        place = values_of(self.columns.clamp_min(0), channels).expand(size, height, -1)
        return rows_BHWC.view(size, height, -1).gather(2, place).view(size, height, -1, channels)

    def _outside(self, number: int) -> Tensor:
        """Where the fill of this number shows: a mask for :func:`paint`."""
        nowhere = torch.zeros((1, 1), dtype=torch.int64, device=self.device)
        code, rows = -1 - number, nowhere if self.rows is None else self.rows
        columns = nowhere if self.columns is None else self.columns.repeat_interleave(self.source.shape[3], dim=1)
        if len(self.fills) == 1:
            return _bytes(rows < 0)[:, :, None] | _bytes(columns < 0)[:, None]
        # The code of the fill that was put there last is the smaller one.
        by_row = _bytes(rows == code)[:, :, None] & _bytes(columns >= code)[:, None]
        return by_row | (_bytes(rows >= code)[:, :, None] & _bytes(columns == code)[:, None])


@lru_cache(maxsize=256)
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Numbers as float32 on a device, put there once: a copy in every batch would make the host wait for the GPU."""
    return torch.tensor(values, dtype=torch.float32, device=device)


def values_of(columns_BW: Tensor, channels: int) -> Tensor:
    """Where the values of columns stand in a row of them all (B or 1, 1, W x C), for :func:`torch.gather`."""
    channel = torch.arange(channels, device=columns_BW.device)
    return (columns_BW[:, :, None] * channels + channel).flatten(1)[:, None]


def rectangles(rows_BH: Tensor, columns_BW: Tensor, channels: int) -> Tensor:
    """A mask for :func:`paint`: where the marked rows and the marked columns of an image meet."""
    return _bytes(rows_BH)[:, :, None] & _bytes(columns_BW).repeat_interleave(channels, dim=1)[:, None]


def paint(pixels_BHWC: Tensor, mask_BHL: Tensor, fill: tuple[float, ...]) -> None:
    """Fills places, in place. The mask (B or 1, H or 1, W x C or 1), uint8, is 1 there and 0 elsewhere.

    On a CPU one long last axis is several times faster than a short one of channels, and so are masks of bytes, which
    PyTorch combines many at once, than those of bool.
    """
    lines_BHL = pixels_BHWC.view(*pixels_BHWC.shape[:2], -1)
    colour_L = constant(fill * pixels_BHWC.shape[2], pixels_BHWC.device).to(pixels_BHWC.dtype)
    if pixels_BHWC.dtype == torch.uint8:
        bits_kept = mask_BHL - 1  # none where the colour goes, else all
        lines_BHL.bitwise_xor_(colour_L).bitwise_and_(bits_kept).bitwise_xor_(colour_L)
    else:
        torch.where(mask_BHL.view(torch.bool), colour_L, lines_BHL, out=lines_BHL)


def _bytes(mask: Tensor) -> Tensor:
    return mask.view(torch.uint8)


def _either(chosen_B: Tensor, moved: Tensor | None, lines: Tensor | None, size: int) -> Tensor | None:
    """The map ``moved`` of the chosen images and ``lines`` of the others."""
    if moved is lines:
        return lines
    every = torch.arange(size, device=chosen_B.device)[None]
    return torch.where(chosen_B[:, None], every if moved is None else moved, every if lines is None else lines)


def _compose(inner: Tensor | None, outer: Tensor | None, outside: int) -> Tensor | None:
    """The map that follows ``outer`` and then ``inner``; where ``outer`` is -1 the result is ``outside``."""
    if outer is None:
        return inner
    if inner is None:
        return torch.where(outer < 0, outside, outer) if outside != -1 else outer
    size = max(len(inner), len(outer))
    picked = inner.expand(size, -1).gather(1, outer.clamp_min(0).expand(size, -1))
    return torch.where(outer < 0, outside, picked)
