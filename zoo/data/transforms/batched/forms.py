"""Batched forms: what each has to offer, and what it is told about the images that reach it. Floor 2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from zoo.data.borders import LINEAR, NEAREST
from zoo.data.draws import Draws
from zoo.data.transforms.batched.canvas import Canvas

Parameters = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Facts:
    """What transforms are told of the data: channel statistics (0..1 units), classes, images of the split."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: int
    samples: int


ANY_FACTS = Facts(mean=(0.5,), std=(0.5,), classes=1, samples=1)  # to build a transform before there is data


@dataclass(frozen=True, slots=True)
class Shape:
    """The images in front of a transform: sizes in pixels, and whether they are uint8 still or float32 by now."""

    height: int
    width: int
    channels: int
    dtype: Literal["uint8", "float32"] = "uint8"

    def resized(self, height: int, width: int) -> Shape:
        """The shape with another height and width."""
        return replace(self, height=height, width=width)

    def as_float(self) -> Shape:
        """The shape once the images are float32."""
        return replace(self, dtype="float32")


class BatchedForm(Protocol):
    """A transform over whole batches.

    ``draw`` runs on the host for many samples at once and gives arrays whose first axis is the sample's; ``apply`` runs
    on the device with these arrays as tensors. ``after`` is the shape that comes out.
    """

    @property
    def after(self) -> Shape:
        """The shape that comes out."""

    def draw(self, draws: Draws) -> Parameters:
        """The parameters of every sample."""

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """The images after the transform."""


@dataclass(frozen=True)
class Nothing:
    """Leaves images as they are."""

    after: Shape

    def draw(self, draws: Draws) -> Parameters:
        """Nothing is drawn."""
        return {}

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """The same canvas."""
        return canvas


class NotBatchedError(ValueError):
    """These arguments have no batched form; the message says which."""


Builder = Callable[[Any, Shape], BatchedForm]


def always(p: float, name: str) -> None:
    """Refuses a probability below 1 for a transform that changes the size of images."""
    if p < 1:
        raise NotBatchedError(f"{name} with p < 1 gives images of several sizes")


def fill_values(fill: object, channels: int) -> tuple[float, ...]:
    """A fill as albumentations takes it, a number or one per channel, as one number per channel."""
    if isinstance(fill, str):
        raise NotBatchedError(f"fill: {fill}")
    values = np.asarray(fill, dtype=np.float32).reshape(-1)
    if len(values) not in (1, channels):
        raise NotBatchedError(f"a fill of {len(values)} numbers for {channels} channels")
    return tuple(np.broadcast_to(values, (channels,)).tolist())


def is_linear(transform: Any) -> bool:
    """Whether a transform blends neighbouring pixels, or takes the nearest; no form does more."""
    if transform.interpolation not in (NEAREST, LINEAR):
        raise NotBatchedError(f"{type(transform).__name__} with another interpolation than linear or nearest")
    return bool(transform.interpolation == LINEAR)


def border_fill(fill: object, shape: Shape) -> tuple[float, ...]:
    """The fill of a border, a number a channel: of uint8 images rounded and clipped, as OpenCV does."""
    values = fill_values(fill, shape.channels)
    if isinstance(fill, tuple) and len(fill) == 1:  # OpenCV's is the first channel's then
        values = (values[0], *[0.0] * (shape.channels - 1))
    return values if shape.dtype != "uint8" else tuple(float(np.clip(np.rint(value), 0, 255)) for value in values)
