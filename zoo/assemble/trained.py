"""What is done with a trained run: testing it, classifying images. Floor 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.assemble.build import Foundation, lay_foundation, open_data
from zoo.assemble.check import Parts, checked
from zoo.assemble.loading import find_run, load_checkpoint
from zoo.assemble.options import RunOptions
from zoo.assemble.resolve import Resolved
from zoo.data import Dataset, make_batches
from zoo.data.dataset import ArraySplit, Image
from zoo.data.decoding import Encoded, decode
from zoo.diagnostics import Diagnostics
from zoo.errors import DataError, UsageError, raise_if_errors
from zoo.train import evaluate

TTA = ("none", "flip", "flip_translate")


@dataclass(frozen=True)
class TrainedRun:
    """A run with its data opened and a checkpoint's weights in its network."""

    path: Path
    resolved: Resolved
    parts: Parts
    dataset: Dataset
    base: Foundation

    @property
    def module(self) -> nn.Module:
        """The network, placed, in evaluation mode."""
        return self.base.module


def open_run(
    run: str | None, *, checkpoint: str = "last", device: str = "auto", data_dir: Path | None = None
) -> TrainedRun:
    """Opens a run. Raises CheckpointError, DataError, ConfigError."""
    path = find_run(run)
    diagnostics = Diagnostics()
    resolved, parts = checked(str(path / "resolved.yaml"), diagnostics)
    raise_if_errors(diagnostics)
    assert resolved is not None
    assert parts is not None
    options = RunOptions(device=device, data_dir=data_dir)
    dataset = open_data(resolved, options)
    base = lay_foundation(resolved, parts, dataset, options, with_weights=False)
    load_checkpoint(base.module, path, checkpoint)
    base.module.eval()
    return TrainedRun(path, resolved, parts, dataset, base)


def evaluate_run(
    run: str, *, checkpoint: str = "last", tta: str | None = None, device: str = "auto", data_dir: Path | None = None
) -> dict[str, Any]:
    """Loss, accuracy and accuracy class by class of a run on its test set."""
    if tta is not None and tta not in TTA:
        raise UsageError(f"--tta wants one of {', '.join(TTA)}, got {tta!r}")
    opened = open_run(run, checkpoint=checkpoint, device=device, data_dir=data_dir)
    views: Any = tta or opened.resolved.recipe.eval.tta
    base = opened.base
    found = evaluate(base.module, base.test, base.loss, runtime=base.runtime, tta=views, keep=True)
    return {
        "run": str(opened.path),
        "checkpoint": checkpoint,
        "samples": found.samples,
        "loss": found.loss,
        "accuracy": found.accuracy,
        "accuracy_tta": found.accuracy_tta,
        "per_class": found.per_class(opened.dataset.classes),
    }


def predict_images(
    run: str, images: Sequence[Path], *, top: int = 3, checkpoint: str = "last", device: str = "auto"
) -> list[dict[str, Any]]:
    """For each image its path and its likeliest classes with their probabilities."""
    opened = open_run(run, checkpoint=checkpoint, device=device)
    pixels = [read_image(path, opened.dataset.image_shape[0]) for path in images]
    probabilities = []
    with torch.inference_mode():
        forward = opened.base.runtime.forward(opened.module)
        for image in pixels:
            logits = forward(opened.base.runtime.images(network_images(opened, [image])))
            probabilities.append(logits.softmax(dim=1)[0].cpu())
    return [
        {"image": str(path), "classes": _likeliest(row, opened.dataset.classes, top)}
        for path, row in zip(images, probabilities, strict=True)
    ]


def _likeliest(row: Tensor, classes: tuple[str, ...], top: int) -> list[dict[str, Any]]:
    values, indices = row.topk(min(top, len(row)))
    return [
        {"class": classes[index], "probability": value}
        for value, index in zip(values.tolist(), indices.tolist(), strict=True)
    ]


def network_images(opened: TrainedRun, pixels: Sequence[Image]) -> Tensor:
    """Images (uint8, HWC, as the data's in channels) as the network sees them: resized to its data's, transformed."""
    _, height, width = opened.dataset.image_shape
    fitted = np.stack([resized(image, height, width) for image in pixels])
    split = ArraySplit(fitted, np.zeros(len(fitted), dtype=np.int64))
    batches = make_batches(
        split,
        opened.parts.eval_transforms,
        batch_size=len(fitted),
        shuffle=False,
        device=opened.base.runtime.device,
        dataset=opened.dataset,
        backend=opened.resolved.recipe.transforms.backend,
    )
    return next(iter(batches.epoch(1))).images


def resized(image: Image, height: int, width: int) -> Image:
    """An image (uint8, HWC) of this size, bilinear with antialiasing; its proportions are not kept."""
    if image.shape[:2] == (height, width):
        return image
    image_1CHW = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
    scaled = torch.nn.functional.interpolate(image_1CHW, (height, width), mode="bilinear", antialias=True)
    return scaled[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


def read_image(path: Path, channels: int | None = None) -> Image:
    """An image file (uint8, HWC), grey or RGB as ``channels`` asks. Raises DataError."""
    if not path.is_file():
        raise DataError(f"there is no image {path}")
    return decode(Encoded(path, str(path)), channels)
