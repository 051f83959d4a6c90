"""Batched changes of colours and channels against albumentations: the same pixels, the same distribution of draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import cv2
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
from zoo.data.transforms.batched import chosen as chosen_module
from zoo.data.transforms.batched.colours import gray_of, hsv_of, planes_of, rgb_of, turned
from zoo.data.transforms.batched.forms import NotBatchedError, Shape

GRAY = replace(SHAPE, channels=1)
FLOAT = SHAPE.as_float()
SHAPES = [SHAPE, Shape(33, 31, 3), Shape(1, 1, 3), Shape(32, 32, 3), Shape(9, 70, 3)]


def scenes(count: int, shape: Shape) -> np.ndarray:
    """Noise, smooth pictures, pictures of few colours, grey ones: rounding meets other numbers in each."""
    images = pictures(count, shape)
    images[1::4] = images[1::4, :1, :1] // 2 + np.arange(shape.width, dtype=np.uint8)[:, None] % 128
    images[2::4] = images[2::4] // 128 * 255
    images[3::4] = images[3::4, ..., :1]
    return images


def floats(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / 100 - 0.6


def applied(theirs: Any, images: np.ndarray, parameters: list[dict[str, Any]]) -> np.ndarray:
    pairs = zip(images, parameters, strict=True)
    return np.stack([theirs.apply(image.copy(), **own).reshape(image.shape) for image, own in pairs])


def rows(parameters: Mapping[str, np.ndarray], count: int = 60) -> list[dict[str, Any]]:
    return [{name: values[at] for name, values in parameters.items()} for at in range(count)]


def jitter(p: Mapping[str, Any]) -> dict[str, Any]:
    names = ("brightness", "contrast", "saturation")
    order = [int(number) for number in p["order"] if number >= 0]
    # Halfway between two steps: what the truncation of a factor makes of it is the step.
    return {name: float(p[name]) for name in names} | {"hue": (float(p["hue"]) + 0.5) / 180, "order": order}


def unturned(p: Mapping[str, Any]) -> dict[str, Any]:
    return jitter(p) | {"hue": 0.0}


def shifts(p: Mapping[str, Any]) -> dict[str, Any]:
    halfway = {"hue_shift": float(p["hue"]) + 0.5, "sat_shift": float(p["saturation"]), "val_shift": float(p["value"])}
    return halfway


def level(p: Mapping[str, Any]) -> dict[str, Any]:
    return {"threshold": float(p["threshold"]) / 255}


def bits(p: Mapping[str, Any]) -> dict[str, Any]:
    kept = [int(mask).bit_count() for mask in p["mask"]]
    return {"num_bits": kept if len(kept) > 1 else kept[0]}


def gamma(p: Mapping[str, Any]) -> dict[str, Any]:
    return {"gamma": float(p["gamma"])}


def curve(p: Mapping[str, Any]) -> dict[str, Any]:
    single = len(p["low"]) == 1
    return {f"{name}_y": float(p[name][0]) if single else p[name] for name in ("low", "high")}


def noise_map(p: Mapping[str, Any]) -> dict[str, Any]:
    return {"noise_map": p["shift"].astype(np.float64)}


def dropped(p: Mapping[str, Any]) -> dict[str, Any]:
    return {"channels_to_drop": np.flatnonzero(p["dropped"]).tolist()}


def order(p: Mapping[str, Any]) -> dict[str, Any]:
    return {"channels_shuffled": p["order"].tolist()}


def nothing(p: Mapping[str, Any]) -> dict[str, Any]:
    return {}


COLOURS = "ColorJitter: {brightness: [0.3, 1.8], contrast: [0.2, 2.0], saturation: [0.0, 2.5], hue: 0.5, p: 1.0}"
CASES: list[tuple[str, Callable[[Mapping[str, Any]], dict[str, Any]], int]] = [
    ("ColorJitter: {brightness: 0.5, contrast: [1, 1], saturation: [1, 1], hue: 0, p: 1.0}", unturned, 0),
    ("ColorJitter: {brightness: [1, 1], contrast: 0.8, saturation: [1, 1], hue: 0, p: 1.0}", unturned, 0),
    ("ColorJitter: {brightness: [1, 1], contrast: [0, 0], saturation: [1, 1], hue: 0, p: 1.0}", unturned, 0),
    ("ColorJitter: {brightness: [0, 0], contrast: [1, 1], saturation: [1, 1], hue: 0, p: 1.0}", unturned, 0),
    ("ColorJitter: {brightness: [1, 1], contrast: [1, 1], saturation: [0, 2.4], hue: 0, p: 1.0}", unturned, 1),
    ("ColorJitter: {brightness: [1, 1], contrast: [1, 1], saturation: [0, 0], hue: 0, p: 1.0}", unturned, 0),
    ("ColorJitter: {brightness: [1, 1], contrast: [1, 1], saturation: [1, 1], hue: 0.5, p: 1.0}", jitter, 1),
    ("HueSaturationValue: {hue_shift_limit: 400, sat_shift_limit: 0, val_shift_limit: 0, p: 1.0}", shifts, 1),
    ("HueSaturationValue: {hue_shift_limit: 90, sat_shift_limit: 200, val_shift_limit: 100, p: 1.0}", shifts, 1),
    ("Solarize: {threshold_range: [0.0, 1.0], p: 1.0}", level, 0),
    ("Posterize: {num_bits: [1, 7], p: 1.0}", bits, 0),
    ("Posterize: {num_bits: [[1, 7], [3, 3], [2, 8]], p: 1.0}", bits, 0),
    ("RandomGamma: {gamma_limit: [20, 400], p: 1.0}", gamma, 0),
    ("RandomGamma: {gamma_limit: [100, 100], p: 1.0}", gamma, 0),
    ("RandomToneCurve: {scale: 0.5, p: 1.0}", curve, 0),
    ("RandomToneCurve: {scale: 0.5, per_channel: true, p: 1.0}", curve, 0),
    ("RGBShift: {r_shift_limit: 200, g_shift_limit: [-0.3, 0.9], b_shift_limit: [10, 20], p: 1.0}", noise_map, 0),
    ("ChannelDropout: {channel_drop_range: [1, 2], fill: 127.9, p: 1.0}", dropped, 0),
    ("ChannelDropout: {p: 1.0}", dropped, 0),
    ("ChannelShuffle: {p: 1.0}", order, 0),
    ("InvertImg: {p: 1.0}", nothing, 0),
    ("ToSepia: {p: 1.0}", nothing, 1),
]


def expected(text: str, translate: Callable[..., dict[str, Any]], images: np.ndarray, shape: Shape) -> np.ndarray:
    form, theirs = built(text, shape)
    return applied(theirs, images, [translate(own) for own in rows(drawn(form, len(images)), len(images))])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("text", "translate", "tolerance"), CASES)
def test_given_the_same_parameters_pixels_are_the_same(
    text: str, translate: Callable[..., dict[str, Any]], tolerance: int, shape: Shape
) -> None:
    form, _ = built(text, shape)
    images = scenes(60, shape)
    own = ours(form, images.copy(), drawn(form, 60)).astype(int)
    difference = np.abs(own - expected(text, translate, images, shape))
    assert difference.max() <= tolerance
    assert np.abs(own - images).max() > 5 or "[100, 100]" in text  # something was done


@pytest.mark.parametrize(("text", "translate", "tolerance"), CASES)
def test_other_parameters_give_other_pixels(
    text: str, translate: Callable[..., dict[str, Any]], tolerance: int
) -> None:
    form, _ = built(text)
    draws = {name for name, values in drawn(form, 2).items() if name not in ("chosen", "order")}
    if not draws or "[0, 0]" in text or "[100, 100]" in text:
        pytest.skip("nothing is drawn, or always the same")
    images = scenes(60, SHAPE)
    own = ours(form, images.copy(), drawn(form, 60, seed=1)).astype(int)
    assert np.abs(own - expected(text, translate, images, SHAPE)).max() > 1


@pytest.mark.parametrize("shape", SHAPES)
def test_colour_jitter_in_each_order(shape: Shape) -> None:
    """A level more or less after one change grows in those that follow; that it does so rarely is tested here."""
    form, theirs = built(COLOURS, shape)
    images = scenes(240, shape)
    parameters = drawn(form, 240)
    assert len({tuple(row) for row in parameters["order"]}) == 24
    own = ours(form, images.copy(), parameters).astype(int)
    theirs_given = applied(theirs, images, [jitter(row) for row in rows(parameters, 240)])
    difference = np.abs(own - theirs_given)
    assert np.quantile(difference, 0.99) <= 2
    reversed_order = parameters | {"order": parameters["order"][:, ::-1].copy()}
    control = np.abs(ours(form, images.copy(), reversed_order).astype(int) - theirs_given)
    assert np.quantile(control, 0.99) > 20


@pytest.mark.parametrize(
    ("text", "translate"),
    [
        ("ColorJitter: {brightness: 0.5, contrast: 0.5, p: 1.0}", jitter),
        ("Solarize: {threshold_range: [0.0, 1.0], p: 1.0}", level),
        ("Posterize: {num_bits: [1, 7], p: 1.0}", bits),
        ("RandomGamma: {gamma_limit: [20, 400], p: 1.0}", gamma),
        ("RandomToneCurve: {scale: 0.5, per_channel: true, p: 1.0}", curve),
        ("RGBShift: {r_shift_limit: 200, p: 1.0}", noise_map),
        ("HueSaturationValue: {val_shift_limit: 100, p: 1.0}", shifts),
        ("ChannelShuffle: {p: 1.0}", nothing),
        ("InvertImg: {p: 1.0}", nothing),
        ("ToSepia: {p: 1.0}", nothing),
    ],
)
@pytest.mark.filterwarnings("ignore:HueSaturationValue")
def test_grey_images(text: str, translate: Callable[..., dict[str, Any]]) -> None:
    form, theirs = built(text, GRAY)
    images = pictures(60, GRAY)
    parameters = drawn(form, 60)
    given = [translate(own) for own in rows(parameters)]
    if "Shuffle" in text:
        given = [{"channels_shuffled": None}] * 60
    np.testing.assert_array_equal(ours(form, images.copy(), parameters), applied(theirs, images, given))


@pytest.mark.parametrize(
    ("text", "translate"),
    [
        ("InvertImg: {p: 1.0}", nothing),
        ("Solarize: {threshold_range: [0.0, 1.0], p: 1.0}", lambda p: {"threshold": float(p["threshold"])}),
        ("RGBShift: {r_shift_limit: 200, g_shift_limit: [-0.3, 0.9], p: 1.0}", noise_map),
        ("ChannelDropout: {channel_drop_range: [1, 2], fill: 1.7, p: 1.0}", dropped),
        ("ChannelShuffle: {p: 1.0}", order),
    ],
)
def test_float_images(text: str, translate: Callable[..., dict[str, Any]]) -> None:
    form, theirs = built(text, FLOAT)
    images = floats(pictures(60))
    parameters = drawn(form, 60)
    given = applied(theirs, images, [translate(own) for own in rows(parameters)])
    np.testing.assert_allclose(ours(form, images.copy(), parameters), given, rtol=0, atol=1e-6)
    assert not np.array_equal(images, given)


@pytest.mark.parametrize("mode", ["blackbody", "cied"])
def test_light_of_another_temperature(mode: str) -> None:
    from albumentations.augmentations.pixel.functional import planckian_jitter

    form, _ = built(f"PlanckianJitter: {{mode: {mode}, p: 1.0}}")
    images = scenes(40, SHAPE)
    temperatures = np.linspace(form.temperatures[0], 15000, 40).astype(int)  # type: ignore[attr-defined]
    table = np.array(form.factors)  # type: ignore[attr-defined]
    at = [np.interp(temperatures, form.temperatures, table[:, channel]) for channel in range(3)]  # type: ignore[attr-defined]
    factor = np.stack([at[0] / at[1], np.ones(40), at[2] / at[1]], axis=1).astype(np.float32)
    own = ours(form, images.copy(), {"chosen": np.ones(40, dtype=bool), "factor": factor})
    given = [planckian_jitter(image, int(kelvin), mode) for image, kelvin in zip(images, temperatures, strict=True)]
    assert np.abs(own.astype(int) - np.stack(given)).max() <= 1  # factors differ in their last bit
    assert np.mean(own != np.stack(given)) < 1e-3


def test_every_colour_has_the_grey_level_and_the_hue_that_opencv_gives_it() -> None:
    levels = np.arange(256, dtype=np.uint8)
    for red in range(0, 256, 5):
        image = np.stack(np.meshgrid(np.uint8([red]), levels, levels, indexing="ij"), axis=-1)
        tensor = torch.from_numpy(image)
        gray = gray_of(planes_of(tensor)).numpy()
        np.testing.assert_array_equal(gray, cv2.cvtColor(image[0], cv2.COLOR_RGB2GRAY)[None])
        hue, saturation, value = hsv_of(tensor)
        turned(hue, torch.zeros(1))
        hsv = torch.stack([hue, saturation, value], dim=-1).numpy()
        given = cv2.cvtColor(image[0], cv2.COLOR_RGB2HSV)
        np.testing.assert_array_equal(hsv[0], given)
        back = cv2.cvtColor(given, cv2.COLOR_HSV2RGB).astype(int)
        assert np.abs(rgb_of((hue, saturation, value)).numpy().astype(int) - back).max() <= 1


def test_only_the_chosen_images_change() -> None:
    for text in ("HueSaturationValue: {p: 0.3}", "ColorJitter: {p: 0.3}", "InvertImg: {p: 0.3}"):
        form, _ = built(text)
        images = pictures(500)
        parameters = drawn(form, 500)
        chosen = parameters["chosen"] if "chosen" in parameters else parameters["order"][:, 0] >= 0
        own = ours(form, images.copy(), parameters)
        everywhere = (own != images).any(axis=(1, 2, 3))
        np.testing.assert_array_equal(everywhere, chosen)
        alone = np.concatenate(
            [
                ours(form, images[at : at + 1].copy(), {k: v[at : at + 1] for k, v in parameters.items()})
                for at in range(20)
            ]
        )
        np.testing.assert_array_equal(alone, own[:20])  # whatever batch an image comes in


EVERY = [
    "ColorJitter: {p: 0.6}", "HueSaturationValue: {p: 0.6}", "InvertImg", "Solarize", "Posterize: {num_bits: [1, 7]}",
    "RandomGamma", "RandomToneCurve: {per_channel: true}", "RGBShift", "ChannelDropout: {fill: 9}", "ChannelShuffle",
    "PlanckianJitter", "ToSepia", "GaussNoise", "MultiplicativeNoise: {per_channel: true}",
    "MultiplicativeNoise: {elementwise: true}", "GaussianBlur", "Blur", "Sharpen", "AutoContrast", "Equalize",
    "Erasing",
]  # fmt: skip


@pytest.mark.parametrize("shape", [SHAPE, FLOAT, GRAY, replace(GRAY, dtype="float32")])
@pytest.mark.parametrize("text", EVERY)
def test_a_gpu_s_way_gives_the_same(text: str, shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU changes all images and keeps the chosen, a CPU changes the chosen alone, a few at a time."""
    try:
        form, _ = built(text, shape)
    except NotBatchedError:
        pytest.skip("has no batched form")
    images = pictures(90, shape) if shape.dtype == "uint8" else floats(pictures(90, shape))
    parameters = drawn(form, 90)
    together = ours(form, images.copy(), parameters)
    monkeypatch.setattr(chosen_module, "_AT_ONCE", 4000)
    few = ours(form, images.copy(), parameters)
    monkeypatch.setattr(chosen_module, "_picks", lambda pixels: False)
    every = ours(form, images.copy(), parameters)
    # Products of matrices differ in their last bits with the number of matrices.
    np.testing.assert_allclose(few.astype(float), together, rtol=0, atol=0 if shape.dtype == "uint8" else 1e-6)
    np.testing.assert_allclose(every.astype(float), together, rtol=0, atol=0 if shape.dtype == "uint8" else 1e-6)
    assert not np.array_equal(together, images) or (text == "ChannelShuffle" or text == "ToSepia")


# --- The same distribution ---


def params(theirs: Any, count: int, shape: Shape = SHAPE) -> list[dict[str, Any]]:
    """What albumentations draws that does not depend on data."""
    theirs.set_random_seed(1234)
    return [theirs.get_params() for _ in range(count)]


def same(own: np.ndarray, theirs: list[float] | np.ndarray) -> None:
    assert stats.ks_2samp(own, theirs).pvalue > LEAST_P
    assert stats.ks_2samp(own * 1.05 + 0.02 * np.std(own), theirs).pvalue < 1e-3


def test_colour_jitter_draws() -> None:
    form, theirs = built("ColorJitter: {brightness: [0.5, 0.8], contrast: 0.4, saturation: [1, 3], hue: [-0.1, 0.4]}")
    own, draws = drawn(form, 2 * DRAWS), params(theirs, REFERENCE)
    chosen = own["order"][:, 0] >= 0
    assert stats.binomtest(int(chosen.sum()), 2 * DRAWS, 0.5).pvalue > LEAST_P
    assert stats.binomtest(int(chosen.sum()), 2 * DRAWS, 0.51).pvalue < CONTROL_P
    for name in ("brightness", "contrast", "saturation"):
        same(own[name], np.array([draw[name] for draw in draws]))
    hues = np.array([np.floor(180 * draw["hue"]) for draw in draws])
    assert alike(own["hue"], hues) > LEAST_P
    assert alike(own["hue"] + 3, hues) < CONTROL_P
    orders = np.array([draw["order"] for draw in draws]) @ [64, 16, 4, 1]
    ours_coded = own["order"][chosen].astype(int) @ [64, 16, 4, 1]
    assert len(set(ours_coded)) == 24
    assert alike(ours_coded, orders) > LEAST_P
    assert alike(ours_coded[ours_coded != 27], orders) < CONTROL_P


def test_hue_saturation_value_draws() -> None:
    form, theirs = built(
        "HueSaturationValue: {hue_shift_limit: [-9, 9], sat_shift_limit: 20, val_shift_limit: [-3, 30]}"
    )
    own, draws = drawn(form, DRAWS), params(theirs, REFERENCE)
    for name, key, rounded in (
        ("hue", "hue_shift", np.floor),
        ("saturation", "sat_shift", np.trunc),
        ("value", "val_shift", np.trunc),
    ):
        given = rounded([draw[key] for draw in draws])
        assert alike(own[name], given) > LEAST_P
        assert alike(own[name] + 1, given) < CONTROL_P


def test_draws_of_one_number() -> None:
    form, theirs = built("Solarize: {threshold_range: [0.2, 0.9]}")
    thresholds = np.ceil([draw["threshold"] * 255 for draw in params(theirs, REFERENCE)])
    assert alike(drawn(form, DRAWS)["threshold"], thresholds) > LEAST_P
    assert alike(drawn(form, DRAWS)["threshold"] + 2, thresholds) < CONTROL_P
    form, theirs = built("RandomGamma: {gamma_limit: [70, 160]}")
    same(drawn(form, DRAWS)["gamma"], [draw["gamma"] for draw in reference(theirs, REFERENCE)])
    form, theirs = built("Posterize: {num_bits: [2, 5]}")
    kept = np.array([int(mask).bit_count() for mask in drawn(form, DRAWS)["mask"][:, 0]])
    given = np.array([draw["num_bits"] for draw in params(theirs, REFERENCE)])
    assert alike(kept, given) > LEAST_P
    assert alike(np.minimum(kept, 4), given) < CONTROL_P


@pytest.mark.parametrize("per_channel", ["true", "false"])
def test_tone_curve_draws(per_channel: str) -> None:
    form, theirs = built(f"RandomToneCurve: {{scale: 0.2, per_channel: {per_channel}}}")
    own, draws = drawn(form, DRAWS), reference(theirs, REFERENCE)
    for name in ("low", "high"):
        given = np.array([np.ravel(draw[f"{name}_y"]) for draw in draws])
        assert own[name].shape[1] == given.shape[1]
        same(own[name][:, -1], given[:, -1])
    assert abs(np.corrcoef(own["low"][:, 0], own["high"][:, 0])[0, 1]) < 4 / DRAWS**0.5


def test_rgb_shift_draws() -> None:
    form, theirs = built("RGBShift: {r_shift_limit: [-4, 4], g_shift_limit: [-0.5, 0.1], b_shift_limit: [10, 20]}")
    own = drawn(form, DRAWS)["shift"]
    given = np.trunc([draw["noise_map"] for draw in reference(theirs, REFERENCE)])
    for channel in range(3):
        assert alike(own[:, channel], given[:, channel]) > LEAST_P
        assert alike(own[:, channel] + 1, given[:, channel]) < CONTROL_P


def test_channel_draws() -> None:
    form, theirs = built("ChannelDropout: {channel_drop_range: [1, 2]}")
    own = drawn(form, DRAWS)["dropped"] @ [1, 2, 4]
    given = np.array([sum(1 << at for at in draw["channels_to_drop"]) for draw in reference(theirs, REFERENCE)])
    assert alike(own, given) > LEAST_P
    assert alike(np.where(own == 6, 5, own), given) < CONTROL_P
    form, theirs = built("ChannelShuffle")
    own = drawn(form, DRAWS)["order"] @ [16, 4, 1]
    given = np.array([draw["channels_shuffled"] for draw in reference(theirs, REFERENCE)]) @ [16, 4, 1]
    assert alike(own, given) > LEAST_P
    assert alike(own[own != 6], given) < CONTROL_P  # 6: as they were


@pytest.mark.parametrize(
    "arguments", ["", "mode: cied, ", "sampling_method: gaussian, ", "temperature_limit: [5000, 9000], "]
)
def test_temperature_draws(arguments: str) -> None:
    form, theirs = built(f"PlanckianJitter: {{{arguments}p: 0.5}}")
    table = np.array(form.factors)  # type: ignore[attr-defined]
    kelvin = [draw["temperature"] for draw in params(theirs, REFERENCE)]
    red, green = (np.interp(kelvin, form.temperatures, table[:, channel]) for channel in (0, 1))  # type: ignore[attr-defined]
    own = drawn(form, DRAWS)["factor"][:, 0]
    assert stats.ks_2samp(own, red / green).pvalue > LEAST_P
    assert stats.ks_2samp(own * 1.05, red / green).pvalue < CONTROL_P


ERASING = [
    ("Erasing: {p: 1.0}", SHAPE),
    ("Erasing: {scale: [0.1, 0.9], ratio: [0.5, 4], fill: [9, 8, 7], p: 1.0}", Shape(20, 31, 3)),
    ("Erasing: {scale: [0.0, 0.1], ratio: [1, 1], fill: 200, p: 1.0}", GRAY),
]


@pytest.mark.parametrize(("text", "shape"), ERASING)
def test_erasing(text: str, shape: Shape) -> None:
    form, theirs = built(text, shape)
    own = {name: values[:, 0] for name, values in drawn(form, DRAWS).items()}
    draws = [draw["holes"][0] for draw in reference(theirs, REFERENCE, shape)]
    x0, y0, x1, y1 = np.array(draws).T
    for low, high, size, given in (("y0", "y1", shape.height, (y0, y1)), ("x0", "x1", shape.width, (x0, x1))):
        length, theirs_length = own[high] - own[low], given[1] - given[0]
        assert stats.ks_2samp(length, theirs_length).pvalue > LEAST_P
        assert stats.ks_2samp(length + 1, theirs_length).pvalue < CONTROL_P
        assert stats.ks_2samp(own[low], given[0]).pvalue > LEAST_P
        assert own[low].min() == 0
        assert own[high].max() == size
    images = pictures(50, shape)
    parameters = drawn(form, 50)
    edges = np.stack([parameters[name] for name in ("x0", "y0", "x1", "y1")], axis=-1)
    expected = np.stack([theirs.apply(image, holes=hole, seed=0) for image, hole in zip(images, edges, strict=True)])
    np.testing.assert_array_equal(ours(form, images.copy(), parameters), expected)
    assert not np.array_equal(expected, images)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("ColorJitter", FLOAT),
        ("ColorJitter", replace(SHAPE, channels=4)),
        ("HueSaturationValue", FLOAT),
        ("Posterize", FLOAT),
        ("Posterize: {num_bits: [[1, 7], [3, 3], [2, 8]]}", GRAY),
        ("RandomGamma", FLOAT),
        ("RandomToneCurve", FLOAT),
        ("RGBShift", replace(SHAPE, channels=4)),
        ("ChannelDropout", GRAY),
        ("ChannelDropout: {channel_drop_range: [1, 3]}", SHAPE),
        ("ChannelDropout: {fill: 300}", SHAPE),
        ("PlanckianJitter", GRAY),
        ("PlanckianJitter", FLOAT),
        ("ToSepia", FLOAT),
        ("Erasing: {fill: random}", SHAPE),
        ("Erasing: {fill: 300}", SHAPE),
        ("Erasing: {ratio: [0.0, 1.0]}", SHAPE),
        ("Erasing: {scale: [0.9, 1.0]}", SHAPE),
    ],
)
def test_what_has_no_batched_form_says_so(text: str, shape: Shape) -> None:
    with pytest.raises(NotBatchedError, match=text.partition(":")[0] + "|fill"):
        built(text, shape)
