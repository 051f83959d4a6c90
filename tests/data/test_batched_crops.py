"""Batched crops, pads and symmetries against albumentations: the same pixels given the same parameters, as often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.batched_world import (
    CONTROL_P,
    DRAWS,
    LEAST_P,
    SHAPE,
    alike,
    built,
    drawn,
    ours,
    pictures,
    reference,
    scenes,
)
from tests.data.data_world import specs
from zoo.data import size_after
from zoo.data.transforms.batched.canvas import Canvas
from zoo.data.transforms.batched.forms import NotBatchedError, Shape
from zoo.diagnostics import Diagnostics

THEIRS = 8000
SHAPES = [SHAPE, Shape(32, 32, 3), Shape(7, 33, 1), Shape(1, 5, 3), Shape(5, 2, 4), Shape(70, 41, 3)]


# --- RandomResizedCrop, RandomSizedCrop ---

CROPS = [
    "RandomResizedCrop: {size: [20, 24]",
    "RandomResizedCrop: {size: [9, 5], scale: [0.5, 1.0]",
    "RandomSizedCrop: {min_max_height: [3, 14], w2h_ratio: 0.8, size: [11, 30]",
]


def crops_of(draws: list[dict[str, Any]]) -> Mapping[str, np.ndarray]:
    left, top, right, bottom = np.array([draw["crop_coords"] for draw in draws]).T
    return {"top": top, "left": left, "height": bottom - top, "width": right - left}


def resized_by(theirs: Any, images: np.ndarray, draws: list[dict[str, Any]]) -> np.ndarray:
    size = (*theirs.size, images.shape[3])
    cut = [theirs.apply(image, **own).reshape(size) for image, own in zip(images, draws, strict=True)]
    return np.stack(cut)


@pytest.mark.parametrize("shape", [*SHAPES, SHAPE.as_float(), Shape(6, 9, 2), Shape(8, 8, 5)], ids=str)
@pytest.mark.parametrize("text", CROPS)
def test_resized_crops_give_the_same_pixels(text: str, shape: Shape) -> None:
    form, theirs = built(f"{text}}}", shape)
    images = scenes(60, shape)
    draws = reference(theirs, 60, shape)
    own, expected = ours(form, images, crops_of(draws)), resized_by(theirs, images, draws)
    assert own.dtype == expected.dtype
    assert own.shape[1:] == (form.after.height, form.after.width, form.after.channels)
    difference = np.abs(own.astype(np.float64) - expected)
    assert difference.max() <= (1 if shape.dtype == "uint8" else 1e-5)
    assert difference.mean() < 0.2
    if len({draw["crop_coords"] for draw in draws}) > 1:
        others = resized_by(theirs, images, draws[1:] + draws[:1])
        assert np.abs(own.astype(np.float64) - others).max() > 1  # the control


@pytest.mark.parametrize("shape", [*SHAPES, SHAPE.as_float()], ids=str)
@pytest.mark.parametrize("text", CROPS)
def test_resized_crops_of_the_nearest_pixel(text: str, shape: Shape) -> None:
    form, theirs = built(f"{text}, interpolation: nearest}}", shape)
    images = scenes(60, shape)
    draws = reference(theirs, 60, shape)
    own, expected = ours(form, images, crops_of(draws)), resized_by(theirs, images, draws)
    np.testing.assert_array_equal(own, expected)
    if len({draw["crop_coords"] for draw in draws}) > 1:
        assert not np.array_equal(own, resized_by(theirs, images, draws[1:] + draws[:1]))  # the control


def test_nearest_crops_of_the_chosen_images_alone() -> None:
    form, _ = built("RandomResizedCrop: {size: [14, 12], scale: [0.1, 0.3], interpolation: nearest, p: 0.5}")
    images, parameters = pictures(100), drawn(form, 100)
    changed = (ours(form, images, parameters) != images).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(changed, parameters["chosen"])


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("RandomResizedCrop: {size: [14, 12]}", SHAPE),
        ("RandomResizedCrop: {size: [14, 12], scale: [0.6, 1.0], ratio: [0.3, 3.0]}", SHAPE),
        ("RandomResizedCrop: {size: [9, 9], scale: [0.9, 1.0], ratio: [1.5, 2.0]}", SHAPE),  # often no try fits
        ("RandomResizedCrop: {size: [9, 9], scale: [0.5, 1.0]}", Shape(5, 30, 3)),
        ("RandomResizedCrop: {size: [9, 9], scale: [0.5, 1.0]}", Shape(30, 5, 3)),
        ("RandomSizedCrop: {min_max_height: [5, 17], w2h_ratio: 0.8, size: [9, 9]}", SHAPE),
    ],
)
def test_crop_rectangles_are_distributed_alike(text: str, shape: Shape) -> None:
    form, theirs = built(text, shape)
    own, expected = drawn(form, DRAWS), crops_of(reference(theirs, THEIRS, shape))
    for first, second in (("height", "width"), ("top", "height"), ("left", "width"), ("top", "left")):
        assert alike(own[first] * 100 + own[second], expected[first] * 100 + expected[second]) > LEAST_P
    assert alike(own["height"] * 100 + own["width"], expected["height"] * 100 + expected["width"] + 1) < CONTROL_P
    if len(np.unique(expected["top"])) > 1:
        assert alike(np.minimum(own["top"], expected["top"].max() - 1), expected["top"]) < LEAST_P


def test_a_rectangle_does_not_depend_on_the_other_samples() -> None:
    form, _ = built("RandomResizedCrop: {size: [9, 9], scale: [0.9, 1.0], ratio: [1.5, 2.0]}")
    for name, values in drawn(form, 50).items():
        np.testing.assert_array_equal(values, drawn(form, 2000)[name][:50])


# --- Crops and pads ---


@pytest.mark.parametrize("position", ["center", "top_left", "top_right", "bottom_left", "bottom_right"])
@pytest.mark.parametrize(
    "text",
    [
        "Crop: {x_min: 2, y_min: 3, x_max: 9, y_max: 14",
        "Crop: {x_min: 2, y_min: 3, x_max: 17, y_max: 22, pad_if_needed: true, fill: [9, 8, 7]",
        "Crop: {x_min: 1, y_min: 3, x_max: 8, y_max: 29, pad_if_needed: true, border_mode: reflect",
        "CenterCrop: {height: 19, width: 7, pad_if_needed: true, fill: [9, 8, 7]",
        "CenterCrop: {height: 13, width: 17, pad_if_needed: true, border_mode: wrap",
        "RandomCrop: {height: 19, width: 15, pad_if_needed: true, border_mode: symmetric",
    ],
)
def test_crops_that_are_the_same_for_all(text: str, position: str) -> None:
    form, theirs = built(f"{text}, pad_position: {position}}}")
    images = pictures(5)
    expected = np.stack([theirs(image=image)["image"] for image in images])
    assert drawn(form, 5) == {}
    np.testing.assert_array_equal(ours(form, images, {}), expected)


@pytest.mark.parametrize(
    "text",
    [
        "PadIfNeeded: {min_height: 17, min_width: 14, position: random}",
        "RandomCrop: {height: 17, width: 7, pad_if_needed: true}",
        "RandomCrop: {height: 17, width: 7, pad_if_needed: true, pad_position: random, border_mode: reflect}",
        "CenterCrop: {height: 17, width: 7, pad_if_needed: true, pad_position: random}",
        "Crop: {x_min: 1, x_max: 14, y_min: 2, y_max: 16, pad_if_needed: true, pad_position: random}",
    ],
)
def test_every_window_is_laid_as_often_as_theirs(text: str) -> None:
    """Which window it was is read off the image, whose pixels are all different."""
    form, theirs = built(text, replace(SHAPE, channels=1))
    image = np.arange(1, 169, dtype=np.uint8).reshape(14, 12, 1)
    theirs.set_random_seed(7)
    expected = [theirs(image=image)["image"].tobytes() for _ in range(THEIRS)]
    own = ours(form, np.broadcast_to(image, (DRAWS, 14, 12, 1)).copy(), drawn(form, DRAWS))
    seen = [one.tobytes() for one in own]
    windows = {window: number for number, window in enumerate(sorted({*expected, *seen}))}
    ours_, theirs_ = (np.array([windows[one] for one in windowed]) for windowed in (seen, expected))
    assert len(windows) > 3
    assert set(ours_) == set(theirs_)
    assert alike(ours_, theirs_) > LEAST_P
    assert alike(np.maximum(ours_, 1), theirs_) < CONTROL_P


# --- Symmetries ---


@pytest.mark.parametrize("name", ["RandomRotate90", "D4", "SquareSymmetry", "Transpose"])
@pytest.mark.parametrize("p", [1.0, 0.3])
def test_every_symmetry_comes_as_often_as_theirs(name: str, p: float) -> None:
    form, theirs = built(f"{name}: {{p: {p}}}", Shape(3, 3, 2))
    image = np.arange(18, dtype=np.uint8).reshape(3, 3, 2)
    theirs.set_random_seed(7)
    expected = [np.ascontiguousarray(theirs(image=image)["image"]).tobytes() for _ in range(THEIRS)]
    parameters = drawn(form, DRAWS)
    own = ours(form, np.broadcast_to(image, (DRAWS, 3, 3, 2)).copy(), parameters)
    numbers = {one: number for number, one in enumerate(sorted(set(expected)))}
    ours_, theirs_ = (np.array([numbers[one] for one in each]) for each in ([one.tobytes() for one in own], expected))
    assert len(numbers) == {"RandomRotate90": 4, "Transpose": 1 if p == 1 else 2}.get(name, 8)
    assert alike(ours_, theirs_) > LEAST_P
    if len(numbers) > 1:
        assert alike(np.maximum(ours_, 1), theirs_) < CONTROL_P


def test_transposition_of_images_that_are_not_square() -> None:
    form, theirs = built("Transpose: {p: 1.0}")
    images = pictures(4)
    expected = np.stack([theirs(image=image)["image"] for image in images])
    np.testing.assert_array_equal(ours(form, images, drawn(form, 4)), expected)
    assert (form.after.height, form.after.width) == (12, 14)


def test_symmetries_behind_a_pad_keep_its_fill() -> None:
    pad, _ = built("Pad: {padding: [3, 2, 1, 4], fill: [9, 8, 7]}", Shape(5, 7, 3))
    crop, _ = built("Pad: {padding: [1, 0, 0, 1], fill: 200}", pad.after)
    form, _ = built("D4", crop.after)
    canvas = Canvas.of(torch.from_numpy(pictures(40, Shape(5, 7, 3))))
    padded = crop.apply(pad.apply(canvas, {}), {})
    parameters = {name: torch.from_numpy(values) for name, values in drawn(form, 40).items()}
    lazily, stepped = form.apply(padded, parameters), form.apply(Canvas.of(padded.pixels()), parameters)
    np.testing.assert_array_equal(lazily.pixels().numpy(), stepped.pixels().numpy())
    assert {9, 200} <= set(np.unique(lazily.pixels().numpy()[..., 0]))


@pytest.mark.parametrize(
    ("text", "size", "after"),
    [
        ("Transpose: {p: 1.0}", (20, 24, 3), (24, 20, 3)),
        ("Transpose", (20, 24, 3), None),
        ("Transpose", (20, 20, 3), (20, 20, 3)),
        ("D4", (20, 20, 3), (20, 20, 3)),
        ("SquareSymmetry", (20, 20, 3), (20, 20, 3)),
        ("RandomRotate90", (20, 20, 3), (20, 20, 3)),
        ("RandomRotate90", (20, 24, 3), None),
        ("D4: {p: 0.5}", (20, 24, 3), None),
    ],
)
def test_sizes_behind_symmetries(text: str, size: tuple[int, int, int], after: tuple[int, int, int] | None) -> None:
    diagnostics = Diagnostics()
    assert size_after(specs(f"[{text}]"), size, diagnostics, whose="it") == after
    assert not list(diagnostics)


@pytest.mark.parametrize("ratio", [1e3, 1e18, 1e300])
def test_a_sized_crop_as_wide_as_can_be(ratio: float) -> None:
    form, _ = built(f"RandomSizedCrop: {{min_max_height: [4, 9], size: [9, 9], w2h_ratio: {ratio:.1e}}}")
    parameters = drawn(form, 5)
    assert set(parameters["width"]) == {SHAPE.width}
    assert set(parameters["left"]) == {0}


@pytest.mark.parametrize("name", ["RandomRotate90", "MedianBlur", "ToSepia"])
def test_classes_that_do_not_look_at_their_arguments_can_be_named(name: str) -> None:
    (spec,) = specs(f"[{name}: {{p: 1.0}}]")
    assert type(spec.build(None)).__name__ == name


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("RandomResizedCrop: {size: [9, 9], p: 0.5}", SHAPE),
        ("RandomResizedCrop: {size: [9, 9], interpolation: cubic}", SHAPE),
        ("RandomResizedCrop: {size: [9, 9], area_for_downscale: image}", SHAPE),
        ("RandomSizedCrop: {min_max_height: [2, 9], size: [9, 9], w2h_ratio: 0.4}", SHAPE),
        ("RandomSizedCrop: {min_max_height: [2, 1.0e+30], size: [9, 9]}", SHAPE),
        ("RandomResizedCrop: {size: [9, 9], ratio: [0.0, 1.0]}", SHAPE),
        ("RandomResizedCrop: {size: [9, 9], ratio: [0.01, 0.02]}", SHAPE),  # 14 rows leave 0.3 of a column
        ("RandomResizedCrop: {size: [1, 1], ratio: [4.0, 5.0]}", Shape(1, 1, 3)),
        ("RandomRotate90", SHAPE),
        ("D4", SHAPE),
        ("SquareSymmetry", SHAPE),
        ("Transpose: {p: 0.5}", SHAPE),
        ("Crop: {x_max: 13, y_max: 9}", SHAPE),
        ("Crop: {x_max: 12, y_max: 9, p: 0.5}", SHAPE),
        ("CenterCrop: {height: 15, width: 5}", SHAPE),
    ],
)
def test_what_has_no_batched_form_says_so(text: str, shape: Shape) -> None:
    with pytest.raises(NotBatchedError, match=text.partition(":")[0]):
        built(text, shape)
