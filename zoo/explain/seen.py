"""Images as a network saw them, back as pixels to be looked at, so that maps lie on what was looked at. Floor 6."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from zoo.data import Dataset, Description, TransformSpec


def seen_pixels(
    images_BCHW: Tensor, transforms: Sequence[TransformSpec], data: Dataset | Description
) -> NDArray[np.uint8]:
    """Images that went through these transforms, back as pixels: uint8, NHWC.

    A Normalize without mean or std took those of ``data``. Where nobody knows any more by what an image was normalised,
    its darkest becomes black, its lightest white.
    """
    images = images_BCHW.detach().cpu().float()
    normalizations = list(_normalizations(transforms))
    if not normalizations:
        images = images * 255
    elif len(normalizations) == 1 and normalizations[0].is_known:
        images = normalizations[0].undone(images, data)
    else:
        low, high = images.amin(dim=(1, 2, 3), keepdim=True), images.amax(dim=(1, 2, 3), keepdim=True)
        images = (images - low) / (high - low).clamp_min(1e-6) * 255
    return images.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


@dataclass(frozen=True)
class _Normalization:
    """A Normalize among the transforms, and whether every image went through it."""

    arguments: Mapping[str, Any]
    is_certain: bool

    @property
    def is_known(self) -> bool:
        """Whether it did the same to every image."""
        given = self.arguments
        is_standard = given.get("normalization", "standard") == "standard"
        return self.is_certain and is_standard and given.get("max_pixel_value", 255.0) is not None

    def undone(self, images_BCHW: Tensor, data: Dataset | Description) -> Tensor:
        """The images before it, 0..255."""
        mean, std = self.arguments.get("mean"), self.arguments.get("std")  # the data's cost a pass: asked for last
        mean_1C11 = torch.tensor(data.mean if mean is None else mean).view(1, -1, 1, 1)
        std_1C11 = torch.tensor(data.std if std is None else std).view(1, -1, 1, 1)
        most: float = self.arguments.get("max_pixel_value", 255.0)
        return (images_BCHW * std_1C11 + mean_1C11) * most


def _normalizations(transforms: Sequence[TransformSpec], is_certain: bool = True) -> Iterator[_Normalization]:
    """Every Normalize, those inside others too."""
    for spec in transforms:
        probability = spec.arguments.get("p")
        if spec.name == "Normalize":
            yield _Normalization(spec.arguments, is_certain and probability in (None, 1))
        runs_all = spec.name == "Sequential" and probability == 1  # unless p is given, for half of the images
        yield from _normalizations(spec.children, is_certain and runs_all)
