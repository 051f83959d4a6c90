"""Batched pads, crops, flips and shifts: each is a map of rows and a map of columns. Floor 2.

Distributions are albumentations' (its ``get_params_dependent_on_data`` of the transform that each form is built from).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.data.borders import CONSTANT, inside
from zoo.data.draws import Draws, Integers
from zoo.data.transforms.batched.canvas import Canvas
from zoo.data.transforms.batched.forms import NotBatchedError, Parameters, Shape, always, border_fill

Sides = tuple[int, int]

_NOTHING: Parameters = {}


@dataclass(frozen=True)
class Flip:
    """HorizontalFlip, VerticalFlip."""

    p: float
    horizontal: bool
    after: Shape

    def draw(self, draws: Draws) -> Parameters:
        """``flip`` (n): whether."""
        return {"flip": draws.happens(self.p)}

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Reverses columns or rows of the images concerned."""
        return flipped(canvas, parameters["flip"], horizontal=self.horizontal)


def flipped(canvas: Canvas, flip_B: Tensor, *, horizontal: bool) -> Canvas:
    """The images, those marked in ``flip_B`` mirrored."""
    size = canvas.width if horizontal else canvas.height
    forward = torch.arange(size, device=canvas.device)[None]
    order = torch.where(flip_B[:, None], size - 1 - forward, forward)
    return canvas.moved(None, order) if horizontal else canvas.moved(order, None)


Corners = tuple[Integers, Integers]  # first row and first column (n), in the image's own coordinates


@dataclass(frozen=True)
class Between:
    """Corners from the first to the last row and column of ``top`` and ``left``, both included."""

    top: Sides
    left: Sides

    @property
    def only(self) -> Sides | None:
        """The one corner that there is, where there are no others."""
        is_one = self.top[0] == self.top[1] and self.left[0] == self.left[1]
        return (self.top[0], self.left[0]) if is_one else None

    def draw(self, draws: Draws, before: Shape) -> Corners:
        """One for each image."""
        return draws.integers(*self.top), draws.integers(*self.left)

    def may_leave(self, before: Shape, after: Shape) -> bool:
        """Whether a window of ``after``'s size can reach beyond the image. A crop cannot."""
        below, beyond = self.top[1] + after.height, self.left[1] + after.width
        return min(*self.top, *self.left) < 0 or below > before.height or beyond > before.width


@dataclass(frozen=True)
class ByShares:
    """Corners shifted by shares of the size, from the first to the last of each axis, truncated to whole pixels."""

    x: tuple[float, float]
    y: tuple[float, float]
    only = None

    def draw(self, draws: Draws, before: Shape) -> Corners:
        """One for each image: minus the shift."""
        x = (draws.uniform(*self.x) * before.width).astype(int)
        y = (draws.uniform(*self.y) * before.height).astype(int)
        return -y, -x

    def may_leave(self, before: Shape, after: Shape) -> bool:
        """A shift leaves the image."""
        return True


@dataclass(frozen=True)
class Window:
    """PadIfNeeded, Pad, CenterCrop, Crop, RandomCrop, Affine's translation: a window laid over the image.

    Beyond the edge lies the border. ``p`` below 1 leaves the other images where they are.
    """

    corners: Between | ByShares
    mode: int
    fill: Any
    before: Shape
    after: Shape
    p: float = 1.0

    def __post_init__(self) -> None:
        if self._shows_fill:
            border_fill(self.fill, self.before)  # refuses what is no fill for these images

    def draw(self, draws: Draws) -> Parameters:
        """``top`` and ``left`` (n): the window's corner; nothing where it is the same for all."""
        if self.p >= 1 and self.corners.only is not None:
            return _NOTHING
        top, left = self.corners.draw(draws, self.before)
        happens = 1 if self.p >= 1 else draws.happens(self.p)
        return {"top": top * happens, "left": left * happens}

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Lays the window."""
        top, left = self.corners.only or (0, 0)
        rows = _positions(parameters.get("top"), top, self.after.height, canvas)
        columns = _positions(parameters.get("left"), left, self.after.width, canvas)
        fill = border_fill(self.fill, self.before) if self._shows_fill else None
        return canvas.moved(
            inside(rows, self.before.height, self.mode), inside(columns, self.before.width, self.mode), fill
        )

    @property
    def _shows_fill(self) -> bool:
        # Where nothing shows it, a fill would be a pass over all pixels.
        return self.mode == CONSTANT and self.corners.may_leave(self.before, self.after)


def _positions(corner_B: Tensor | None, first: int, size: int, canvas: Canvas) -> Tensor:
    every = torch.arange(size, device=canvas.device)[None]
    return every + (first if corner_B is None else corner_B[:, None])


def horizontal_flip(transform: Any, shape: Shape) -> Flip:
    """HorizontalFlip."""
    return Flip(transform.p, True, shape)


def vertical_flip(transform: Any, shape: Shape) -> Flip:
    """VerticalFlip."""
    return Flip(transform.p, False, shape)


def pad_if_needed(transform: Any, shape: Shape) -> Window:
    """PadIfNeeded, with every position and border mode."""
    always(transform.p, "PadIfNeeded")
    top, bottom = _padding(shape.height, transform.min_height, transform.pad_height_divisor)
    left, right = _padding(shape.width, transform.min_width, transform.pad_width_divisor)
    return _padded(transform, shape, (top, bottom), (left, right), transform.position)


def _padding(size: int, least: int | None, divisor: int | None) -> tuple[int, int]:
    missing = max(0, least - size) if least is not None else -size % (divisor or 1)
    return missing // 2, missing - missing // 2


def _corners(position: str, vertical: Sides, horizontal: Sides) -> tuple[Sides, Sides]:
    """First and last row, and column, of a padded image's corner; ``vertical`` is the padding of top and bottom.

    albumentations' ``adjust_padding_by_position`` pads at the bottom for ``top_*`` and, unexpectedly, at the right for
    ``*_left``.
    """
    if position == "random":
        return (-sum(vertical), 0), (-sum(horizontal), 0)
    top, left = vertical[0], horizontal[0]
    if position != "center":
        top = 0 if position.startswith("top") else sum(vertical)
        left = 0 if position.endswith("left") else sum(horizontal)
    return (-top, -top), (-left, -left)


def _padded(transform: Any, shape: Shape, vertical: Sides, horizontal: Sides, position: str = "center") -> Window:
    after = shape.resized(shape.height + sum(vertical), shape.width + sum(horizontal))
    corners = Between(*_corners(position, vertical, horizontal))
    return Window(corners, transform.border_mode, transform.fill, shape, after)


def pad(transform: Any, shape: Shape) -> Window:
    """Pad by a number, a pair (x, y) or four (left, top, right, bottom)."""
    always(transform.p, "Pad")
    padding = transform.padding
    sides = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
    left, top, right, bottom = sides * 2 if len(sides) == 2 else sides
    return _padded(transform, shape, (top, bottom), (left, right))


def random_crop(transform: Any, shape: Shape) -> Window:
    """RandomCrop."""
    after = shape.resized(transform.height, transform.width)
    top, left = max(0, shape.height - after.height), max(0, shape.width - after.width)
    return _cropped(transform, shape, after, (after.height, after.width), (0, top), (0, left))


def center_crop(transform: Any, shape: Shape) -> Window:
    """CenterCrop."""
    after = shape.resized(transform.height, transform.width)
    top, left = max(0, shape.height - after.height) // 2, max(0, shape.width - after.width) // 2
    return _cropped(transform, shape, after, (after.height, after.width), (top, top), (left, left))


def crop(transform: Any, shape: Shape) -> Window:
    """Crop."""
    top, left, bottom, right = transform.y_min, transform.x_min, transform.y_max, transform.x_max
    after = shape.resized(bottom - top, right - left)
    return _cropped(transform, shape, after, (bottom, right), (top, top), (left, left))


def _cropped(transform: Any, shape: Shape, after: Shape, reach: Sides, top: Sides, left: Sides) -> Window:
    """A window on the image, or on the padded image where ``reach``, its last row and column, lies beyond."""
    name = type(transform).__name__
    always(transform.p, name)
    vertical, horizontal = _padding(shape.height, reach[0], None), _padding(shape.width, reach[1], None)
    if sum(vertical + horizontal) > 0 and not transform.pad_if_needed:
        raise NotBatchedError(f"{name} of {reach[0]} x {reach[1]} from images of {shape.height} x {shape.width}")
    up, back = _corners(transform.pad_position, vertical, horizontal)
    rows, columns = (up[0] + top[0], up[1] + top[1]), (back[0] + left[0], back[1] + left[1])
    return Window(Between(rows, columns), transform.border_mode, transform.fill, shape, after)


def shift(transform: Any, shape: Shape) -> Window:
    """Affine and ShiftScaleRotate where :func:`only_shifts` says so."""
    common = (transform.border_mode, transform.fill, shape, shape, transform.p)
    if transform.translate_percent is not None:
        x, y = transform.translate_percent["x"], transform.translate_percent["y"]
        return Window(ByShares(x, y), *common)
    x, y = (_whole(transform.translate_px[axis]) for axis in "xy")
    return Window(Between((-y[1], -y[0]), (-x[1], -x[0])), *common)


def _whole(bounds: tuple[float, float]) -> tuple[int, int]:
    return int(bounds[0]), int(bounds[1])


def only_shifts(transform: Any) -> bool:
    """Whether an Affine or ShiftScaleRotate shifts by whole pixels and does nothing else."""
    still = {"scale": (1.0, 1.0), "shear": (0.0, 0.0)}
    changes = any(tuple(getattr(transform, name)[axis]) != one for name, one in still.items() for axis in "xy")
    return not changes and tuple(transform.rotate) == (0, 0)
