"""Transforms of zoo's own: AlternatingFlip, CutMix, MixUp, and ToTensorV2, which does nothing. Floor 2.

Partners of CutMix and MixUp are drawn from the whole epoch, not from the batch, and lambda is drawn per sample: so what
becomes of a sample does not depend on how the epoch was cut into batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from zoo.data.draws import Draws
from zoo.data.transforms.batched.canvas import Canvas
from zoo.data.transforms.batched.forms import BatchedForm, Facts, Nothing, Parameters, Shape
from zoo.data.transforms.batched.geometry import flipped
from zoo.data.transforms.batched.holes import holes_mask
from zoo.data.transforms.batched.levels import truncated


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
    """Mirrors at random in the first epoch, and the other way round in every epoch that follows (Jordan 2024).

    What comes again within an epoch (`data.repeats`, `data.sampling`) comes the other way round, too.
    """

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
        return Mix((Way(self.alpha, cuts=True),), self.p, facts.samples, shape)


class MixUp(OwnTransform):
    """Blends each image, and its label, with another of the split (Zhang et al. 2018)."""

    mixes_labels: ClassVar[bool] = True

    alpha: Annotated[float, Field(gt=0)] = Field(1.0, description="lambda is drawn from Beta(alpha, alpha)")
    p: Annotated[float, Field(ge=0, le=1)] = Field(1.0, description="share of the images that are mixed")

    def form(self, shape: Shape, facts: Facts) -> BatchedForm:
        """The batched form for images of a shape."""
        return Mix((Way(self.alpha, cuts=False),), self.p, facts.samples, shape)


class ToTensorV2(OwnTransform):
    """Does nothing: batches are tensors already. Accepted because pipelines made for albumentations end with it."""

    only_train: ClassVar[bool] = False

    def form(self, shape: Shape, facts: Facts) -> BatchedForm:
        """The batched form for images of a shape."""
        return Nothing(shape)


@dataclass(frozen=True)
class AlternatingFlipForm:
    """AlternatingFlip over batches (arXiv:2404.00498, section 3.6)."""

    after: Shape

    def draw(self, draws: Draws) -> Parameters:
        """``flip`` (n): whether; one coin per image for the whole training, turned over every epoch and every time that
        the image comes again within one.
        """
        turned = draws.epoch - 1 if draws.occurrences is None else draws.epoch - 1 + draws.occurrences
        return {"flip": draws.for_all_epochs().happens(0.5) ^ (np.asarray(turned) % 2 == 1)}

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Mirrors."""
        return flipped(canvas, parameters["flip"], horizontal=True)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to mix: CutMix's or MixUp's, its lambda from Beta(alpha, alpha); ``weight`` is how often it is chosen."""

    alpha: float
    cuts: bool
    weight: float = 1.0


def one_of(transforms: Sequence[Any], p: float, shape: Shape, facts: Facts) -> Mix:
    """A OneOf of CutMix and MixUp, as albumentations has it: their ``p`` are weights, its own the share that is mixed.

    ``transforms`` are CutMix's and MixUp's; one of them at least has ``p`` > 0.
    """
    ways = tuple(Way(one.alpha, isinstance(one, CutMix), one.p) for one in transforms)
    return Mix(ways, p, facts.samples, shape)


@dataclass(frozen=True)
class Mix:
    """Mixes images over batches, each in one of several ways."""

    ways: tuple[Way, ...]
    p: float
    samples: int
    after: Shape

    def draw(self, draws: Draws) -> Parameters:
        """``partner``: the other's place among the epoch's samples, ascending; ``kept``: the share of an image's own
        label (n).

        Where a way blends, ``opacity`` (n): an image's own share of each pixel. Where one cuts, the rectangle's edges
        ``y0``, ``y1``, ``x0``, ``x1`` (n, 1), as CoarseDropout's.
        """
        partner = draws.integers(0, self.samples - 1)
        mixed = draws.happens(self.p)
        way = draws.weighted([each.weight for each in self.ways])
        cuts = np.array([each.cuts for each in self.ways])[way]
        lambda_ = np.where(mixed, draws.beta(np.array([each.alpha for each in self.ways])[way]), 1.0)
        opacity = np.where(cuts, 1.0, lambda_)
        kept = opacity
        drawn: dict[str, Any] = {"partner": partner}
        if not all(each.cuts for each in self.ways):
            drawn["opacity"] = opacity.astype(np.float32)
        if any(each.cuts for each in self.ways):
            y0, y1 = self._edges(draws, np.where(cuts, lambda_, 1.0), self.after.height)
            x0, x1 = self._edges(draws, np.where(cuts, lambda_, 1.0), self.after.width)
            drawn |= {name: edge[:, None] for name, edge in {"y0": y0, "y1": y1, "x0": x0, "x1": x1}.items()}
            kept = opacity * (1 - (y1 - y0) * (x1 - x0) / (self.after.height * self.after.width))
        return drawn | {"kept": kept.astype(np.float32)}

    def _edges(self, draws: Draws, lambda_: np.ndarray[Any, Any], size: int) -> tuple[np.ndarray[Any, Any], ...]:
        # As torchvision.transforms.v2.CutMix: a uniform centre, the rectangle clipped at the image's edge.
        half = (0.5 * np.sqrt(1 - lambda_) * size).astype(np.int64)
        centre = draws.integers(0, size - 1)
        return np.maximum(centre - half, 0), np.minimum(centre + half, size)

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Mixes each image with itself, which changes nothing; :meth:`mix` is what pipelines call."""
        return canvas

    def mix(self, own: Canvas, other: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """The mixed images, uint8 or float32 as both are, (B, H, W, C); ``parameters`` as :meth:`draw` gives them."""
        mixed, other_BHWC = own.pixels_to_read(), other.pixels_to_read()
        if "opacity" in parameters:
            mixed = _blend(mixed, other_BHWC, parameters["opacity"])
        if "y0" in parameters:
            cut_BHL = holes_mask(parameters, own).view(torch.bool)
            mixed = torch.where(cut_BHL, other_BHWC.flatten(2), mixed.flatten(2)).view(mixed.shape)
        return Canvas.of(mixed)


def _blend(own_BHWC: Tensor, other_BHWC: Tensor, opacity_B: Tensor) -> Tensor:
    opacity = opacity_B.view(-1, 1, 1, 1)
    blend = torch.lerp(other_BHWC.to(torch.float32), own_BHWC.to(torch.float32), opacity)
    return truncated(blend.round_()) if own_BHWC.dtype == torch.uint8 else blend
