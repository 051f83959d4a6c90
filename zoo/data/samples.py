"""One sample through a pipeline of transforms, as a function of (seed, epoch, sample). Floor 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zoo.data.dataset import Split
from zoo.data.draws import Draws, Integers
from zoo.data.sampling import Sampling
from zoo.data.transforms import albumentations
from zoo.data.transforms.batched.canvas import Canvas
from zoo.data.transforms.batched.forms import BatchedForm, Facts, NotBatchedError, Shape
from zoo.data.transforms.catalogue import TransformSpec
from zoo.data.transforms.compositions import streams
from zoo.data.transforms.mixing import Mix
from zoo.data.transforms.pipeline import as_images, one_hot
from zoo.errors import DataError

Pixels = npt.NDArray[Any]  # height, width, channels; uint8, or float32 after Normalize

_SIZES_TOLD = 4


@dataclass(frozen=True)
class SamplePipeline:
    """A split under transforms, sample by sample."""

    split: Split
    specs: tuple[TransformSpec, ...]
    facts: Facts
    sampling: Sampling

    @cached_property
    def _streams(self) -> tuple[int, ...]:
        return tuple(streams(self.specs))

    @cached_property
    def _random(self) -> albumentations.RandomState:
        return albumentations.RandomState()

    @cached_property
    def _built(self) -> tuple[Any, ...]:
        """The albumentations transforms, None in place of zoo's own; all share one random state."""
        built = [None if spec.is_own else spec.build(self.facts) for spec in self.specs]
        for transform in built:
            if transform is not None:
                self._random.give_to(transform)
        return tuple(built)

    @cached_property
    def _partners(self) -> SamplePipeline:
        """The same pipeline with a random state of its own: a partner is made in the middle of its sample."""
        return SamplePipeline(self.split, self.specs, self.facts, self.sampling)

    @cached_property
    def _samples_of(self) -> Callable[[int], Integers]:
        """The samples of an epoch, among which partners are; of the last one kept."""
        return lru_cache(maxsize=1)(self.sampling.samples)

    def batch(self, epoch: int, chosen: Integers) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) float32 in channels_last memory and labels of these samples, on the CPU."""
        samples = [self._sample(epoch, int(sample), len(self.specs)) for sample in chosen]
        shapes = {pixels.shape for pixels, _ in samples}
        if len(shapes) > 1:
            raise DataError(
                f"the transforms give images of several sizes: {_sizes(shapes)}",
                help="end the geometry with one size for all: Resize: {height: …, width: …}, or a crop",
            )
        stacked = [pixels for pixels, _ in samples]
        if len({pixels.dtype for pixels in stacked}) > 1:  # a Normalize that is applied to some of them
            stacked = [pixels.astype(np.float32) / 255 if pixels.dtype == np.uint8 else pixels for pixels in stacked]
        images = torch.from_numpy(np.stack(stacked))
        return as_images(images), torch.stack([label for _, label in samples])

    def _sample(self, epoch: int, sample: int, end: int) -> tuple[Pixels, Tensor]:
        occurrence, index = divmod(sample, len(self.split))
        pixels: Pixels = self.split.image(index)
        label = torch.tensor(self.split.labels[index])
        self._random.set(self.sampling.seed, epoch, index, occurrence)
        for at in range(end):
            transform = self._built[at]
            if transform is not None:
                pixels = self._transformed(at, pixels, index)
            else:
                pixels, label = self._own(at, epoch, sample, pixels, label)
        return pixels, label

    def _transformed(self, at: int, pixels: Pixels, index: int) -> Pixels:
        try:
            made: Pixels = albumentations.apply(self._built[at], pixels)
        except Exception as error:  # whatever a library raises on this image, the image and the transform are named
            spec = self.specs[at]
            raise DataError(f"{self.split.id(index)}: {spec.name} fails: {error}", span=spec.span) from error
        # A Normalize by the image's own figures gives doubles, which no network takes.
        return made.astype(np.float32) if made.dtype == np.float64 else made

    def _own(self, at: int, epoch: int, sample: int, pixels: Pixels, label: Tensor) -> tuple[Pixels, Tensor]:
        form = self._form(at, pixels)
        occurrences, indices = np.divmod(np.array([sample]), len(self.split))
        drawn = form.draw(Draws(self.sampling.seed, epoch, indices, self._streams[at], occurrences))
        parameters = {name: torch.from_numpy(values) for name, values in drawn.items()}
        canvas = Canvas.of(torch.from_numpy(np.ascontiguousarray(pixels))[None])
        if not isinstance(form, Mix):
            return form.apply(canvas, parameters).pixels()[0].numpy(), label
        other, other_label = self._partner(at, epoch, int(parameters["partner"][0]), pixels.shape)
        mixed = form.mix(canvas, Canvas.of(torch.from_numpy(other)[None]), parameters)
        classes = self.facts.classes
        label = torch.lerp(one_hot(other_label, classes), one_hot(label, classes), parameters["kept"][0])
        return mixed.pixels()[0].numpy(), label

    def _form(self, at: int, pixels: Pixels) -> BatchedForm:
        height, width, channels = pixels.shape
        shape = Shape(height, width, channels, "uint8" if pixels.dtype == np.uint8 else "float32")
        try:
            return self.specs[at].batched(shape, self.facts)
        except NotBatchedError as reason:
            raise DataError(str(reason)) from reason

    def _partner(self, at: int, epoch: int, place: int, expected: Sequence[int]) -> tuple[Pixels, Tensor]:
        sample = place if self.sampling.is_plain else int(self._samples_of(epoch)[place])
        other, label = self._partners._sample(epoch, sample, at)
        if other.shape != expected:
            raise DataError(f"{self.specs[at].name} needs images of one size", help="put a Resize or a crop before it")
        return np.ascontiguousarray(other), label


def _sizes(shapes: set[tuple[int, ...]]) -> str:
    """The sizes, height x width x channels: a few, by which one knows what is meant; a batch may have hundreds."""
    named = [" x ".join(map(str, shape)) for shape in sorted(shapes)]
    return ", ".join(named) if len(named) <= _SIZES_TOLD else f"{', '.join(named[: _SIZES_TOLD - 1])}, … {named[-1]}"
