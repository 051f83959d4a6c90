"""Batched forms against albumentations: the same pixels given the same parameters, the same distribution of parameters.

Draws number 100,000 and more; each comparison of distributions has a control that must fail it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from tests.data.batched_world import (
    CONTROL_P,
    DRAWS,
    FACTS,
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
from tests.data.data_world import specs
from zoo.data.draws import Draws
from zoo.data.transforms.batched.canvas import Canvas
from zoo.data.transforms.batched.forms import NotBatchedError
from zoo.data.transforms.compositions import streams
from zoo.errors import DataError

# --- The same pixels, given the same parameters ---


@pytest.mark.parametrize("mode", ["constant", "replicate", "reflect", "symmetric", "wrap"])
@pytest.mark.parametrize("position", ["center", "top_left", "top_right", "bottom_left", "bottom_right"])
def test_pad_if_needed(mode: str, position: str) -> None:
    form, theirs = built(
        f"PadIfNeeded: {{min_height: 19, min_width: 20, border_mode: {mode}, position: {position}, fill: [9, 8, 7]}}"
    )
    images = pictures(2)
    expected = np.stack([theirs(image=image)["image"] for image in images])
    np.testing.assert_array_equal(ours(form, images, {}), expected)


@pytest.mark.parametrize(
    "text",
    [
        "PadIfNeeded: {min_height: null, min_width: null, pad_height_divisor: 8, pad_width_divisor: 5}",
        "PadIfNeeded: {min_height: 3, min_width: 3}",
        "Pad: {padding: 3, fill: 5}",
        "Pad: {padding: 3, fill: [113.9, 127.4, 0.6]}",
        "Pad: {padding: 3, fill: [300, -1, 127.5]}",
        "PadIfNeeded: {min_height: 20, min_width: 20, fill: 113.9}",
        "Pad: {padding: [1, 4], border_mode: reflect}",
        "Pad: {padding: [1, 2, 3, 4], border_mode: 1}",
        "CenterCrop: {height: 9, width: 8}",
        "CenterCrop: {height: 14, width: 3}",
        "Normalize",
        "Normalize: {mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6], max_pixel_value: 100.0}",
        "Normalize: {mean: 0.5, std: 0.5}",
    ],
)
def test_what_draws_nothing_gives_the_same_pixels(text: str) -> None:
    form, theirs = built(text)
    images = pictures(3)
    expected = np.stack([theirs(image=image)["image"] for image in images])
    assert drawn(form, 3) == {}
    np.testing.assert_array_equal(ours(form, images, {}), expected)
    assert expected.shape[1:] == (form.after.height, form.after.width, form.after.channels)


@pytest.mark.parametrize(("text", "tolerance"), [("ToGray: {p: 1.0}", 0), ("Resize: {height: 20, width: 9}", 1)])
def test_what_rounds_differs_by_one_grey_level_at_most(text: str, tolerance: int) -> None:
    form, theirs = built(text)
    images = pictures(8)
    expected = np.stack([theirs(image=image)["image"] for image in images]).astype(int)
    assert np.abs(ours(form, images, drawn(form, 8)).astype(int) - expected).max() <= tolerance


def crop(p: Mapping[str, Any], theirs: Any) -> dict[str, Any]:
    top, left = int(p["top"]), int(p["left"])
    return {"crop_coords": (left, top, left + theirs.width, top + theirs.height), "pad_params": None}


def holes(p: Mapping[str, Any], theirs: Any) -> dict[str, Any]:
    edges = np.stack([p["x0"], p["y0"], p["x1"], p["y1"]], axis=-1)
    return {"holes": edges[edges[:, 1] < edges[:, 3]], "seed": 0}


def shift(p: Mapping[str, Any], theirs: Any) -> dict[str, Any]:
    matrix = np.array([[1.0, 0, -p["left"]], [0, 1, -p["top"]], [0, 0, 1]])
    return {"matrix": matrix, "output_shape": (SHAPE.height, SHAPE.width)}


def brightness(p: Mapping[str, Any], theirs: Any) -> dict[str, Any]:
    return {"alpha": float(p["alpha"]), "beta": float(p["beta"])}


@pytest.mark.parametrize(
    ("text", "translate"),
    [
        ("RandomCrop: {height: 9, width: 7}", crop),
        ("CoarseDropout: {num_holes_range: [1, 3], hole_height_range: [2, 5], hole_width_range: [1, 9]}", holes),
        ("CoarseDropout: {hole_height_range: [0.1, 0.5], hole_width_range: [0.2, 0.9], fill: [1, 2, 3], p: 1}", holes),
        ("Affine: {translate_px: {x: [-5, 5], y: [-3, 4]}, border_mode: reflect, p: 1.0}", shift),
        ("Affine: {translate_px: {x: [-5, 5], y: [-3, 4]}, fill: [3, 200, 7], p: 0.5}", shift),
        ("Affine: {translate_percent: {x: [-0.3, 0.3], y: [-0.2, 0.4]}, border_mode: 1, p: 1.0}", shift),
        ("ShiftScaleRotate: {shift_limit: 0.2, scale_limit: 0.0, rotate_limit: 0, p: 1.0}", shift),
        ("RandomBrightnessContrast: {brightness_limit: 0.4, contrast_limit: [-0.3, 0.6], p: 0.8}", brightness),
    ],
)
def test_given_the_same_parameters_pixels_are_the_same(text: str, translate: Callable[..., dict[str, Any]]) -> None:
    form, theirs = built(text)
    images = pictures(100)
    parameters = drawn(form, 100)
    expected = []
    for index, image in enumerate(images):
        own = {name: values[index] for name, values in parameters.items()}
        expected.append(theirs.apply(image.copy(), **translate(own, theirs)))
    np.testing.assert_array_equal(ours(form, images, parameters), np.stack(expected))
    assert not np.array_equal(ours(form, images, drawn(form, 100, seed=1)), np.stack(expected))  # the control


@pytest.mark.parametrize(("name", "axis"), [("HorizontalFlip", 2), ("VerticalFlip", 1)])
def test_flips(name: str, axis: int) -> None:
    form, _ = built(f"{name}: {{p: 0.4}}")
    images = pictures(50)
    parameters = drawn(form, 50)
    expected = np.where(parameters["flip"][:, None, None, None], np.flip(images, axis), images)
    np.testing.assert_array_equal(ours(form, images, parameters), expected)
    assert 0 < parameters["flip"].sum() < 50


def test_geometry_in_a_chain_is_gathered_as_if_done_step_by_step() -> None:
    texts = [
        "PadIfNeeded: {min_height: 18, min_width: 18, fill: [10, 20, 30]}",
        "Affine: {translate_px: [-3, 3], fill: [200, 210, 220], p: 1.0}",
        "HorizontalFlip",
        "Pad: {padding: 2, border_mode: reflect}",
        "RandomCrop: {height: 11, width: 13}",
        "Pad: {padding: 1, fill: 77}",
    ]
    images = pictures(40)
    canvas, shape, stepped = Canvas.of(torch.from_numpy(images)), SHAPE, images
    for number, text in enumerate(texts):
        (spec,) = specs(f"[{text}]")
        form = spec.batched(shape, FACTS)
        parameters = form.draw(Draws(0, 1, np.arange(40), number))
        stepped = ours(form, stepped, parameters)  # gathers at every step
        tensors = {name: torch.from_numpy(values) for name, values in parameters.items()}
        canvas, shape = form.apply(canvas, tensors), form.after
    np.testing.assert_array_equal(canvas.pixels().numpy(), stepped)
    assert {10, 200, 77} <= set(np.unique(stepped[..., 0]))  # every fill shows somewhere


# --- The same distribution ---


def test_crop_positions() -> None:
    form, theirs = built("RandomCrop: {height: 9, width: 7}")
    own = drawn(form, DRAWS)
    corners = np.array([draw["crop_coords"][:2] for draw in reference(theirs, REFERENCE)])
    joint = own["top"] * 100 + own["left"]
    assert alike(joint, corners[:, 1] * 100 + corners[:, 0]) > LEAST_P
    assert set(own["top"]) == set(range(6))  # both edges are reached
    assert set(own["left"]) == set(range(6))
    one_short = np.minimum(own["top"], 4) * 100 + own["left"]
    assert alike(one_short, corners[:, 1] * 100 + corners[:, 0]) < CONTROL_P


@pytest.mark.parametrize(
    "text",
    [
        "CoarseDropout: {num_holes_range: [1, 1], hole_height_range: [8, 8], hole_width_range: [8, 8], p: 1.0}",
        "CoarseDropout: {num_holes_range: [1, 1], hole_height_range: [3, 6], hole_width_range: [2, 20], p: 1.0}",
        "CoarseDropout: {num_holes_range: [1, 1], hole_height_range: [0.1, 0.4], hole_width_range: [0.3, 0.9], p: 1.0}",
    ],
)
def test_hole_positions_and_sizes(text: str) -> None:
    form, theirs = built(text)
    own = {name: values[:, 0] for name, values in drawn(form, DRAWS).items()}
    x0, y0, x1, y1 = np.array([draw["holes"][0] for draw in reference(theirs, REFERENCE)]).T
    assert alike(own["y0"] * 100 + own["y1"], y0 * 100 + y1) > LEAST_P
    assert alike(own["x0"] * 100 + own["x1"], x0 * 100 + x1) > LEAST_P
    assert (own["y0"].min(), own["y1"].max()) == (0, SHAPE.height)  # holes reach the edges and stay inside
    assert (own["x0"].min(), own["x1"].max()) == (0, SHAPE.width)
    assert alike(own["y0"] * 100 + own["y1"], y0 * 100 + y1 + (y0 == 0)) < CONTROL_P


def test_number_of_holes_and_rate() -> None:
    form, theirs = built(
        "CoarseDropout: {num_holes_range: [1, 4], hole_height_range: [2, 3], hole_width_range: [2, 3], p: 0.3}"
    )
    own = drawn(form, DRAWS)
    count = (own["y1"] > own["y0"]).sum(axis=1)
    assert stats.binomtest(int((count > 0).sum()), DRAWS, 0.3).pvalue > LEAST_P
    assert stats.binomtest(int((count > 0).sum()), DRAWS, 0.28).pvalue < CONTROL_P
    expected = np.array([len(draw["holes"]) for draw in reference(theirs, REFERENCE // 2)])
    assert alike(count[count > 0], expected) > LEAST_P


@pytest.mark.parametrize("name", ["HorizontalFlip", "VerticalFlip"])
def test_flip_rate(name: str) -> None:
    flips = int(drawn(built(f"{name}: {{p: 0.25}}")[0], 4 * DRAWS)["flip"].sum())
    assert stats.binomtest(flips, 4 * DRAWS, 0.25).pvalue > LEAST_P
    assert stats.binomtest(flips, 4 * DRAWS, 0.26).pvalue < CONTROL_P


@pytest.mark.parametrize(
    "text",
    [
        "Affine: {translate_px: {x: [-5, 5], y: [-3, 4]}, p: 1.0}",
        "Affine: {translate_percent: {x: [-0.3, 0.3], y: [-0.2, 0.4]}, p: 1.0}",
        "ShiftScaleRotate: {shift_limit: 0.3, scale_limit: 0.0, rotate_limit: 0, p: 1.0}",
    ],
)
def test_shifts(text: str) -> None:
    form, theirs = built(text)
    own = drawn(form, DRAWS)
    matrices = np.array([draw["matrix"][:2, 2] for draw in reference(theirs, REFERENCE // 2)]).round().astype(int)
    for values, expected in ((-own["left"], matrices[:, 0]), (-own["top"], matrices[:, 1])):
        assert alike(values, expected) > LEAST_P
        assert alike(values + 1, expected) < CONTROL_P


def test_brightness_and_contrast() -> None:
    form, theirs = built("RandomBrightnessContrast: {brightness_limit: [-0.1, 0.3], contrast_limit: 0.2, p: 1.0}")
    own = drawn(form, DRAWS)
    draws = reference(theirs, REFERENCE // 2)
    for name in ("alpha", "beta"):
        expected = np.array([draw[name] for draw in draws])
        assert stats.ks_2samp(own[name], expected).pvalue > LEAST_P
        assert stats.ks_2samp(own[name] * 1.1, expected).pvalue < CONTROL_P


def test_mean_brightness_of_other_arguments() -> None:
    form, theirs = built("RandomBrightnessContrast: {brightness_by_max: false, brightness_limit: [0.2, 0.2], p: 1.0}")
    images = pictures(6)
    parameters = drawn(form, 6)
    expected = [
        theirs.apply(image, alpha=float(parameters["alpha"][at]), beta=0.2 * float(np.mean(image)))
        for at, image in enumerate(images)
    ]
    assert np.abs(ours(form, images, parameters).astype(int) - np.stack(expected)).max() <= 1


# --- Random numbers ---


def test_draws_are_uniform_and_unrelated() -> None:
    samples = np.arange(DRAWS)
    draws = Draws(0, 1, samples, 5)
    first, second = draws.uniform(), draws.uniform()
    others = [Draws(0, 2, samples, 5), Draws(1, 1, samples, 5), Draws(0, 1, samples, 6), Draws(0, 1, samples + 1, 5)]
    assert stats.kstest(first, "uniform").pvalue > LEAST_P
    assert stats.kstest(first**1.05, "uniform").pvalue < CONTROL_P
    for other in (second, np.roll(first, 1), *(draw.uniform() for draw in others[:3])):
        assert abs(np.corrcoef(first, other)[0, 1]) < 4 / DRAWS**0.5
    assert np.array_equal(others[3].uniform()[:-1], first[1:])  # a sample's draw is its own, wherever it stands


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_beta_draws(alpha: float) -> None:
    values = Draws(0, 1, np.arange(DRAWS), 5).beta(alpha)
    assert stats.kstest(values, stats.beta(alpha, alpha).cdf).pvalue > LEAST_P
    assert stats.kstest(values, stats.beta(alpha * 1.1, alpha * 1.1).cdf).pvalue < CONTROL_P


def test_two_of_a_name_draw_apart() -> None:
    names = specs("[HorizontalFlip, HorizontalFlip, VerticalFlip]")
    one, two, three = streams(names)
    assert len({one, two, three}) == 3
    assert list(streams(specs("[VerticalFlip, HorizontalFlip]")))[1] == one  # others may come and go


@pytest.mark.parametrize(
    "text",
    [
        "RandomCrop: {height: 40, width: 40}",
        "CoarseDropout: {fill: random}",
        "Normalize: {normalization: image}",
        "Normalize: {p: 0.5}",
        "RandomBrightnessContrast: {ensure_safe_range: true}",
        "Resize: {height: 4, width: 4, interpolation: area}",
        "ToGray: {method: max}",
        "CoarseDropout: {fill: 300}",
        "CoarseDropout: {fill: [0, -1, 0]}",
        "CoarseDropout: {fill: [7]}",
        "Erasing: {fill: [7]}",
        "Pad: {padding: 1, fill: [1, 2]}",
        "PadIfNeeded: {min_height: 20, min_width: 20, fill: [1, 2]}",
        "CenterCrop: {height: 20, width: 20, pad_if_needed: true, fill: [1, 2]}",
        "Affine: {translate_px: [-3, 3], fill: [1, 2]}",
        "Affine: {translate_percent: 0.1, fill: [1, 2]}",
    ],
)
def test_what_has_no_batched_form_says_so(text: str) -> None:
    with pytest.raises(NotBatchedError):
        built(text)


def test_a_fill_that_never_shows_may_be_any() -> None:
    for text in ("CenterCrop: {height: 9, width: 9, fill: [1, 2]}", "Pad: {border_mode: wrap, fill: [1, 2]}"):
        form, _ = built(text)
        assert ours(form, pictures(2), {}).shape == (2, form.after.height, form.after.width, 3)


@pytest.mark.parametrize("key", ["mean", "std"])
def test_a_number_for_each_of_three_channels_is_refused_where_there_is_one(key: str) -> None:
    arguments = {"mean": "0.5", "std": "0.5"} | {key: "[0.4, 0.5, 0.6]"}
    with pytest.raises(DataError, match=f"Normalize: {key} has 3 numbers, the images have 1 channel"):
        built("Normalize: {{mean: {mean}, std: {std}}}".format(**arguments), replace(SHAPE, channels=1))
