"""What RandAugment and its like do to images, each image by as much as it drew; torchvision's operations. Floor 2.

Five of the fourteen are warps, so that one pass takes all of them: what is left is a handful of changes of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.data.draws import Draws, Floats, Integers
from zoo.data.transforms.batched.canvas import Canvas
from zoo.data.transforms.batched.chosen import by_number
from zoo.data.transforms.batched.colours import per_image
from zoo.data.transforms.batched.forms import Parameters, Shape
from zoo.data.transforms.batched.levels import clipped

_WARPS = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
KINDS = (
    "Identity", *_WARPS, "Brightness", "Color", "Contrast", "Sharpness", "Posterize", "Solarize", "AutoContrast",
    "Equalize", "Invert",
)  # fmt: skip
_DRAWN = len(KINDS) - 1  # all but Invert, which AutoAugment's policies alone have


@dataclass(frozen=True)
class Largest:
    """The largest magnitude of every operation: ``shear`` a slope, ``rotate`` in degrees, ``translate`` in pixels down
    and right; ``enhance`` how far a factor is from 1; ``posterize`` the bits that are lost.
    """

    shear: float
    translate: tuple[float, float]
    rotate: float
    enhance: float
    posterize: int


Operations = list[tuple[Integers, Integers, Integers]]  # one after another: kinds, magnitudes, signs (n) of each


class Drawing(Protocol):
    """How it is drawn which operations an image goes through."""

    def operations(self, draws: Draws, bins: int) -> Operations:
        """Those of each image; of all images equally many. ``bins`` is how many magnitudes there are."""


@dataclass(frozen=True)
class AnyOf:
    """``num_ops`` operations, each any one, all of one ``magnitude`` or, with None, each of its own."""

    num_ops: int
    magnitude: int | None

    def operations(self, draws: Draws, bins: int) -> Operations:
        """Those of each image."""
        return [self._one(draws, bins) for _ in range(self.num_ops)]

    def _one(self, draws: Draws, bins: int) -> tuple[Integers, Integers, Integers]:
        kind = draws.integers(0, _DRAWN - 1)
        fixed = np.full(len(draws), self.magnitude or 0)
        magnitude = fixed if self.magnitude is not None else draws.integers(0, bins - 1)
        return kind, magnitude, np.where(draws.happens(0.5), -1, 1)


@dataclass(frozen=True)
class Policies:
    """One of several policies: lists of equally many operations, each with a probability and a magnitude."""

    policies: tuple[tuple[tuple[str, float, int], ...], ...]

    def operations(self, draws: Draws, bins: int) -> Operations:
        """Those of each image."""
        kinds = np.array([[KINDS.index(kind) for kind, _, _ in policy] for policy in self.policies])
        chances = np.array([[chance for _, chance, _ in policy] for policy in self.policies])
        magnitudes = np.array([[magnitude for _, _, magnitude in policy] for policy in self.policies])
        policy = draws.integers(0, len(self.policies) - 1)
        drawn = []
        for step in range(len(self.policies[0])):
            kind = np.where(draws.uniform() < chances[policy, step], kinds[policy, step], KINDS.index("Identity"))
            drawn.append((kind, magnitudes[policy, step], np.where(draws.happens(0.5), -1, 1)))
        return drawn


@dataclass(frozen=True)
class Augmentation:
    """Operations on each image, one after another. Magnitudes are counted: from 0 to that of the largest, ``bins``."""

    drawing: Drawing
    bins: int
    largest: Largest
    after: Shape

    def draw(self, draws: Draws) -> Parameters:
        """``change`` (n, ops): the number of the change, -1 for none; by how much: ``matrix`` (n, ops, 6), ``amount``
        and ``rest`` (n, ops), see :data:`CHANGES`. Nothing where there are no operations.
        """
        rows = [self.parameters(*one) for one in self.drawing.operations(draws, self.bins)]
        return {name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]} if rows else {}

    def parameters(self, kind: Integers, magnitude: Integers, sign: Integers) -> Parameters:
        """Those of one operation on each image (n), as :meth:`draw` gives them; ``sign`` where there is one."""
        bits = np.round(8 - np.arange(self.bins) / ((self.bins - 1) / self.largest.posterize))[magnitude]
        amount = np.select(
            [kind == KINDS.index(name) for name in ("Posterize", "Solarize", "Invert")],
            [256 - 2.0 ** (8 - bits), 255 * self._spaced(1, 0)[magnitude], np.zeros(len(kind))],
            1 + self._spaced(0, self.largest.enhance)[magnitude] * sign,
        )
        return {
            "change": _NUMBERS[kind],
            "matrix": self._matrix(kind, magnitude, sign).astype(np.float32),
            "amount": amount.astype(np.float32),
            "rest": (1 - amount).astype(np.float32),
        }

    def _spaced(self, first: float, last: float) -> Floats:
        """A magnitude's values as torch.linspace's, to the last bit: what is just below a whole number is cut off."""
        place, low, high = np.arange(self.bins), float(np.float32(first)), float(np.float32(last))
        step = float(np.float32(high - low) / np.float32(self.bins - 1))
        values = np.where(place < self.bins // 2, low + step * place, high - step * (self.bins - 1 - place))
        return values.astype(np.float32).astype(np.float64)

    def _matrix(self, kind: Integers, magnitude: Integers, sign: Integers) -> Floats:
        """From a pixel's place to where it is looked up (n, 6), both counted from the image's middle."""
        matrix = np.tile(np.array([1.0, 0, 0, 0, 1, 0]), (len(kind), 1))
        largest = (self.largest.shear, self.largest.rotate, *self.largest.translate)
        shear, degrees, down, right = (self._spaced(0, most)[magnitude] * sign for most in largest)
        angle, down, right = np.radians(degrees), np.trunc(down), np.trunc(right)
        for name, column, value in (
            ("ShearX", 1, shear),  # around the upper left corner
            ("ShearX", 2, shear * self.after.height / 2),
            ("ShearY", 3, shear),
            ("ShearY", 5, shear * self.after.width / 2),
            ("TranslateX", 2, -right),
            ("TranslateY", 5, -down),
            ("Rotate", 0, np.cos(angle)),
            ("Rotate", 1, -np.sin(angle)),
            ("Rotate", 3, np.sin(angle)),
            ("Rotate", 4, np.cos(angle)),
        ):
            matrix[:, column] = np.where(kind == KINDS.index(name), value, matrix[:, column])
        return matrix

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Applies the operations."""
        pixels = canvas.pixels()
        for step in range(parameters["change"].shape[1] if parameters else 0):
            own = {name: values[:, step] for name, values in parameters.items()}
            pixels = by_number(pixels, own.pop("change"), own, CHANGES)
        return Canvas.of(pixels)


def _warped(pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    """Looks pixels up, the nearest to where ``matrix`` says; black beyond the edge."""
    height, width = pixels_BHWC.shape[1:3]
    x, y = (torch.arange(size, device=pixels_BHWC.device) - (size - 1) / 2 for size in (width, height))
    rows = parameters["matrix"].view(-1, 2, 3, 1, 1).unbind(1)
    places = [row[:, 0] * x + (row[:, 1] * y[:, None] + row[:, 2]) for row in rows]
    grid = torch.stack([place / (size / 2) for place, size in zip(places, (width, height), strict=True)], dim=3)
    planes = _planes(pixels_BHWC).to(torch.float32)
    return _pixels(F.grid_sample(planes, grid, mode="nearest", padding_mode="zeros", align_corners=False))


def _brightened(pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    return clipped(pixels_BHWC * per_image(parameters["amount"]), torch.uint8)


def _coloured(pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    if pixels_BHWC.shape[3] == 1:
        return pixels_BHWC
    return _blended(pixels_BHWC, _gray(pixels_BHWC), parameters)


def _contrasted(pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    return _blended(pixels_BHWC, _gray(pixels_BHWC).mean(dim=(1, 2, 3), keepdim=True), parameters)


def _sharpened(pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    if min(pixels_BHWC.shape[1:3]) <= 2:
        return pixels_BHWC
    planes = _planes(pixels_BHWC).to(torch.float32, copy=True)
    kernel = torch.full((planes.shape[1], 1, 3, 3), 1 / 13, device=planes.device)
    kernel[:, :, 1, 1] = 5 / 13
    inside = planes[:, :, 1:-1, 1:-1]
    blurred = F.conv2d(planes, kernel, groups=planes.shape[1]).round_()
    inside.add_(blurred.sub_(inside).mul_(per_image(parameters["rest"])))
    return _pixels(planes.clamp_(0, 255))


def _posterized(pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    return pixels_BHWC & per_image(parameters["amount"].to(torch.uint8))


def _solarized(pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    return torch.where(pixels_BHWC >= per_image(parameters["amount"]), 255 - pixels_BHWC, pixels_BHWC)


def _autocontrasted(pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    from torchvision.transforms.v2.functional import autocontrast

    return _pixels(autocontrast(_planes(pixels_BHWC)))


def _equalized(pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    from torchvision.transforms.v2.functional import equalize

    return _pixels(equalize(_planes(pixels_BHWC)))


def _planes(pixels_BHWC: Tensor) -> Tensor:
    return pixels_BHWC.permute(0, 3, 1, 2)


def _pixels(planes_BCHW: Tensor) -> Tensor:
    return planes_BCHW.permute(0, 2, 3, 1).to(torch.uint8).contiguous()


def _gray(pixels_BHWC: Tensor) -> Tensor:
    """The grey levels (B, H, W, 1) in float32, as torchvision has them: rounded down."""
    if pixels_BHWC.shape[3] == 1:
        return pixels_BHWC.to(torch.float32)
    red, green, blue = pixels_BHWC.unbind(3)
    gray = red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)
    return gray.floor_()[..., None]


def _blended(pixels_BHWC: Tensor, other: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    blend = (pixels_BHWC * per_image(parameters["amount"])).add_(other * per_image(parameters["rest"]))
    return clipped(blend, torch.uint8)


# Of uint8 images, by their numbers. ``amount`` is a factor and ``rest`` one minus it; Posterize's is a mask of bits,
# Solarize's a threshold.
CHANGES = (
    _warped, _brightened, _coloured, _contrasted, _sharpened, _posterized, _solarized, _autocontrasted, _equalized,
)  # fmt: skip
# Of each operation: the warps are all the first one, to invert is to solarize from 0 on, and -1 is none.
_NUMBERS = np.array([-1, *(0 for _ in _WARPS), *range(1, len(CHANGES)), CHANGES.index(_solarized)], dtype=np.int8)
