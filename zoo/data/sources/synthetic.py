"""Made-up images that can be learnt: for trials, benchmarks and tests. Floor 2."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from zoo.data.dataset import ArraySplit, Dataset
from zoo.data.draws import Integers
from zoo.data.places import Places
from zoo.data.sources.source import Known, Source, SourceArguments

Count = Annotated[int, Field(ge=1)]


class Synthetic(SourceArguments):
    """Made-up images: each class has a pattern of its own, each image that pattern under noise."""

    shape: Annotated[tuple[Count, Count, Count], Field(description="channels, height, width")] = (3, 32, 32)
    classes: Annotated[int, Field(ge=1, le=100_000, description="number of classes")] = 10
    train: Count = Field(2000, description="training images")
    test: Count = Field(500, description="test images")
    noise: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        64.0, description="standard deviation of the noise, grey levels"
    )
    data_seed: Annotated[int, Field(ge=0)] = Field(
        0, description="other patterns, other noise; independent of the run's seed"
    )


def open_synthetic(arguments: Synthetic, places: Places) -> Dataset:
    """Patterns of 4 x 4 patches under Gaussian noise; labels take turns."""
    random = np.random.default_rng(arguments.data_seed)
    channels, height, width = arguments.shape
    coarse = random.integers(32, 224, (arguments.classes, -(-height // 4), -(-width // 4), channels))
    patterns = coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :height, :width]
    train, test = (_split(patterns, count, arguments.noise, random) for count in (arguments.train, arguments.test))
    names = tuple(f"class {number}" for number in range(arguments.classes))
    return Dataset("synthetic", train, test, names, found="made up")


def _split(patterns: Integers, count: int, noise: float, random: np.random.Generator) -> ArraySplit:
    labels = np.arange(count, dtype=np.int64) % len(patterns)
    images = np.empty((count, *patterns.shape[1:]), dtype=np.uint8)
    for index, label in enumerate(labels):  # one by one: the noise of all at once would be eight times the images
        grey = patterns[label] + random.standard_normal(patterns.shape[1:], dtype=np.float32) * noise
        images[index] = np.clip(grey, 0, 255)
    return ArraySplit(images, labels)


SOURCE = Source("synthetic", Synthetic, open_synthetic, lambda own: Known(own.shape, own.classes, own.train))
