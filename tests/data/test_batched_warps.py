"""Batched geometry against albumentations: the same pixels given the same parameters, the same distributions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from tests.data.batched_world import CONTROL_P, DRAWS, LEAST_P, SHAPE, alike, built, drawn, ours, pictures, reference
from zoo.data.transforms.affine import AffineWarp, inverted
from zoo.data.transforms.canvas import Canvas
from zoo.data.transforms.forms import NotBatchedError, Shape

THEIRS = 8000
SHAPES = [SHAPE, Shape(32, 32, 3), Shape(7, 33, 1), Shape(1, 5, 3), Shape(5, 2, 4), Shape(70, 41, 3)]
MODES = ["constant", "replicate", "reflect", "symmetric", "wrap"]
WARPS = [
    "Rotate: {p: 1.0",
    "Affine: {rotate: [-180, 180], scale: [0.4, 2.5], shear: {x: [-30, 30], y: [-9, 20]}, p: 1.0",
    "ShiftScaleRotate: {shift_limit: 0.4, p: 1.0",
    "SafeRotate: {p: 1.0",
    "Perspective: {scale: [0.05, 0.3], p: 1.0",
]


def scenes(count: int, shape: Shape) -> np.ndarray:
    """Images that are noise, smooth, or of two colours, one after another; float32 ones as Normalize makes them."""
    noise = pictures(count, shape)
    noise[1::3] = np.sort(np.sort(noise[1::3], axis=1), axis=2)
    noise[2::3] = np.where(noise[2::3] < 128, 0, 255)
    return noise if shape.dtype == "uint8" else ((noise / 255 - 0.4) / 0.25).astype(np.float32)


def expected_of(theirs: Any, images: np.ndarray, draws: list[dict[str, Any]]) -> np.ndarray:
    shape = images.shape[1:]
    return np.stack(
        [theirs.apply(image, **own, shape=shape).reshape(shape) for image, own in zip(images, draws, strict=True)]
    )


def matrices_of(draws: list[dict[str, Any]], shape: Shape = SHAPE) -> Mapping[str, np.ndarray]:
    """What a form is given for the matrices that albumentations drew."""
    if "max_width" in draws[0]:
        sizes = np.array([[draw["max_width"] / shape.width, draw["max_height"] / shape.height, 1] for draw in draws])
        matrices = np.linalg.inv(np.stack([draw["matrix"] for draw in draws])) * sizes[:, None, :]
        return {"matrix": (matrices / matrices[:, 2:, 2:]).astype(np.float32).reshape(-1, 9)}
    return {"matrix": inverted(np.stack([draw["matrix"][:2] for draw in draws])).astype(np.float32)}


def assert_alike(own: np.ndarray, expected: np.ndarray) -> None:
    """The same but for ties, of which OpenCV's fused multiplications break a few the other way."""
    assert own.dtype == expected.dtype
    assert own.shape == expected.shape
    difference = np.abs(own.astype(np.float64) - expected)
    if own.dtype == np.uint8:
        assert difference.max() <= 1
        assert (difference > 0).mean() < 1e-3
    else:
        assert difference.max() < 1e-4


# --- Rotate, Affine, ShiftScaleRotate ---


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("text", WARPS)
def test_warps_give_the_same_pixels(text: str, mode: str, shape: Shape) -> None:
    fill = [9.4, 300, -3, 90][: shape.channels]
    if text.startswith("Perspective") and min(shape.height, shape.width) < 6:
        pytest.skip("has no batched form")
    form, theirs = built(f"{text}, border_mode: {mode}, fill: {fill}}}", shape)
    images = scenes(30, shape)
    draws = reference(theirs, 30, shape)
    own = ours(form, images, matrices_of(draws, shape))
    assert_alike(own, expected_of(theirs, images, draws))
    others = expected_of(theirs, images, draws[1:] + draws[:1])
    assert np.abs(own.astype(int) - others).max() > 1  # the control


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("text", WARPS)
def test_warps_of_normalized_images(text: str, mode: str) -> None:
    shape = SHAPE.as_float()
    form, theirs = built(f"{text}, border_mode: {mode}, fill: [-0.5, 0.25, 1.5]}}", shape)
    images = scenes(30, shape)
    draws = reference(theirs, 30, shape)
    assert_alike(ours(form, images, matrices_of(draws, shape)), expected_of(theirs, images, draws))


def test_a_list_of_one_number_fills_the_first_channel() -> None:
    images = scenes(3, SHAPE)
    for text in ("Pad: {padding: 3, fill: [200]}", "Affine: {translate_px: 3, fill: [200], p: 1.0}"):
        form, theirs = built(text)
        expected = np.stack([theirs(image=image)["image"] for image in images])
        np.testing.assert_array_equal(ours(form, images, drawn(form, 3)), expected)
    form, theirs = built("Rotate: {fill: [200], p: 1.0}")
    draws = reference(theirs, 3)
    assert_alike(ours(form, images, matrices_of(draws)), expected_of(theirs, images, draws))


@pytest.mark.parametrize("fill", ["200", "200.0", "[200]", "[1, 2, 3]"])
def test_the_fill_of_a_perspective(fill: str) -> None:
    """albumentations hands one number on as it is, and OpenCV takes it for the first channel's."""
    form, theirs = built(f"Perspective: {{scale: 0.3, p: 1.0, fill: {fill}}}")
    images = scenes(30, SHAPE)
    draws = reference(theirs, 30)
    draws = [draw | {"max_width": 15, "max_height": 20} for draw in draws]  # so that something is outside
    assert_alike(ours(form, images, matrices_of(draws)), expected_of(theirs, images, draws))


@pytest.mark.parametrize("shape", [*SHAPES, SHAPE.as_float()], ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_the_nearest_pixel(mode: str, shape: Shape) -> None:
    form, theirs = built(f"{WARPS[1]}, interpolation: nearest, border_mode: {mode}, fill: 77}}", shape)
    images = scenes(30, shape)
    draws = reference(theirs, 30, shape)
    own, expected = ours(form, images, matrices_of(draws, shape)), expected_of(theirs, images, draws)
    assert (own != expected).mean() < 1e-3  # ties
    linear, _ = built(f"{WARPS[1]}, border_mode: {mode}, fill: 77}}", shape)
    if min(shape.height, shape.width) > 2:
        assert (ours(linear, images, matrices_of(draws, shape)) != expected).mean() > 0.1  # the control


@pytest.mark.parametrize(
    "arguments",
    [
        "scale: [0.5, 1.5], rotate: [-90, 90]",
        "scale: {x: [0.5, 2.0], y: [0.9, 1.1]}, shear: {x: [-20, 5], y: [3, 30]}, translate_px: {x: [-4, 3], y: 2}",
        "scale: [0.5, 2.0], balanced_scale: true, translate_percent: {x: [-0.4, 0.2], y: [0.1, 0.3]}",
        "scale: [0.5, 0.8], balanced_scale: true, keep_ratio: true",
        "scale: [1.2, 1.6], balanced_scale: true, rotate: 30",
        "scale: [0.8, 1.3], keep_ratio: true, shear: [-10, 10], translate_percent: [-0.2, 0.2]",
    ],
)
def test_affine_matrices_are_distributed_alike(arguments: str) -> None:
    form, theirs = built(f"Affine: {{{arguments}, p: 1.0}}")
    own = drawn(form, DRAWS)["matrix"]
    draws = reference(theirs, THEIRS)
    assert_distributed_alike(own, matrices_of(draws)["matrix"])
    draws = [draw | {"matrix": np.diag([1.03, 1.0, 1.0]) @ draw["matrix"]} for draw in draws]
    with pytest.raises(AssertionError):
        assert_distributed_alike(own, matrices_of(draws)["matrix"])


def assert_distributed_alike(own: np.ndarray, theirs: np.ndarray) -> None:
    """Each entry of the matrices, and each sum and difference of two: so that what belongs together is drawn together.

    Rounded, since entries that are the same for all differ in their last bits.
    """
    own, theirs, count = own.round(4), theirs.round(4), own.shape[1]
    entries = [(at, sign, other) for at in range(count) for other in range(at, count) for sign in (1, -1)]
    for at, sign, other in entries:
        first, second = (of[:, at] + sign * of[:, other] for of in (own, theirs))
        assert stats.ks_2samp(first, second).pvalue > LEAST_P / 10


@pytest.mark.parametrize(
    "text",
    [
        "Rotate: {limit: [-30, 60], p: 1.0}",
        "ShiftScaleRotate: {p: 1.0}",
        "SafeRotate: {limit: [-70, 90], p: 1.0}",
        "Perspective: {p: 1.0}",
        "Perspective: {scale: [0.2, 0.9], p: 1.0}",
    ],
)
def test_warps_are_distributed_alike(text: str) -> None:
    form, theirs = built(text)
    own = drawn(form, DRAWS)["matrix"]
    draws = reference(theirs, THEIRS)
    assert_distributed_alike(own, matrices_of(draws)["matrix"])
    with pytest.raises(AssertionError):
        assert_distributed_alike(own, matrices_of(draws)["matrix"] * 1.05)


@pytest.mark.parametrize("text", ["Rotate: {p: 0.3}", "RandomResizedCrop: {size: [14, 12], scale: [0.1, 0.5], p: 0.3}"])
def test_the_chosen_images_alone_change(text: str) -> None:
    form, _ = built(text)
    images, parameters = pictures(200), drawn(form, DRAWS)
    assert stats.binomtest(int(parameters["chosen"].sum()), DRAWS, 0.3).pvalue > LEAST_P
    assert stats.binomtest(int(parameters["chosen"].sum()), DRAWS, 0.32).pvalue < CONTROL_P
    few = {name: values[:200] for name, values in parameters.items()}
    changed = (ours(form, images, few) != images).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(changed, few["chosen"])
    everything = {name: values for name, values in few.items() if name != "chosen"}
    warped = ours(form, images, everything)
    np.testing.assert_array_equal(ours(form, images, few)[few["chosen"]], warped[few["chosen"]])


@pytest.mark.parametrize("text", ["Rotate: {p: 1.0}", "RandomResizedCrop: {size: [60, 50]}"])
def test_large_batches_are_changed_part_by_part_and_in_order(text: str) -> None:
    shape = Shape(60, 50, 3)
    form, _ = built(text, shape)
    images, parameters = pictures(100, shape), drawn(form, 100)
    one_by_one = [
        ours(form, images[at : at + 1], {name: values[at : at + 1] for name, values in parameters.items()})
        for at in range(100)
    ]
    np.testing.assert_array_equal(ours(form, images, parameters), np.concatenate(one_by_one))


def test_shifts_by_whole_pixels_stay_maps_of_rows_and_columns() -> None:
    form, _ = built("Affine: {translate_px: [-3, 3], p: 1.0}")
    assert not isinstance(form, AffineWarp)
    parameters = {name: torch.from_numpy(values) for name, values in drawn(form, 4).items()}
    canvas = Canvas.of(torch.from_numpy(pictures(4)))
    assert form.apply(canvas, parameters).source is canvas.source


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


# --- What is refused ---


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("Rotate: {crop_border: true}", SHAPE),
        ("Rotate: {interpolation: cubic}", SHAPE),
        ("Rotate", Shape(9, 9, 2)),
        ("Rotate", Shape(9, 9, 5)),
        ("Rotate: {fill: [1, 2]}", SHAPE),
        ("Rotate", Shape(5000, 5000, 3)),
        ("Affine: {rotate: 10, fit_output: true}", SHAPE),
        ("Affine: {fit_output: true}", SHAPE),
        ("Affine: {scale: 1.1, interpolation: lanczos}", SHAPE),
        ("ShiftScaleRotate: {interpolation: area}", SHAPE),
        ("SafeRotate: {interpolation: cubic}", SHAPE),
        ("Perspective: {keep_size: false}", SHAPE),
        ("Perspective: {fit_output: true}", SHAPE),
        ("Perspective", Shape(5, 9, 3)),
        ("RandomResizedCrop: {size: [9, 9], p: 0.5}", SHAPE),
        ("RandomResizedCrop: {size: [9, 9], interpolation: cubic}", SHAPE),
        ("RandomResizedCrop: {size: [9, 9], area_for_downscale: image}", SHAPE),
        ("RandomSizedCrop: {min_max_height: [2, 9], size: [9, 9], w2h_ratio: 0.4}", SHAPE),
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
    name = text.partition(":")[0]
    with pytest.raises(NotBatchedError, match=name if "fill" not in text else "fill"):
        built(text, shape)
