"""Progressive resizing: the first epochs train on smaller images. Floor 2.

As in fastai's entry to DAWNBench (2018), FFCV and EfficientNetV2 (Tan & Le 2021, arXiv:2104.00298): what is coarse is
learnt as well on small images, of which a convolutional network takes many more a second. A batch is resized as a
whole, where it lies, behind all transforms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.schema.corners import between_corners
from zoo.schema.recipe import ProgressiveResizingSection

Size = tuple[int, int]  # height, width


@dataclass(frozen=True, slots=True)
class Stretch:
    """Epochs in a row, from 1, that train on images of one size."""

    size: Size
    first: int
    last: int

    def __str__(self) -> str:
        """What people read: ``16 x 16 in epochs 1 to 3``."""
        epochs = f"epoch {self.first}" if self.first == self.last else f"epochs {self.first} to {self.last}"
        return f"{by(self.size)} in {epochs}"


def by(size: Sequence[int]) -> str:
    """A size as people read it: ``16 x 16``."""
    return " x ".join(map(str, size))


def image_sizes(settings: ProgressiveResizingSection, full: Size, epochs: int) -> tuple[Size, ...]:
    """The size of each epoch's training images, of which ``full`` is their own.

    An epoch has one size, that at its beginning. Both sides shrink alike; each is rounded to a multiple, and is never
    larger than its own.
    """
    return tuple(_size_at(settings, full, epoch) for epoch in range(epochs))


def _size_at(settings: ProgressiveResizingSection, full: Size, epoch: float) -> Size:
    shorter = between_corners(settings.epochs, settings.sizes, epoch)
    if shorter >= min(full):
        return full
    height, width = (_rounded(shorter * side / min(full), settings.multiple_of, side) for side in full)
    return height, width


def _rounded(pixels: float, multiple: int, most: int) -> int:
    count = math.floor(round(pixels / multiple, 6) + 0.5)  # halves up, whatever floating point adds to them
    return min(max(1, count) * multiple, most)


def stretches(sizes: Sequence[Size]) -> list[Stretch]:
    """The same, epochs of one size together."""
    found: list[Stretch] = []
    for epoch, size in enumerate(sizes, start=1):
        if found and found[-1].size == size:
            found[-1] = Stretch(size, found[-1].first, epoch)
        else:
            found.append(Stretch(size, epoch, epoch))
    return found


def resized(images_BCHW: Tensor, size: Size | None) -> Tensor:
    """Images of another size, in the same dtype and memory layout; the very tensor where it is theirs, or None.

    Bilinear with antialiasing, as torchvision's ``resize`` has it: a pixel is the mean of all those that it stands for.
    torch's own kernel takes 6 to 15 ms for 512 CIFAR images on a core, whatever the layout (measured), in a step of a
    second; two matrix products took about as long.
    """
    if size is None or tuple(images_BCHW.shape[-2:]) == size:
        return images_BCHW
    layout = torch.contiguous_format if images_BCHW.is_contiguous() else torch.channels_last
    small_BCHW = F.interpolate(images_BCHW, size, mode="bilinear", antialias=True)
    return small_BCHW.contiguous(memory_format=layout)
