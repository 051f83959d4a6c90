"""What a data set is: splits of uint8 images with integer labels, and what is known about them. Floor 2; no torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from zoo.data.indexed import Indexed, Picked

Image = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

_CHUNK, _CHUNK_BYTES = 4096, 1 << 24  # images at a time while statistics are taken, and their bytes at most
_MOST_FOR_STATISTICS = 20_000  # of images that have to be decoded one by one


class Split(Protocol):
    """Some images and their labels."""

    @property
    def labels(self) -> Labels:
        """Class indices (n)."""

    @property
    def images(self) -> Image | None:
        """All images as one array (n, height, width, channels); None where they differ in size or are too many."""

    def __len__(self) -> int: ...

    def image(self, index: int) -> Image:
        """One image (height, width, channels). Raises DataError where it cannot be decoded."""

    def id(self, index: int) -> str:
        """What messages call the image: its path, or its number."""

    def subset(self, indices: npt.NDArray[np.int64]) -> Split:
        """The split that has these images alone, in this order."""

    def fingerprint(self) -> str:
        """A digest of images, labels and their order."""


@dataclass(frozen=True)
class ArraySplit:
    """A split that lies in memory as uint8."""

    images: Image
    labels: Labels
    ids: Indexed[str] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Image:
        """One image (height, width, channels)."""
        image: Image = self.images[index]
        return image

    def id(self, index: int) -> str:
        """The image's path where it has one, else its number."""
        return self.ids[index] if self.ids is not None else f"image {index}"

    def subset(self, indices: npt.NDArray[np.int64]) -> ArraySplit:
        """The split that has these images alone, in this order (a copy)."""
        ids = Picked(self.ids, indices) if self.ids is not None else [self.id(int(index)) for index in indices]
        return ArraySplit(self.images[indices], self.labels[indices], ids)

    def fingerprint(self) -> str:
        """SHA-256 of shape, pixels and labels."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class LazySplit:
    """A split whose images are decoded when they are asked for.

    ``ids`` and ``digests`` are those of all images that ``decode`` knows, ``order`` says which of them these are.
    """

    decode: Callable[[int], Image]
    labels: Labels
    ids: Indexed[str]
    digests: Indexed[str]  # of each image's file as found at opening: name, size, time or content
    order: Labels | None = None

    images = None

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Image:
        """One image (height, width, channels). Raises DataError where it cannot be decoded."""
        return self.decode(self._place(index))

    def id(self, index: int) -> str:
        """The image's path."""
        return self.ids[self._place(index)]

    def _place(self, index: int) -> int:
        return index if self.order is None else int(self.order[index])

    def subset(self, indices: npt.NDArray[np.int64]) -> LazySplit:
        """The split that has these images alone, in this order."""
        order = indices if self.order is None else self.order[indices]
        return LazySplit(self.decode, self.labels[indices], self.ids, self.digests, order)

    def fingerprint(self) -> str:
        """SHA-256 of what is known of the files, and the labels."""
        digest = hashlib.sha256()
        for index in range(len(self)):  # one by one: all together a million of them take 100 MB
            digest.update(b"\n" * (index > 0) + os.fsencode(self.digests[self._place(index)]))
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Description:
    """What a trained network has to know of its data: enough to classify an image without the data set.

    ``image_shape`` is channels, height and width; ``mean`` and ``std`` of each channel in 0..1 units, None where no
    Normalize asked for them.
    """

    name: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Dataset:
    """A training and a test split, perhaps a validation split, and the classes' names.

    ``skipped`` tells the corrupt images that were left out, with their causes.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    validation: Split | None = None
    skipped: tuple[str, ...] = ()
    found: str = ""  # where it was found, for people
    folder: Path | None = None  # that place, where it is a folder
    notes: tuple[str, ...] = ()  # what to say of how it is read

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel over the training split, in units of the full range (0..1)."""
        return self._channel_statistics["mean"]

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel over the training split, in units of the full range (0..1)."""
        return self._channel_statistics["std"]

    @cached_property
    def _channel_statistics(self) -> dict[str, tuple[float, ...]]:
        return channel_statistics(self.train)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all splits and class names. Equal for the same images in the same order in whatever form, where
        they lie in memory; of images that are decoded one by one it tells files by name, size and time.
        """
        parts = [self.train.fingerprint(), self.test.fingerprint(), *self.classes]
        if self.validation is not None:
            parts.append(self.validation.fingerprint())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @cached_property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the first training image."""
        height, width, channels = self.train.image(0).shape
        return channels, height, width

    def describe(self, *, with_statistics: bool) -> Description:
        """The data set in words and numbers. Statistics cost a pass over the training split."""
        mean, std = (self.mean, self.std) if with_statistics else (None, None)
        return Description(self.name, self.classes, self.image_shape, mean, std)

    def with_validation(self, train: Split, validation: Split) -> Dataset:
        """The data set with part of its training split held out."""
        return replace(self, train=train, validation=validation)


def channel_statistics(split: Split) -> dict[str, tuple[float, ...]]:
    """``mean`` and ``std`` of each channel in units of the full range; exact sums, memory bounded.

    Of images that are decoded one by one, at most 20,000 evenly spread ones are taken.
    """
    pixels = 0
    total, squares = (np.zeros(split.image(0).shape[-1]) for _ in range(2))
    for chunk in _chunks(split):
        channels = chunk.shape[-1]
        lines = chunk.reshape(len(chunk), -1)  # long rows add up many times faster than rows of channels
        pixels += chunk.size // channels
        # 4,096 squares of a byte fit 32 bits.
        total += lines.sum(axis=0, dtype=np.uint32).reshape(-1, channels).sum(axis=0, dtype=np.float64)
        squared = np.square(lines, dtype=np.uint16)
        squares += squared.sum(axis=0, dtype=np.uint32).reshape(-1, channels).sum(axis=0, dtype=np.float64)
    mean = total / max(pixels, 1)
    variance = np.maximum(squares / max(pixels, 1) - mean**2, 0.0)
    std = np.where(variance > 0, np.sqrt(variance), 255.0)  # a constant channel is left unscaled
    return {"mean": tuple((mean / 255).tolist()), "std": tuple((std / 255).tolist())}


def _chunks(split: Split) -> Iterator[Image]:
    if split.images is not None:
        size = max(1, min(_CHUNK, _CHUNK_BYTES // max(1, split.images[:1].size)))
        for start in range(0, len(split), size):
            yield split.images[start : start + size]
        return
    for index in range(0, len(split), -(-len(split) // _MOST_FOR_STATISTICS)):
        yield split.image(index)[None]
