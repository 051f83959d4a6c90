"""Batched filters and histograms against albumentations: the same pixels, the same distribution of draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.data.batched_world import (
    CONTROL_P,
    DRAWS,
    LEAST_P,
    REFERENCE,
    SHAPE,
    alike,
    built,
    drawn,
    ours,
    pictures,
    reference,
)
from zoo.data.transforms.batched.forms import NotBatchedError, Shape

GRAY = replace(SHAPE, channels=1)
FLOAT = SHAPE.as_float()
SHAPES = [SHAPE, GRAY, Shape(33, 31, 3), Shape(32, 32, 3), Shape(1, 9, 3), Shape(7, 2, 1)]


def applied(theirs: Any, images: np.ndarray, parameters: list[dict[str, Any]]) -> np.ndarray:
    pairs = zip(images, parameters, strict=True)
    return np.stack([theirs.apply(image.copy(), **own).reshape(image.shape) for image, own in pairs])


def rows(parameters: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    count = len(next(iter(parameters.values())))
    return [{name: values[at] for name, values in parameters.items()} for at in range(count)]


def square(p: Mapping[str, Any]) -> dict[str, Any]:
    return {"kernel": 2 * int(p["reach"]) + 1}


def bell(p: Mapping[str, Any]) -> dict[str, Any]:
    from albumentations.augmentations.blur.functional import create_gaussian_kernel_1d

    return {"kernel": create_gaussian_kernel_1d(float(p["sigma"]), 2 * int(p["reach"]) + 1)}


def sharpening(p: Mapping[str, Any]) -> dict[str, Any]:
    matrix = np.full((3, 3), p["around"], dtype=np.float32)
    matrix[1, 1] += p["middle"]
    return {"alpha": 0.0, "sharpening_matrix": matrix}


FILTERS: list[tuple[str, Callable[[Mapping[str, Any]], dict[str, Any]], int]] = [
    ("Blur: {p: 1.0}", square, 0),
    ("Blur: {blur_limit: [5, 9], p: 1.0}", square, 0),
    ("GaussianBlur: {p: 1.0}", bell, 1),
    ("GaussianBlur: {blur_limit: [3, 8], sigma_limit: [0.1, 9.0], p: 1.0}", bell, 1),
    ("GaussianBlur: {blur_limit: [0, 5], sigma_limit: 2.0, p: 1.0}", bell, 1),
    ("Sharpen: {p: 1.0}", sharpening, 1),
    ("Sharpen: {alpha: [0.0, 1.0], lightness: [0.0, 3.0], p: 1.0}", sharpening, 1),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("text", "translate", "tolerance"), FILTERS)
def test_given_the_same_parameters_pixels_are_the_same(
    text: str, translate: Callable[..., dict[str, Any]], tolerance: int, shape: Shape
) -> None:
    form, theirs = built(text, shape)
    images = pictures(60, shape)
    parameters = drawn(form, 60)
    own = ours(form, images.copy(), parameters).astype(int)
    given = applied(theirs, images, [translate(row) for row in rows(parameters)])
    assert np.abs(own - given).max() <= tolerance
    assert np.mean(own != given) < 1e-3  # float32 sums that end near the middle of two levels
    assert np.abs(ours(form, images.copy(), drawn(form, 60, seed=1)).astype(int) - given).max() > 5  # the control


@pytest.mark.parametrize(("text", "translate", "tolerance"), FILTERS)
def test_float_images(text: str, translate: Callable[..., dict[str, Any]], tolerance: int) -> None:
    form, theirs = built(text, FLOAT)
    images = pictures(60).astype(np.float32) / 100 - 0.6
    parameters = drawn(form, 60)
    given = applied(theirs, images, [translate(row) for row in rows(parameters)])
    np.testing.assert_allclose(ours(form, images.copy(), parameters), given, rtol=0, atol=2e-5)
    assert np.abs(images - given).max() > 0.1


@pytest.mark.parametrize("limits", ["3", "[3, 7]", "[4, 9]", "[5, 5]"])
def test_blur_draws(limits: str) -> None:
    form, theirs = built(f"Blur: {{blur_limit: {limits}}}")
    theirs.set_random_seed(1)
    own = 2 * drawn(form, DRAWS)["reach"] + 1
    given = np.array([theirs.get_params()["kernel"] for _ in range(REFERENCE)])
    assert alike(own, given) > LEAST_P
    assert alike(own + 2, given) < CONTROL_P


@pytest.mark.parametrize("arguments", ["", "blur_limit: [3, 8], ", "blur_limit: [0, 5], sigma_limit: 2.0, "])
def test_gaussian_blur_draws(arguments: str) -> None:
    form, theirs = built(f"GaussianBlur: {{{arguments}p: 0.5}}")
    own, kernels = drawn(form, DRAWS), [draw["kernel"] for draw in reference(theirs, REFERENCE)]
    sizes = np.array([len(kernel) for kernel in kernels])
    assert alike(2 * own["reach"] + 1, sizes) > LEAST_P
    assert alike(2 * own["reach"] + 3, sizes) < CONTROL_P
    # sigma, from the two weights in the middle
    middles = [one[len(one) // 2 :] for one in kernels if len(one) > 1]
    with np.errstate(divide="ignore", over="ignore"):  # a sigma close to 0 leaves no weight beside the middle
        sigmas = [(2 * np.log(one[0] / one[1])) ** -0.5 for one in middles]
    wide = own["sigma"][own["reach"] > 0]
    assert stats.ks_2samp(wide, sigmas).pvalue > LEAST_P
    assert stats.ks_2samp(wide * 1.1, sigmas).pvalue < CONTROL_P


def test_sharpen_draws() -> None:
    form, theirs = built("Sharpen: {alpha: [0.1, 0.7], lightness: [0.5, 3.0]}")
    theirs.set_random_seed(1)
    own = drawn(form, DRAWS)
    draws = [theirs.get_params() for _ in range(REFERENCE)]
    alphas = [draw["alpha"] for draw in draws]
    middles = [draw["sharpening_matrix"][1, 1] for draw in draws]
    assert stats.ks_2samp(-own["around"], alphas).pvalue > LEAST_P
    assert stats.ks_2samp(-1.1 * own["around"], alphas).pvalue < CONTROL_P
    assert stats.ks_2samp(own["middle"] + own["around"], middles).pvalue > LEAST_P
    assert stats.ks_2samp(1.1 * (own["middle"] + own["around"]), middles).pvalue < CONTROL_P


def histograms(shape: Shape) -> np.ndarray:
    """Of all levels, of some, of two, of one, of the outermost; every channel its own."""
    images = pictures(60, shape)
    for at, (low, high) in enumerate([(0, 255), (30, 90), (0, 120), (90, 255), (128, 129), (7, 7), (255, 255), (0, 0)]):
        images[at::9] = (low + images[at::9] / 255 * (high - low)).astype(np.uint8)
    images[8::9] = np.where(images[8::9] < 100, 20, 255)
    return images


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "text", ["AutoContrast: {p: 1.0}", "AutoContrast: {method: pil, p: 1.0}", "Equalize: {p: 1.0}"]
)
def test_histograms(text: str, shape: Shape) -> None:
    form, theirs = built(text, shape)
    images = histograms(shape)
    given = np.stack([theirs(image=image)["image"] for image in images])
    np.testing.assert_array_equal(ours(form, images.copy(), drawn(form, 60)), given)
    assert not np.array_equal(given, images)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("text", ["ToFloat", "ToFloat: {max_value: 100.0}"])
def test_to_float(text: str, shape: Shape) -> None:
    form, theirs = built(text, shape)
    images = pictures(5, shape)
    given = np.stack([theirs(image=image)["image"] for image in images]).reshape(images.shape)
    np.testing.assert_array_equal(ours(form, images, {}), given)
    assert form.after == shape.as_float()


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("GaussianBlur: {sigma_limit: 0.0}", SHAPE),
        ("GaussianBlur: {sigma_limit: [1.0e+6, 1.0e+6]}", SHAPE),
        ("GaussianBlur: {sigma_limit: 1.0e+308}", SHAPE),
        ("GaussianBlur: {blur_limit: [3, 1000001]}", SHAPE),
        ("Blur: {blur_limit: 10001}", SHAPE),
        ("Sharpen: {method: gaussian}", SHAPE),
        ("Equalize", FLOAT),
        ("Equalize: {mode: pil}", SHAPE),
        ("Equalize: {by_channels: false}", SHAPE),
        ("AutoContrast", FLOAT),
        ("AutoContrast: {cutoff: 2.0}", SHAPE),
        ("AutoContrast: {ignore: 3}", SHAPE),
        ("ToFloat: {p: 0.5}", SHAPE),
    ],
)
def test_what_has_no_batched_form_says_so(text: str, shape: Shape) -> None:
    with pytest.raises(NotBatchedError, match=text.partition(":")[0]):
        built(text, shape)
