"""RandAugment, TrivialAugmentWide, AutoAugment: torchvision's operations, drawn for each image. Floor 2."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from zoo.data.transforms.batched.augmenting import AnyOf, Augmentation, Largest, Policies
from zoo.data.transforms.batched.forms import BatchedForm, Facts, NotBatchedError, Shape
from zoo.data.transforms.mixing import OwnTransform

_LEARNT_BINS = 10  # magnitudes that AutoAugment's policies choose from
_Bins = Annotated[int, Field(ge=2)]


class _OnUint8(OwnTransform):
    takes_floats: ClassVar[bool] = False

    def form(self, shape: Shape, facts: Facts) -> BatchedForm:
        """The batched form for images of a shape."""
        if shape.dtype != "uint8" or shape.channels not in (1, 3):
            raise NotBatchedError(f"{type(self).__name__} takes grey or RGB images that no Normalize has seen yet")
        return self._augmentation(shape)

    def _augmentation(self, shape: Shape) -> Augmentation:
        raise NotImplementedError


def _largest(shape: Shape) -> Largest:
    """What RandAugment and AutoAugment do at most."""
    return Largest(0.3, (150 / 331 * shape.height, 150 / 331 * shape.width), 30, 0.9, 4)


class RandAugment(_OnUint8):
    """Some operations on each image, drawn from fourteen, of one magnitude (Cubuk et al. 2020); before Normalize."""

    num_ops: Annotated[int, Field(ge=0)] = Field(2, description="operations on each image, one after another")
    magnitude: Annotated[int, Field(ge=0)] = Field(9, description="of every operation, counted from 0")
    num_magnitude_bins: _Bins = Field(31, description="number of magnitudes there are")

    @model_validator(mode="after")
    def _within(self) -> RandAugment:
        if self.magnitude >= self.num_magnitude_bins:
            raise ValueError(f"magnitude {self.magnitude} is not below num_magnitude_bins {self.num_magnitude_bins}")
        return self

    def _augmentation(self, shape: Shape) -> Augmentation:
        return Augmentation(AnyOf(self.num_ops, self.magnitude), self.num_magnitude_bins, _largest(shape), shape)


class AutoAugment(_OnUint8):
    """One of 25 learnt pairs of operations on each image (Cubuk et al. 2019); before Normalize."""

    policy: Literal["imagenet", "cifar10", "svhn"] = Field("imagenet", description="what they were learnt on")

    def _augmentation(self, shape: Shape) -> Augmentation:
        from torchvision.transforms import AutoAugment as Torchvisions
        from torchvision.transforms import AutoAugmentPolicy

        listed = Torchvisions(AutoAugmentPolicy(self.policy)).policies
        policies = tuple(tuple((kind, chance, number or 0) for kind, chance, number in pair) for pair in listed)
        return Augmentation(Policies(policies), _LEARNT_BINS, _largest(shape), shape)


class TrivialAugmentWide(_OnUint8):
    """One operation on each image, its magnitude drawn, too (Müller and Hutter 2021); before Normalize."""

    num_magnitude_bins: _Bins = Field(31, description="number of magnitudes there are")

    def _augmentation(self, shape: Shape) -> Augmentation:
        largest = Largest(0.99, (32, 32), 135, 0.99, 6)
        return Augmentation(AnyOf(1, None), self.num_magnitude_bins, largest, shape)
