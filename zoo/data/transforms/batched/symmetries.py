"""Batched symmetries of a square: quarter turns, mirrors, transposition. Floor 2.

Each is two mirrors, drawn or not, and then a transposition, drawn or not. Mirrors are maps of rows and of columns.
Distributions are albumentations'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.data.draws import Draws
from zoo.data.transforms.batched.canvas import Canvas
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
        pixels_BHWC = canvas.pixels()
        transposed_BHWC = pixels_BHWC.transpose(1, 2)
        if self.after.height != self.after.width:  # then all of them are
            return Canvas.of(transposed_BHWC)
        return Canvas.of(torch.where(parameters["transposed"][:, None, None, None], transposed_BHWC, pixels_BHWC))


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
