"""Batched noise against albumentations', and its random numbers by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
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
from zoo.data.transforms.batched.noise import standard_normals

GRAY = replace(SHAPE, channels=1)
FLOAT = SHAPE.as_float()
SHAPES = [SHAPE, GRAY, Shape(33, 31, 3), Shape(1, 1, 1)]


def normals(parameters: Mapping[str, np.ndarray], shape: Shape, *, per_channel: bool) -> np.ndarray:
    key = torch.from_numpy(parameters["key"])
    pixels = torch.zeros(len(key), shape.height, shape.width, shape.channels, dtype=torch.uint8)
    return standard_normals(key, pixels, per_channel=per_channel).numpy()


@pytest.mark.parametrize("shape", [*SHAPES, FLOAT])
@pytest.mark.parametrize("per_channel", [True, False])
def test_given_the_same_noise_pixels_are_the_same(shape: Shape, per_channel: bool) -> None:
    arguments = f"std_range: [0.0, 0.4], mean_range: [-0.2, 0.3], per_channel: {str(per_channel).lower()}"
    form, theirs = built(f"GaussNoise: {{{arguments}, p: 1.0}}", shape)
    images = pictures(60, shape)
    images = images if shape.dtype == "uint8" else images.astype(np.float32) / 200 - 0.1
    parameters = drawn(form, 60)
    std, mean = (parameters[name].reshape(-1, 1, 1, 1) for name in ("std", "mean"))
    noise = normals(parameters, shape, per_channel=per_channel) * std + mean
    noise = np.broadcast_to(noise * np.float32(255 if shape.dtype == "uint8" else 1), images.shape)
    given = np.stack([theirs.apply(image.copy(), noise_map=own) for image, own in zip(images, noise, strict=True)])
    np.testing.assert_array_equal(ours(form, images.copy(), parameters), given.reshape(images.shape))
    assert not np.array_equal(ours(form, images.copy(), drawn(form, 60, seed=1)), given)


def test_gauss_noise_draws_and_its_normals() -> None:
    form, theirs = built("GaussNoise: {std_range: [0.1, 0.3], mean_range: [-0.2, 0.4]}", Shape(16, 16, 3))
    own = drawn(form, DRAWS)
    maps = [draw["noise_map"] / 255 for draw in reference(theirs, REFERENCE // 2, Shape(16, 16, 3))]
    assert stats.kstest(own["std"], stats.uniform(0.1, 0.2).cdf).pvalue > LEAST_P
    assert stats.kstest(own["mean"], stats.uniform(-0.2, 0.6).cdf).pvalue > LEAST_P
    some = {name: values[:5000] for name, values in own.items()}
    noise = normals(some, Shape(16, 16, 3), per_channel=True)
    noise = noise * some["std"][:, None, None, None] + some["mean"][:, None, None, None]
    for statistic in (np.mean, np.std):  # of each image
        values, given = ([statistic(one) for one in many] for many in (noise, maps))
        assert stats.ks_2samp(values, given).pvalue > LEAST_P
        assert stats.ks_2samp(np.multiply(values, 1.2), given).pvalue < CONTROL_P


@pytest.mark.parametrize("per_channel", [True, False])
def test_normals_are_normal_and_unrelated(per_channel: bool) -> None:
    shape = Shape(20, 21, 3)
    parameters = {"key": np.arange(400, dtype=np.int64)}  # keys of the simplest kind
    values = normals(parameters, shape, per_channel=per_channel)
    assert values.shape[3] == (3 if per_channel else 1)
    flat = values.reshape(-1)
    assert stats.kstest(flat, "norm").pvalue > LEAST_P
    assert stats.kstest(flat * 1.03, "norm").pvalue < CONTROL_P
    bound = 4.5 / flat.size**0.5
    neighbours = (np.roll(values, 1, axis) for axis in range(3))
    for other in (*neighbours, values[::-1], np.roll(flat, 4).reshape(values.shape)):
        assert abs(np.corrcoef(flat, other.reshape(-1))[0, 1]) < bound
        assert abs(np.corrcoef(flat**2, other.reshape(-1) ** 2)[0, 1]) < bound
    rows = values.reshape(400, -1).mean(axis=1) * (values[0].size) ** 0.5
    assert stats.kstest(rows, "norm").pvalue > LEAST_P


@pytest.mark.parametrize(
    "text", ["GaussNoise: {p: 0.7}", "MultiplicativeNoise: {elementwise: true, per_channel: true, p: 0.7}"]
)
def test_noise_is_an_image_s_own(text: str) -> None:
    """A pure function of seed, epoch and sample: not of the batch that an image comes in, nor of its place there."""
    form, _ = built(text)
    images = np.repeat(pictures(1), 300, axis=0)
    parameters = drawn(form, 300)
    together = ours(form, images.copy(), parameters)
    order = np.random.default_rng(0).permutation(300)
    shuffled = ours(form, images.copy(), {name: values[order] for name, values in parameters.items()})
    np.testing.assert_array_equal(shuffled, together[order])
    alone = ours(form, images[:1].copy(), {name: values[7:8] for name, values in parameters.items()})
    np.testing.assert_array_equal(alone[0], together[7])
    changed = together[parameters["chosen"]].reshape(parameters["chosen"].sum(), -1)
    assert len(np.unique(changed, axis=0)) == len(changed)  # no two samples have the same
    assert not np.array_equal(ours(form, images.copy(), drawn(form, 300, epoch=2)), together)
    assert (together[~parameters["chosen"]] == images[0]).all()


@pytest.mark.parametrize("shape", [*SHAPES, FLOAT])
@pytest.mark.parametrize("per_channel", ["true", "false"])
def test_multiplicative_noise(shape: Shape, per_channel: str) -> None:
    form, theirs = built(f"MultiplicativeNoise: {{multiplier: [0.3, 2.0], per_channel: {per_channel}, p: 1.0}}", shape)
    images = pictures(60, shape)
    images = images if shape.dtype == "uint8" else images.astype(np.float32) / 200 - 0.1
    parameters = drawn(form, 60)
    factors = np.broadcast_to(parameters["factor"], (60, shape.channels))
    given = [theirs.apply(image.copy(), multiplier=own) for image, own in zip(images, factors, strict=True)]
    np.testing.assert_array_equal(ours(form, images.copy(), parameters), np.stack(given).reshape(images.shape))
    own = drawn(form, DRAWS)["factor"]
    drawn_by_them = [np.ravel(draw["multiplier"]) for draw in reference(theirs, REFERENCE, shape)]
    assert stats.ks_2samp(own[:, -1], np.array(drawn_by_them)[:, -1]).pvalue > LEAST_P
    assert stats.ks_2samp(own[:, -1] * 1.1, np.array(drawn_by_them)[:, -1]).pvalue < CONTROL_P


@pytest.mark.parametrize("shape", [SHAPE, GRAY])
@pytest.mark.parametrize("per_channel", [True, False])
def test_multiplicative_noise_of_each_element(shape: Shape, per_channel: bool) -> None:
    arguments = f"multiplier: [0.5, 1.2], elementwise: true, per_channel: {str(per_channel).lower()}"
    form, theirs = built(f"MultiplicativeNoise: {{{arguments}, p: 1.0}}", shape)
    images = np.full((800, shape.height, shape.width, shape.channels), 200, dtype=np.uint8)
    own = ours(form, images.copy(), drawn(form, 800))
    theirs.set_random_seed(3)
    given = np.stack([theirs(image=image)["image"] for image in images])
    assert alike(own[..., 0].ravel(), given[..., 0].ravel()) > LEAST_P
    assert alike(own[..., 0].ravel() + 1, given[..., 0].ravel()) < CONTROL_P
    assert (own == own[..., :1]).all() == (given == given[..., :1]).all() == (not per_channel or shape.channels == 1)


def test_what_has_no_batched_form_says_so() -> None:
    with pytest.raises(NotBatchedError, match="GaussNoise with noise_scale_factor"):
        built("GaussNoise: {noise_scale_factor: 0.5}")
