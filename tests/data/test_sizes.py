"""Image sizes through a list of transforms: equal to what images turn out to be, or said not to be sure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zoo.data import make_batches, parse_transforms, size_after, sources
from zoo.data.dataset import ArraySplit, Dataset
from zoo.data.opening import open_dataset
from zoo.diagnostics import Diagnostics, Source, Span
from zoo.document import Mapping, from_data

HERE = Span(Source("recipe.yaml"), 1, 1, 1, 1)


def size(transforms: list[Any], *, errors: int = 0) -> tuple[int, int, int] | None:
    diagnostics = Diagnostics()
    specs = parse_transforms(from_data(transforms, HERE), diagnostics, where="train")
    assert not diagnostics.errors
    found = size_after(specs, (20, 24, 3), diagnostics, whose="it")
    assert len(diagnostics.errors) == errors
    return found


PADDED, CROPPED = {"PadIfNeeded": {"min_height": 40, "min_width": 40}}, {"RandomCrop": {"height": 36, "width": 30}}
CROPPED_SMALL = {"RandomCrop": {"height": 9, "width": 7}}

SURE: list[list[Any]] = [
    ["HorizontalFlip", "Normalize"],
    [{"PadIfNeeded": {"min_height": 32, "min_width": 28}}, {"RandomCrop": {"height": 30, "width": 28}}, "Normalize"],
    [{"Pad": {"padding": [1, 2, 3, 4]}}, "RandomBrightnessContrast"],
    [{"Resize": {"height": 7, "width": 9}}, {"MixUp": {}}],
    [{"RandomResizedCrop": {"size": [11, 12]}}],
    [{"OneOf": {"transforms": ["HorizontalFlip", {"Affine": {"rotate": [-9, 9]}}]}}, "ToGray", "Normalize"],
    [{"RandomCrop": {"height": 99, "width": 99, "p": 0}}],
    [{"Sequential": {"transforms": [PADDED, CROPPED], "p": 1}}],
    [{"Sequential": {"transforms": [PADDED, {"CenterCrop": {"height": 20, "width": 24}}], "p": 0.5}}],
    [{"OneOf": {"transforms": [{"CenterCrop": {"height": 9, "width": 7}}, CROPPED_SMALL], "p": 1}}],
    [{"SomeOf": {"transforms": ["HorizontalFlip", "Affine"], "n": 2}}],
]


@pytest.mark.parametrize("transforms", SURE)
def test_the_size_is_that_of_the_images(transforms: list[Any]) -> None:
    split = ArraySplit(np.zeros((4, 20, 24, 3), np.uint8), np.array([0, 1, 0, 1]))
    specs = parse_transforms(from_data(transforms, HERE), Diagnostics(), where="train")
    dataset = Dataset("it", split, split, ("a", "b"))
    batches = make_batches(split, specs, batch_size=4, shuffle=False, dataset=dataset, device="cpu")
    _, channels, height, width = next(iter(batches.epoch(1))).images.shape
    assert size(transforms) == (height, width, channels)


@pytest.mark.parametrize(
    "transforms",
    [
        [{"RandomScale": {"scale_limit": 0.5}}],
        [{"RandomCrop": {"height": 8, "width": 8, "p": 0.5}}],
        [{"Affine": {"rotate": 30, "fit_output": True}}],
        [{"Perspective": {"keep_size": False, "p": 1}}],
        [{"OneOf": {"transforms": ["HorizontalFlip", {"CenterCrop": {"height": 8, "width": 8}}]}}],
        [{"OneOf": {"transforms": [CROPPED_SMALL], "p": 0.5}}],
        [{"SomeOf": {"transforms": [PADDED, CROPPED], "n": 2}}],  # the crop gets what is padded
        [{"Sequential": {"transforms": [PADDED, CROPPED], "p": 0.5}}],
    ],
)
def test_what_is_drawn_is_not_sure(transforms: list[Any]) -> None:
    assert size(transforms) is None


def test_a_crop_that_no_image_can_give() -> None:
    assert size([{"RandomCrop": {"height": 21, "width": 9}}, "Normalize"], errors=1) is None
    assert size([{"RandomScale": {}}, {"RandomCrop": {"height": 99, "width": 99}}]) is None  # perhaps it can


@pytest.mark.parametrize(
    "composition",
    [
        {"Sequential": {"transforms": [{"CenterCrop": {"height": 9, "width": 9}}, CROPPED], "p": 1}},
        {"RandomOrder": {"transforms": [PADDED, CROPPED], "n": 2}},  # the crop comes first in half of the images
        {"OneOf": {"transforms": [PADDED, CROPPED]}},
    ],
)
def test_a_crop_that_no_image_can_give_inside_others(composition: Any) -> None:
    assert size([composition], errors=1) is None


@pytest.mark.parametrize("source", ["digits", "synthetic"])
def test_what_a_source_says_of_itself_is_so(source: str) -> None:
    node = from_data({"source": source, "batch_size": 8}, HERE)
    assert isinstance(node, Mapping)
    dataset = open_dataset(node, seed=0)
    settings = sources[source].arguments()
    known = sources[source].known(settings)
    assert known is not None
    assert (known.image_shape, known.classes) == (dataset.image_shape, len(dataset.classes))


@pytest.mark.parametrize(("key", "values", "errors"), [("mean", [0.5, 0.5], 1), ("std", [1.0], 0), ("mean", 0.5, 0)])
def test_normalize_has_one_number_or_one_a_channel(key: str, values: Any, errors: int) -> None:
    size([{"Normalize": {key: values}}], errors=errors)
