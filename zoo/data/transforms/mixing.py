"""Transforms of zoo's own: AlternatingFlip, CutMix, MixUp, and ToTensorV2, which does nothing. Floor 2.

Partners of CutMix and MixUp are drawn from the whole split, not from the batch, and lambda is drawn per sample: so what
becomes of a sample does not depend on how the split was cut into batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from zoo.data.draws import Draws
from zoo.data.transforms.canvas import Canvas
from zoo.data.transforms.forms import BatchedForm, Facts, Parameters, Shape
from zoo.data.transforms.geometry import flipped
from zoo.data.transforms.pixels import holes_mask


class OwnTransform(BaseModel):
    """A transform of zoo's own: its fields are its arguments."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    only_train: ClassVar[bool] = True
    mixes_labels: ClassVar[bool] = False
    takes_floats: ClassVar[bool] = True  # images that went through Normalize

    def form(self, shape: Shape, facts: Facts) -> BatchedForm:
        """The batched form for images of a shape."""
        raise NotImplementedError


class AlternatingFlip(OwnTransform):
    """Mirrors at random in the first epoch, and the other way round in every epoch that follows (Jordan 2024)."""

    def form(self, shape: Shape, facts: Facts) -> BatchedForm:
        """The batched form for images of a shape."""
        return AlternatingFlipForm(shape)


class CutMix(OwnTransform):
    """Puts a rectangle of another image of the split over each image, and mixes labels by area (Yun et al. 2019)."""

    mixes_labels: ClassVar[bool] = True

    alpha: Annotated[float, Field(gt=0)] = Field(1.0, description="lambda is drawn from Beta(alpha, alpha)")
    p: Annotated[float, Field(ge=0, le=1)] = Field(1.0, description="share of the images that are mixed")

    def form(self, shape: Shape, facts: Facts) -> BatchedForm:
        """The batched form for images of a shape."""
        return Mix(self.alpha, self.p, facts.samples, True, shape)


class MixUp(OwnTransform):
    """Blends each image, and its label, with another of the split (Zhang et al. 2018)."""

    mixes_labels: ClassVar[bool] = True

    alpha: Annotated[float, Field(gt=0)] = Field(1.0, description="lambda is drawn from Beta(alpha, alpha)")
    p: Annotated[float, Field(ge=0, le=1)] = Field(1.0, description="share of the images that are mixed")

    def form(self, shape: Shape, facts: Facts) -> BatchedForm:
        """The batched form for images of a shape."""
        return Mix(self.alpha, self.p, facts.samples, False, shape)


class ToTensorV2(OwnTransform):
    """Does nothing: batches are tensors already. Accepted because pipelines made for albumentations end with it."""

    only_train: ClassVar[bool] = False

    def form(self, shape: Shape, facts: Facts) -> BatchedForm:
        """The batched form for images of a shape."""
        return Nothing(shape)


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


@dataclass(frozen=True)
class AlternatingFlipForm:
    """AlternatingFlip over batches (arXiv:2404.00498, section 3.6)."""

    after: Shape

    def draw(self, draws: Draws) -> Parameters:
        """``flip`` (n): whether; one coin per sample for the whole training, turned over every epoch."""
        return {"flip": draws.for_all_epochs().happens(0.5) ^ (draws.epoch % 2 == 0)}

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Mirrors."""
        return flipped(canvas, parameters["flip"], horizontal=True)


@dataclass(frozen=True)
class Mix:
    """CutMix and MixUp over batches: ``kept`` is the share of an image's own label; ``partner`` the other's index."""

    alpha: float
    p: float
    samples: int
    cuts: bool
    after: Shape

    def draw(self, draws: Draws) -> Parameters:
        """``partner``, ``kept`` (n), for CutMix also the rectangle's edges as CoarseDropout's (n, 1)."""
        partner = draws.integers(0, self.samples - 1)
        kept = np.where(draws.happens(self.p), draws.beta(self.alpha), 1.0)
        if not self.cuts:
            return {"partner": partner, "kept": kept.astype(np.float32)}
        y0, y1 = self._edges(draws, kept, self.after.height)
        x0, x1 = self._edges(draws, kept, self.after.width)
        area = (y1 - y0) * (x1 - x0) / (self.after.height * self.after.width)
        edges = {name: values[:, None] for name, values in {"y0": y0, "y1": y1, "x0": x0, "x1": x1}.items()}
        return {"partner": partner, "kept": (1 - area).astype(np.float32), **edges}

    def _edges(self, draws: Draws, kept: np.ndarray[Any, Any], size: int) -> tuple[np.ndarray[Any, Any], ...]:
        # As torchvision.transforms.v2.CutMix: a uniform centre, the rectangle clipped at the image's edge.
        half = (0.5 * np.sqrt(1 - kept) * size).astype(np.int64)
        centre = draws.integers(0, size - 1)
        return np.maximum(centre - half, 0), np.minimum(centre + half, size)

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Mixes each image with itself, which changes nothing; :meth:`mix` is what pipelines call."""
        return canvas

    def mix(self, own: Canvas, other: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """The mixed images."""
        own_BHWC, other_BHWC = own.pixels(), other.pixels()
        if self.cuts:
            here = holes_mask(parameters, own)[..., None]
            return Canvas.of(torch.where(here, other_BHWC, own_BHWC))
        kept = parameters["kept"].view(-1, 1, 1, 1)
        blend = other_BHWC.to(torch.float32).lerp_(own_BHWC.to(torch.float32), kept)
        return Canvas.of(blend.round_().to(torch.uint8) if own_BHWC.dtype == torch.uint8 else blend)
