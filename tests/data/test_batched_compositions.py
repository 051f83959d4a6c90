"""Batched OneOf, Sequential, SomeOf and RandomOrder against albumentations: what is chosen, how often, and in turn."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.batched_world import (
    CONTROL_P,
    DRAWS,
    LEAST_P,
    alike,
    built,
    drawn,
    ours,
    pictures,
)
from tests.data.data_world import array_dataset, specs
from zoo.data import make_batches
from zoo.data.draws import Draws, hash_words
from zoo.data.transforms.batched.canvas import Canvas
from zoo.data.transforms.batched.chosen import where_chosen
from zoo.data.transforms.batched.forms import NotBatchedError, Shape
from zoo.data.transforms.compositions import Choice
from zoo.errors import UsageError

TINY = Shape(2, 3, 3)
REFERENCE = 5_000  # images through albumentations

# Each does the same to an image whenever it is done, and in another order something else.
ACROSS, DOWN = "HorizontalFlip: {p: 0.5}", "VerticalFlip: {p: 0.8}"
LIGHT = "RandomBrightnessContrast: {brightness_limit: [0.2, 0.2], contrast_limit: [0.0, 0.0], p: 0.6}"
STEEP = "RandomBrightnessContrast: {brightness_limit: [0.0, 0.0], contrast_limit: [0.5, 0.5], p: 0.3}"


def listed(*children: str) -> str:
    return "transforms: [" + ", ".join(f"{{{child}}}" for child in children) + "]"


ALL = listed(ACROSS, DOWN, LIGHT, STEEP)
SOLID = listed("HorizontalFlip: {p: 1}", "VerticalFlip: {p: 1}", LIGHT.replace("0.6", "1.0"), STEEP.replace("0.3", "1"))


def outcomes(text: str) -> np.ndarray:
    """What became of one image, time after time, in its bytes."""
    form, _ = built(text, TINY)
    images = np.repeat(pictures(1, TINY), DRAWS, axis=0)
    return ours(form, images, drawn(form, DRAWS)).reshape(DRAWS, -1)


def expected_outcomes(text: str) -> np.ndarray:
    _, theirs = built(text, TINY)
    # One pair of generators for all: given a seed, each child would draw what its neighbour draws.
    theirs.set_random_state(np.random.default_rng(1234), random.Random(1234))
    (image,) = pictures(1, TINY)
    return np.stack([theirs(image=image)["image"].reshape(-1) for _ in range(REFERENCE)])


def as_often(own: np.ndarray, expected: np.ndarray) -> float:
    """The p-value of a test that both have the same images as often."""
    both = np.concatenate([own, expected]).astype(np.int64)
    weights = np.random.default_rng(0).integers(1, 2**50, both.shape[1])  # one number a row: rows take long to sort
    _, number = np.unique(both @ weights, return_inverse=True)
    return alike(number[: len(own)], number[len(own) :])


# What albumentations does, and what it would be if one rule were another.
RULES = {
    "weights": (f"OneOf: {{{ALL}, p: 0.7}}", f"OneOf: {{{SOLID}, p: 0.7}}"),
    "chance": (f"OneOf: {{{ALL}}}", f"OneOf: {{{ALL}, p: 0.6}}"),
    "never": (
        f"OneOf: {{{listed(ACROSS, 'VerticalFlip: {p: 0}', LIGHT)}, p: 1}}",
        f"OneOf: {{{listed(ACROSS, 'VerticalFlip: {p: 0.1}', LIGHT)}, p: 1}}",
    ),
    "all or none": (f"Sequential: {{{ALL}}}", f"Sequential: {{{ALL}, p: 0.6}}"),
    "all": (f"Sequential: {{{ALL}, p: 1.0}}", f"Sequential: {{{listed(DOWN, ACROSS, STEEP, LIGHT)}, p: 1.0}}"),
    "some": (f"SomeOf: {{{ALL}, n: 2, p: 0.8}}", f"SomeOf: {{{SOLID}, n: 2, p: 0.8}}"),
    "some, default n": (f"SomeOf: {{{SOLID}}}", f"OneOf: {{{ALL}, p: 1.0}}"),
    "some, sorted": (f"SomeOf: {{{SOLID}, n: 3}}", f"RandomOrder: {{{SOLID}, n: 3}}"),
    "some, too many": (f"SomeOf: {{{ALL}, n: 9}}", f"SomeOf: {{{ALL}, n: 3}}"),
    "some, again": (
        f"SomeOf: {{{ALL}, n: 3, replace: true, p: 0.9}}",
        f"RandomOrder: {{{ALL}, n: 3, replace: true, p: 0.9}}",
    ),
    "order": (f"RandomOrder: {{{SOLID}, n: 2}}", f"SomeOf: {{{SOLID}, n: 2}}"),
    "order of all": (f"RandomOrder: {{{ALL}, n: 4}}", f"SomeOf: {{{ALL}, n: 4}}"),
    "order, again": (f"RandomOrder: {{{SOLID}, n: 2, replace: true}}", f"RandomOrder: {{{SOLID}, n: 2}}"),
    "forced Sequential": (
        f"OneOf: {{{listed(f'Sequential: {{{ALL}, p: 0.2}}', ACROSS)}, p: 1}}",
        f"OneOf: {{{listed(f'Sequential: {{{SOLID}, p: 0.2}}', ACROSS)}, p: 1}}",
    ),
    "forced OneOf": (
        f"OneOf: {{{listed(f'OneOf: {{{ALL}, p: 0.2}}', ACROSS)}, p: 1}}",
        f"OneOf: {{{listed(f'OneOf: {{{SOLID}, p: 0.2}}', ACROSS)}, p: 1}}",
    ),
    "SomeOf is not forced": (
        f"OneOf: {{{listed(f'SomeOf: {{{ALL}, n: 2, p: 0.2}}', ACROSS)}, p: 1}}",
        f"OneOf: {{{listed(f'Sequential: {{{ALL}, p: 0.2}}', ACROSS)}, p: 1}}",
    ),
    "OneOf in SomeOf": (
        f"SomeOf: {{{listed(f'OneOf: {{{ALL}, p: 0.4}}', ACROSS, LIGHT)}, n: 2}}",
        f"SomeOf: {{{listed(f'OneOf: {{{ALL}, p: 1.0}}', ACROSS, LIGHT)}, n: 2}}",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_images_become_the_same_as_often(rule: str) -> None:
    text, other = RULES[rule]
    expected = expected_outcomes(text)
    assert as_often(outcomes(text), expected) > LEAST_P
    assert as_often(outcomes(other), expected) < CONTROL_P


SHIFT = "Affine: {translate_px: {x: [-3, 3], y: [-2, 4]}, fill: [9, 200, 33], p: 0.9}"
WRAP = "Affine: {translate_px: {x: [-3, 3], y: [-2, 4]}, fill: 77, border_mode: wrap, p: 0.7}"
HOLES = "CoarseDropout: {num_holes_range: [1, 3], fill: [1, 2, 3], p: 0.8}"
BRIGHT = "RandomBrightnessContrast: {brightness_limit: 0.4, p: 0.7}"
CUT = "Sequential: {transforms: [Pad: {padding: 2, fill: 50}, RandomCrop: {height: 14, width: 12}], p: 1.0}"
# It takes another size on the way.
CROPS = listed("RandomCrop: {height: 9, width: 7}", "CenterCrop: {height: 9, width: 7}")
BACK = "PadIfNeeded: {min_height: 14, min_width: 12, fill: 8}"
AWAY = f"Sequential: {{{listed(f'OneOf: {{{CROPS}, p: 1}}', BACK)}, p: 1.0}}"
MOVES, MIXED = listed(ACROSS, DOWN, SHIFT, WRAP, CUT), listed(ACROSS, SHIFT, HOLES, BRIGHT, CUT)


@pytest.mark.parametrize("children", [MOVES, MIXED, listed(ACROSS, AWAY)])
@pytest.mark.parametrize(
    "text",
    [
        "OneOf: {CHILDREN, p: 0.8}",
        "OneOf: {CHILDREN, p: 1.0}",
        "SomeOf: {CHILDREN, n: 2}",
        "SomeOf: {CHILDREN, n: 3, replace: true}",
        "RandomOrder: {CHILDREN, n: 4, p: 0.9}",
        "RandomOrder: {CHILDREN, n: 3, replace: true}",
        "Sequential: {CHILDREN, p: 0.6}",
    ],
)
def test_each_image_goes_through_what_it_drew_and_nothing_else(text: str, children: str) -> None:
    form, _ = built(text.replace("CHILDREN", children))
    assert isinstance(form, Choice)
    images, parameters = pictures(60), drawn(form, 60)
    expected = images.copy()
    for index in range(60):
        for turn, place in enumerate(form.order):
            if parameters["chosen"][index, turn]:
                own = {name: values[[index]] for name, values in within(parameters, place).items()}
                expected[[index]] = ours(form.steps[place].form, expected[[index]], own)
    np.testing.assert_array_equal(ours(form, images, parameters), expected)
    assert not np.array_equal(ours(form, images, parameters | {"chosen": ~parameters["chosen"]}), expected)


def within(parameters: Any, place: int) -> dict[str, np.ndarray]:
    prefix = f"{place}."
    return {name[len(prefix) :]: values for name, values in parameters.items() if name.startswith(prefix)}


def test_what_every_image_goes_through_may_change_size_and_type() -> None:
    norms = listed("Normalize: {mean: 0.0, std: 0.5}", "Normalize: {mean: 0.5, std: 1.0}")
    chain = listed(f"OneOf: {{{CROPS}, p: 1.0}}", f"OneOf: {{{norms}, p: 1.0}}")
    form, theirs = built(f"Sequential: {{{chain}, p: 1.0}}")
    assert form.after == Shape(9, 7, 3, "float32")
    images, parameters = pictures(40), drawn(form, 40)
    expected = []
    for index, image in enumerate(images):
        random, centre = parameters["0.chosen"][index]
        top, left = (
            ((14 - 9) // 2, (12 - 7) // 2) if centre else (parameters[f"0.0.{name}"][index] for name in ("top", "left"))
        )
        assert random != centre
        window = image[top : top + 9, left : left + 7]
        expected.append(theirs.transforms[1].transforms[parameters["1.chosen"][index].argmax()](image=window)["image"])
    np.testing.assert_array_equal(ours(form, images, parameters), np.stack(expected))
    assert len({tuple(row) for row in np.hstack([parameters["0.chosen"], parameters["1.chosen"]])}) == 4


def test_moves_alone_wait_for_those_that_follow() -> None:
    form, _ = built(f"OneOf: {{{MOVES}, p: 0.8}}")
    source = torch.from_numpy(pictures(8))
    tensors = {name: torch.from_numpy(values) for name, values in drawn(form, 8).items()}
    assert form.apply(Canvas.of(source), tensors).source is source


# --- Random numbers ---


TWO_FLIPS, TWO_LIGHTS = listed(ACROSS, ACROSS), listed(BRIGHT, BRIGHT)


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        (f"SomeOf: {{{TWO_FLIPS}, n: 2}}", "0.flip", "1.flip"),
        (f"SomeOf: {{{TWO_FLIPS}}}", "chosen", "0.flip"),
        (f"SomeOf: {{{listed(ACROSS)}, n: 2, replace: true}}", "0.flip", "1.flip"),
        (f"SomeOf: {{{listed(f'SomeOf: {{{TWO_FLIPS}}}', DOWN)}}}", "chosen", "0.chosen"),
        (f"Sequential: {{{TWO_FLIPS}, p: 1.0}}", "0.flip", "1.flip"),
        (f"Sequential: {{{TWO_FLIPS}, p: 0.5}}", "chosen", "0.0.flip"),
        (f"OneOf: {{{TWO_LIGHTS}}}", "0.alpha", "1.alpha"),
        (f"RandomOrder: {{{TWO_LIGHTS}, n: 2, replace: true}}", "1.alpha", "3.alpha"),
    ],
)
def test_draws_of_one_and_another_are_unrelated(text: str, first: str, second: str) -> None:
    values = drawn(built(text)[0], DRAWS)
    one, two = (values[name].reshape(DRAWS, -1)[:, 0].astype(float) for name in (first, second))
    assert abs(np.corrcoef(one, two)[0, 1]) < 4 / DRAWS**0.5
    assert abs(np.corrcoef(one, two + 0.05 * one)[0, 1]) > 4 / DRAWS**0.5  # the control


def test_what_a_child_draws_is_its_own_whoever_stands_beside_it() -> None:
    alone, among = (built(f"OneOf: {{{text}}}")[0] for text in (listed(BRIGHT), listed(ACROSS, SHIFT, BRIGHT)))
    np.testing.assert_array_equal(drawn(alone, 50)["0.alpha"], drawn(among, 50)["2.alpha"])
    assert not np.array_equal(drawn(alone, 50)["0.alpha"], drawn(built(BRIGHT)[0], 50)["alpha"])


def test_draws_are_a_function_of_seed_epoch_and_index() -> None:
    form, _ = built(f"RandomOrder: {{{listed(f'OneOf: {{{MIXED}}}', HOLES)}, n: 2}}")
    whole = drawn(form, 50)
    part = form.draw(Draws(0, 1, np.arange(20, 30), hash_words(17)))
    for name, values in part.items():
        np.testing.assert_array_equal(values, whole[name][20:30])
    for other in (drawn(form, 50, seed=1), drawn(form, 50, epoch=2)):
        assert not np.array_equal(other["chosen"], whole["chosen"])
        assert not np.array_equal(other["0.3.alpha"], whole["0.3.alpha"])


@pytest.mark.parametrize("size", [1, 7, 59])
def test_a_sample_is_the_same_however_the_split_is_cut(size: int) -> None:
    text = f"[{{OneOf: {{{MIXED}, p: 0.9}}}}, {{SomeOf: {{{MOVES}, n: 2}}}}, {{RandomOrder: {{{MIXED}, n: 2}}}}]"
    data = array_dataset(pictures(60))

    def images(size: int, seed: int = 0) -> torch.Tensor:
        made = make_batches(
            data.train, specs(text), batch_size=size, shuffle=True, seed=seed, dataset=data, backend="batched"
        )
        parts = list(made.epoch(2))
        return torch.cat([part.images for part in parts])[torch.cat([part.indices for part in parts]).argsort()]

    whole = images(60)
    assert torch.equal(images(size), whole)
    assert not torch.equal(images(60, seed=1), whole)


# --- Parts of a batch ---


@pytest.mark.parametrize("shape", [Shape(32, 32, 3), Shape(7, 5, 1)])  # in eights of bytes, and not
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_the_chosen_ones_are_changed_and_no_others(shape: Shape, dtype: torch.dtype) -> None:
    images = torch.from_numpy(pictures(9, shape)).to(dtype)
    chosen, less = torch.arange(9) % 3 == 1, torch.arange(9)
    got = where_chosen(
        images.clone(), chosen, {"less": less}, lambda x, own: x - own["less"].view(-1, 1, 1, 1).to(dtype)
    )
    expected = images.clone()
    expected[1], expected[4], expected[7] = images[1] - 1, images[4] - 4, images[7] - 7
    assert torch.equal(got, expected)
    into = torch.zeros(9, 2, 2, 1)
    got = where_chosen(images, chosen, {}, lambda x, own: torch.ones(len(x), 2, 2, 1), into)
    assert got.mean(dim=(1, 2, 3)).tolist() == chosen.tolist()


# --- What has none ---


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("OneOf: {transforms: [HorizontalFlip, Superpixels]}", "Superpixels, in OneOf"),
        (
            "SomeOf: {transforms: [{Sequential: {transforms: [VerticalFlip, Superpixels]}}, HorizontalFlip]}",
            "Superpixels, in Sequential, in SomeOf",
        ),
        (
            f"OneOf: {{{listed('PadIfNeeded: {min_height: 20, min_width: 20}', ACROSS)}, p: 1}}",
            "images of several sizes, in OneOf",
        ),
        (
            f"OneOf: {{{CROPS}, p: 0.9}}",
            "images of several sizes, in OneOf",
        ),
        (f"Sequential: {{{listed('CenterCrop: {height: 9, width: 7}')}}}", "images of several sizes, in Sequential"),
        (
            "RandomOrder: {transforms: [{CenterCrop: {height: 9, width: 7}}, HorizontalFlip], n: 2}",
            "images of several sizes, in RandomOrder",
        ),
        ("OneOf: {transforms: [Normalize, HorizontalFlip], p: 1.0}", "images of both uint8 and float32, in OneOf"),
        ("OneOf: {transforms: [Normalize], p: 0.5}", "images of both uint8 and float32, in OneOf"),
        ("SomeOf: {transforms: [Normalize, Normalize], n: 2}", "images of both uint8 and float32, in SomeOf"),
    ],
)
def test_what_has_no_batched_form_is_named_with_what_it_stands_in(text: str, reason: str) -> None:
    with pytest.raises(NotBatchedError) as caught:
        built(text)
    assert str(caught.value) == reason
    data = array_dataset(pictures(4))
    (spec,) = specs(f"[{text}]")
    made = make_batches(data.train, [spec], batch_size=4, shuffle=False, dataset=data)
    assert (made.backend, made.reason) == ("albumentations", f"no batched form: {reason}")
    with pytest.raises(UsageError, match=reason):
        make_batches(data.train, [spec], batch_size=4, shuffle=False, dataset=data, backend="batched")


def test_what_is_never_chosen_needs_none() -> None:
    form, _ = built("OneOf: {transforms: [HorizontalFlip, Superpixels: {p: 0}]}")
    assert isinstance(form, Choice)
    assert len(form.steps) == 1
