"""Batched geometry against albumentations: the same pixels given the same parameters, the same distributions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from tests.data.batched_world import CONTROL_P, DRAWS, LEAST_P, SHAPE, built, drawn, ours, pictures, reference, scenes
from zoo.data.transforms.batched.affine import AffineWarp, inverted
from zoo.data.transforms.batched.canvas import Canvas
from zoo.data.transforms.batched.forms import NotBatchedError, Shape

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


@pytest.mark.parametrize("text", ["Rotate: {p: 1.0}", "Perspective: {p: 1.0}", "RandomResizedCrop: {size: [60, 50]}"])
def test_large_batches_are_changed_part_by_part_and_in_order(text: str) -> None:
    shape = Shape(60, 50, 3)
    form, _ = built(text, shape)
    images, parameters = pictures(250, shape), drawn(form, 250)
    one_by_one = [
        ours(form, images[at : at + 1], {name: values[at : at + 1] for name, values in parameters.items()})
        for at in range(250)
    ]
    np.testing.assert_array_equal(ours(form, images, parameters), np.concatenate(one_by_one))


def test_shifts_by_whole_pixels_stay_maps_of_rows_and_columns() -> None:
    form, _ = built("Affine: {translate_px: [-3, 3], p: 1.0}")
    assert not isinstance(form, AffineWarp)
    parameters = {name: torch.from_numpy(values) for name, values in drawn(form, 4).items()}
    canvas = Canvas.of(torch.from_numpy(pictures(4)))
    assert form.apply(canvas, parameters).source is canvas.source


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
        ("SafeRotate: {limit: 1.0e+308}", SHAPE),
        ("Rotate: {limit: [0.0, 1.0e+308]}", SHAPE),
        ("Affine: {rotate: [-1.0e+308, 1.0e+308]}", SHAPE),
        ("Affine: {translate_px: 10000000000000000000}", SHAPE),
        ("Affine: {translate_percent: 1.0e+30}", SHAPE),
        ("Perspective: {keep_size: false}", SHAPE),
        ("Perspective: {fit_output: true}", SHAPE),
        ("Perspective", Shape(5, 9, 3)),
    ],
)
def test_what_has_no_batched_form_says_so(text: str, shape: Shape) -> None:
    name = text.partition(":")[0]
    with pytest.raises(NotBatchedError, match=name if "fill" not in text else "fill"):
        built(text, shape)
