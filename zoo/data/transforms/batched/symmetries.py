"""Batched symmetries of a square: quarter turns, mirrors, transposition. Floor 2.

Each is two mirrors, drawn or not, and then a transposition, drawn or not. Mirrors are maps of rows and of columns.
Distributions are albumentations'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.draws import Draws
from zoo.data.transforms.batched.canvas import Canvas
from zoo.data.transforms.batched.chosen import where_chosen
from zoo.data.transforms.batched.forms import NotBatchedError, Parameters, Shape
from zoo.data.transforms.batched.geometry import flipped

# horizontal, vertical, transposed: a mirror of columns, one of rows, and then rows and columns exchanged
_QUARTER_TURNS = ((False, False, False), (True, False, True), (True, True, False), (False, True, True))
_ALL = tuple((bool(one & 1), bool(one & 2), bool(one & 4)) for one in range(8))
_TRANSPOSITION = ((False, False, True),)


@dataclass(frozen=True)
class Symmetry:
    """RandomRotate90, D4, SquareSymmetry, Transpose: one of ``elements``, all equally often, or with 1 - p none."""

    p: float
    elements: tuple[tuple[bool, bool, bool], ...]
    after: Shape

    def draw(self, draws: Draws) -> Parameters:
        """``horizontal``, ``vertical``, ``transposed`` (n): whether."""
        happens = draws.happens(self.p)
        element = np.array(self.elements)[draws.integers(0, len(self.elements) - 1)] & happens[:, None]
        return dict(zip(("horizontal", "vertical", "transposed"), element.T, strict=True))

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Mirrors and transposes the images concerned."""
        if len(self.elements) > 1:
            canvas = flipped(canvas, parameters["horizontal"], horizontal=True)
            canvas = flipped(canvas, parameters["vertical"], horizontal=False)
        if self.after.height != self.after.width:  # then all of them are transposed
            return Canvas.of(_transposed(canvas.pixels(), parameters))
        return Canvas.of(where_chosen(canvas.pixels(), parameters["transposed"], parameters, _transposed))


def _transposed(pixels_BHWC: Tensor, _: Mapping[str, Tensor]) -> Tensor:
    """Rows and columns exchanged: value by value, which takes half as long as pixels of a few channels."""
    size, *shape = pixels_BHWC.shape
    value = torch.arange(math.prod(shape), device=pixels_BHWC.device).view(shape).transpose(0, 1)
    return pixels_BHWC.view(size, -1).gather(1, value.reshape(1, -1).expand(size, -1)).view(size, *value.shape)


def random_rotate90(transform: Any, shape: Shape) -> Symmetry:
    """RandomRotate90 of square images."""
    return _square(transform, _QUARTER_TURNS, shape)


def d4(transform: Any, shape: Shape) -> Symmetry:
    """D4 and SquareSymmetry of square images."""
    return _square(transform, _ALL, shape)


def transpose(transform: Any, shape: Shape) -> Symmetry:
    """Transpose; of images that are not square, of all of them."""
    if transform.p < 1:
        return _square(transform, _TRANSPOSITION, shape)
    return Symmetry(transform.p, _TRANSPOSITION, shape.resized(shape.width, shape.height))


def _square(transform: Any, elements: tuple[tuple[bool, bool, bool], ...], shape: Shape) -> Symmetry:
    if shape.height != shape.width:
        raise NotBatchedError(f"{type(transform).__name__} of images of {shape.height} x {shape.width}")
    return Symmetry(transform.p, elements, shape)
