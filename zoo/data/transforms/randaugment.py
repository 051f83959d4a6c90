"""RandAugment over batches: images that drew the same operation go through it together. Floor 2.

The operations and their magnitudes are torchvision's (``torchvision.transforms.v2.RandAugment``); torchvision is
imported when the first batch is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, model_validator
from torch import Tensor

from zoo.data.draws import Draws
from zoo.data.transforms.batched.canvas import Canvas
from zoo.data.transforms.batched.forms import BatchedForm, Facts, NotBatchedError, Parameters, Shape
from zoo.data.transforms.mixing import OwnTransform

Operation = Callable[[Tensor], Tensor]  # of uint8 images (B, C, H, W)


class RandAugment(OwnTransform):
    """Some operations on each image, drawn from fourteen, of one magnitude (Cubuk et al. 2020); before Normalize."""

    takes_floats: ClassVar[bool] = False

    num_ops: Annotated[int, Field(ge=0)] = Field(2, description="operations on each image, one after another")
    magnitude: Annotated[int, Field(ge=0)] = Field(9, description="of every operation, counted from 0")
    num_magnitude_bins: Annotated[int, Field(ge=2)] = Field(31, description="number of magnitudes there are")

    @model_validator(mode="after")
    def _within(self) -> RandAugment:
        if self.magnitude >= self.num_magnitude_bins:
            raise ValueError(f"magnitude {self.magnitude} is not below num_magnitude_bins {self.num_magnitude_bins}")
        return self

    def form(self, shape: Shape, facts: Facts) -> BatchedForm:
        """The batched form for images of a shape."""
        if shape.dtype != "uint8" or shape.channels not in (1, 3):
            raise NotBatchedError("RandAugment takes grey or RGB images that no Normalize has seen yet")
        return RandAugmentForm(self.num_ops, self.magnitude / (self.num_magnitude_bins - 1), shape)


@dataclass(frozen=True)
class RandAugmentForm:
    """RandAugment; ``strength`` is the magnitude as a share of the largest."""

    num_ops: int
    strength: float
    after: Shape

    def draw(self, draws: Draws) -> Parameters:
        """``operation`` (n, num_ops): indices into the operations, of which signed ones have two entries."""
        kinds = _KINDS
        chosen = [draws.integers(0, len(kinds) - 1) for _ in range(self.num_ops)]
        minus = [draws.happens(0.5) for _ in range(self.num_ops)]
        rows = [2 * kind + sign for kind, sign in zip(chosen, minus, strict=True)]
        return {"operation": np.stack(rows, axis=1)} if rows else {}

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Applies the operations. On a GPU the host waits here, to learn which images share an operation."""
        planes = canvas.pixels().permute(0, 3, 1, 2)
        for step in range(self.num_ops):
            drawn = parameters["operation"][:, step]
            for number in sorted(set(drawn.tolist())):
                same = (drawn == number).nonzero()[:, 0]
                planes[same] = self.operations[number](planes[same])
        return Canvas.of(planes.permute(0, 2, 3, 1).contiguous())

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """Every kind twice: with its magnitude, and with minus its magnitude where it has a sign."""
        made = (_operation(kind, self.strength * sign, self.after) for kind in _KINDS for sign in (1, -1))
        return tuple(made)


_KINDS = (
    "Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast",
    "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize",
)  # fmt: skip


def _operation(kind: str, strength: float, shape: Shape) -> Operation:
    """The operation of a kind; ``strength`` in -1..1, whose sign those without one ignore."""
    from torchvision.transforms.v2 import functional as F

    factor, size = 1 + 0.9 * strength, abs(strength)
    shift = 150 / 331 * strength
    shear = math.degrees(math.atan(0.3 * strength))
    operations: dict[str, Operation] = {
        "Identity": lambda x: x,
        "ShearX": lambda x: _affine(x, shear=[shear, 0.0], center=[0.0, 0.0]),
        "ShearY": lambda x: _affine(x, shear=[0.0, shear], center=[0.0, 0.0]),
        "TranslateX": lambda x: _affine(x, translate=[int(shift * shape.width), 0]),
        "TranslateY": lambda x: _affine(x, translate=[0, int(shift * shape.height)]),
        "Rotate": lambda x: F.rotate(x, angle=30 * strength),
        "Brightness": lambda x: F.adjust_brightness(x, factor),
        "Color": lambda x: F.adjust_saturation(x, factor),
        "Contrast": lambda x: F.adjust_contrast(x, factor),
        "Sharpness": lambda x: F.adjust_sharpness(x, factor),
        "Posterize": lambda x: F.posterize(x, 8 - round(4 * size)),
        "Solarize": lambda x: F.solarize(x, 255 * (1 - size)),
        "AutoContrast": F.autocontrast,
        "Equalize": F.equalize,
    }
    return operations[kind]


def _affine(planes: Tensor, **arguments: Any) -> Tensor:
    from torchvision.transforms.v2 import functional as F

    still = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    warped: Tensor = F.affine(planes, **(still | arguments))
    return warped
