"""A small network trained for a moment on scikit-learn's digits: what a recording is made from."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from zoo.data import Batches, Dataset, TransformSpec, make_batches, parse_transforms
from zoo.data.batches import Backend
from zoo.data.dataset import ArraySplit
from zoo.diagnostics import Diagnostics, Source, Span
from zoo.document import from_data
from zoo.optim import LRRangeTest
from zoo.train import Evaluation

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "<nine & co>")
AUGMENTED = (
    {"PadIfNeeded": {"min_height": 10, "min_width": 10}},
    {"RandomCrop": {"height": 8, "width": 8}},
    "Normalize",
)
RECIPE = "name: digits_run\ndoc: Digits, briefly\nmodel: {architecture: tiny}  # small\ntrain: {epochs: 3}\n"


def digits() -> Dataset:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = (images.reshape(-1, 8, 8, 1) * 255 / 16).astype(np.uint8)
    labels = labels.astype(np.int64)
    return Dataset(
        "digits", ArraySplit(pixels[:600], labels[:600]), ArraySplit(pixels[600:900], labels[600:900]), NAMES
    )


def transforms(*names: object) -> tuple[TransformSpec, ...]:
    diagnostics = Diagnostics()
    here = Span(Source("test"), 1, 1, 1, 1)
    specs = parse_transforms(from_data(list(names), here), diagnostics, where="train")
    assert not diagnostics.errors
    return specs


def batches(
    dataset: Dataset, split: ArraySplit, specs: tuple[TransformSpec, ...], backend: Backend = "auto", repeats: int = 1
) -> Batches:
    return make_batches(split, specs, batch_size=100, shuffle=True, dataset=dataset, backend=backend, repeats=repeats)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    )  # fmt: skip


def normalised(dataset: Dataset, split: ArraySplit) -> torch.Tensor:
    images = torch.from_numpy(split.images).permute(0, 3, 1, 2).float() / 255
    return (images - dataset.mean[0]) / dataset.std[0]


def trained(dataset: Dataset) -> tuple[nn.Module, list[dict[str, object]], Evaluation]:
    """Three epochs: the network, the lines of metrics.jsonl, the last test."""
    model, lines = network(), []
    images, labels = normalised(dataset, dataset.train), torch.from_numpy(dataset.train.labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for epoch in range(1, 4):
        for start in range(0, 600, 60):
            loss = nn.functional.cross_entropy(model(images[start : start + 60]), labels[start : start + 60])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        found = outcome(model, dataset)
        lines.append(
            {
                "event": "epoch", "epoch": epoch, "step": 10 * epoch, "lr": 0.02 / epoch, "seconds": 0.1, "best": True,
                "train": {"loss": loss.item(), "accuracy": 0.5}, "test": found.figures, "validation": None,
            }
        )  # fmt: skip
    return model, lines, outcome(model, dataset)


def outcome(model: nn.Module, dataset: Dataset) -> Evaluation:
    model.eval()
    with torch.no_grad():
        scores = model(normalised(dataset, dataset.test))
    labels = torch.from_numpy(dataset.test.labels)
    probabilities = scores.softmax(1)
    accuracy = (probabilities.argmax(1) == labels).float().mean().item()
    backwards = np.arange(len(labels))[::-1].copy()  # the order of an evaluation need not be the split's
    return Evaluation(
        nn.functional.cross_entropy(scores, labels).item(),
        accuracy,
        len(labels),
        None,
        labels.numpy()[backwards],
        probabilities.argmax(1).numpy()[backwards],
        probabilities.numpy()[backwards],
        backwards,
    )


def range_test() -> LRRangeTest:
    lrs = np.logspace(-6, 0, 40)
    losses = 2.3 - 1.2 / (1 + (0.01 / lrs)) + 40 * lrs**3
    suggestions = {"valley": 0.003, "steep": 0.01, "minimum": 0.02, "slide": 0.04}
    return LRRangeTest(tuple(lrs), tuple(losses), tuple(losses + 0.05), suggestions, "valley", 0.003)


def result(found: Evaluation) -> dict[str, object]:
    return {
        "recipe": "digits_run", "model": "tiny", "params": 1370, "epochs": 3, "steps": 30, "seed": 0,
        "train": {"loss": 0.3, "accuracy": 0.9},
        "test": {**found.figures, "accuracy_tta": None, "accuracy_interval": [0.5, 0.6025]},
        "best": {"epoch": 3, "accuracy": found.accuracy}, "target": {"test_accuracy": 0.5, "met": True},
        "seconds": {"total": 71.4, "train": 60.0, "setup": 2.0}, "images_per_second": 1000.0, "device": "cpu",
        "precision": "fp32", "run_dir": "runs/digits_run/0002",
    }  # fmt: skip
