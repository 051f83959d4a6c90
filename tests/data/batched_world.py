"""Batched forms beside the albumentations transforms that they stand for: how tests build, draw and compare them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy import stats

from tests.data.data_world import specs
from zoo.data.draws import Draws, hash_words
from zoo.data.transforms.batched.canvas import Canvas
from zoo.data.transforms.batched.forms import BatchedForm, Facts, Shape

FACTS = Facts(mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26), classes=10, samples=1000)
SHAPE = Shape(14, 12, 3)
DRAWS = 100_000  # of ours
REFERENCE = 10_000  # of albumentations', which takes a hundred times as long
LEAST_P = 1e-4  # of a comparison that should hold; seeds are fixed, so it holds always or never
CONTROL_P = 1e-9  # what a comparison that should fail stays below


def built(text: str, shape: Shape = SHAPE) -> tuple[BatchedForm, Any]:
    (spec,) = specs(f"[{text}]")
    return spec.batched(shape, FACTS), spec.build(FACTS)


def drawn(form: BatchedForm, count: int, seed: int = 0, epoch: int = 1) -> Mapping[str, np.ndarray]:
    return form.draw(Draws(seed, epoch, np.arange(count), hash_words(17)))


def pictures(count: int, shape: Shape = SHAPE) -> np.ndarray:
    size = (count, shape.height, shape.width, shape.channels)
    return np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)


def scenes(count: int, shape: Shape) -> np.ndarray:
    """Images that are noise, smooth, or of two colours, one after another; float32 ones as Normalize makes them."""
    noise = pictures(count, shape)
    noise[1::3] = np.sort(np.sort(noise[1::3], axis=1), axis=2)
    noise[2::3] = np.where(noise[2::3] < 128, 0, 255)
    return noise if shape.dtype == "uint8" else ((noise / 255 - 0.4) / 0.25).astype(np.float32)


def ours(form: BatchedForm, images: np.ndarray, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
    tensors = {name: torch.from_numpy(values) for name, values in parameters.items()}
    return form.apply(Canvas.of(torch.from_numpy(images)), tensors).pixels().numpy()


def alike(first: np.ndarray, second: np.ndarray) -> float:
    """The p-value of a chi-squared test that two samples of whole numbers come from one distribution."""
    values, number = np.unique(np.concatenate([first, second]), return_inverse=True)
    if len(values) == 1:
        return 1.0
    table = np.stack([np.bincount(sample, minlength=len(values)) for sample in np.split(number, [len(first)])])
    return float(stats.chi2_contingency(table).pvalue)


def reference(theirs: Any, count: int, shape: Shape = SHAPE) -> list[dict[str, Any]]:
    """What albumentations draws."""
    theirs.set_random_seed(1234)
    parameters = {"shape": (shape.height, shape.width, shape.channels)}
    data = {"image": np.zeros(parameters["shape"], dtype=np.uint8)}
    return [theirs.get_params_dependent_on_data(parameters, data) for _ in range(count)]
