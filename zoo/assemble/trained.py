"""What is done with a trained run: testing it, classifying images. Floor 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from zoo.assemble.build import (
    Foundation,
    image_shape,
    lay_foundation,
    open_data,
)
from zoo.assemble.finding import is_of_run, run_and_checkpoint
from zoo.assemble.fitting import refused_views
from zoo.assemble.known_data import describe_data
from zoo.assemble.loading import load_checkpoint
from zoo.assemble.opening import TrainedNetwork, open_described, recipe_of, seen_by_network
from zoo.assemble.options import RunOptions
from zoo.data import Dataset
from zoo.data.dataset import Image
from zoo.data.decoding import decode
from zoo.data.encoded import Encoded, images_below
from zoo.errors import DataError, UnreadableImagesError, UsageError
from zoo.layout import DATA, is_dir, is_file
from zoo.registry import meant, offer
from zoo.schema.recipe import TTA
from zoo.train import evaluate


@dataclass(frozen=True)
class TrainedRun(TrainedNetwork):
    """A trained network with its data set opened."""

    dataset: Dataset
    base: Foundation


def open_network(
    run: str | None, *, checkpoint: str | None = None, device: str = "auto", data_dir: Path | None = None
) -> TrainedNetwork:
    """Opens a run without its data set, unless it is an old one that wrote nothing of its data.

    ``checkpoint`` is `last` unless ``run`` is the folder of one. Raises CheckpointError, ConfigError.
    """
    path, checkpoint = run_and_checkpoint(run, checkpoint)
    if (path / DATA).is_file():
        return open_described(path, checkpoint, device=device)
    return open_run(str(path), checkpoint=checkpoint, device=device, data_dir=data_dir)


def open_run(
    run: str | None, *, checkpoint: str | None = None, device: str = "auto", data_dir: Path | None = None
) -> TrainedRun:
    """Opens a run and its data set. Raises CheckpointError, DataError, ConfigError."""
    path, checkpoint = run_and_checkpoint(run, checkpoint)
    resolved, parts = recipe_of(path)
    options = RunOptions(device=device, data_dir=data_dir)
    dataset = open_data(resolved, options)
    base = lay_foundation(resolved, parts, dataset, options, with_weights=False)
    load_checkpoint(base.module, path, checkpoint)
    data, shape = describe_data(dataset, parts.eval_transforms), image_shape(base.test)
    module = base.module.eval()
    return TrainedRun(path, checkpoint, resolved, parts, data, base.runtime, base.network, module, shape, dataset, base)


def evaluate_run(
    run: str,
    *,
    checkpoint: str | None = None,
    tta: str | None = None,
    device: str = "auto",
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Loss, accuracy and accuracy class by class of a run on its test set."""
    if tta is not None and tta not in get_args(TTA):
        raise UsageError(f"--tta wants one of {', '.join(get_args(TTA))}, got {tta!r}")
    opened = open_run(run, checkpoint=checkpoint, device=device, data_dir=data_dir)
    views: Any = tta or opened.resolved.recipe.eval.tta
    if refusal := refused_views(views, opened.input_shape):
        raise UsageError(f"--tta {refusal}, not {list(opened.input_shape)}")
    base = opened.base
    found = evaluate(base.module, base.test, base.loss, runtime=base.runtime, tta=views, keep=True)
    return {
        "run": str(opened.path),
        "checkpoint": opened.checkpoint,
        "samples": found.samples,
        "loss": found.loss,
        "accuracy": found.accuracy,
        "accuracy_tta": found.accuracy_tta,
        **found.scores,
        "per_class": found.per_class(opened.dataset.classes),
    }


def predict_images(
    run: str, images: Sequence[Path], *, top: int = 3, checkpoint: str | None = None, device: str = "auto"
) -> list[dict[str, Any]]:
    """For each image, those in folders too, its path and its likeliest classes with their probabilities.

    Raises UnreadableImagesError, which has what was found for the others, where some cannot be read.
    """
    files = image_files(images)
    opened = open_network(run, checkpoint=checkpoint, device=device)
    told: list[dict[str, Any]] = []
    refused: list[DataError] = []
    with torch.inference_mode():
        forward = opened.runtime.forward(opened.module)
        for path in files:
            try:
                image_BCHW = network_images(opened, [path])
            except DataError as error:
                refused.append(error)
                continue
            logits = forward(opened.runtime.images(image_BCHW))
            likeliest = _likeliest(logits.softmax(dim=1)[0].cpu(), opened.data.classes, top)
            told.append({"image": str(path), "classes": likeliest})
    if refused:
        raise UnreadableImagesError(refused, told)
    return told


def _likeliest(row: Tensor, classes: tuple[str, ...], top: int) -> list[dict[str, Any]]:
    values, indices = row.topk(min(top, len(row)))
    return [
        {"class": classes[index], "probability": value}
        for value, index in zip(values.tolist(), indices.tolist(), strict=True)
    ]


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Files as they are; of folders the images in them. Raises UsageError where there are none, and for a run."""
    for path in paths:
        if is_of_run(path):
            raise UsageError(f"{path} is a run, where images are named", help="name the run before the images")
    files = [file for path in paths for file in (images_below(path) if is_dir(path) else [path])]
    if not files:
        raise UsageError(f"there are no images in {', '.join(map(str, paths))}")
    return files


def network_images(opened: TrainedNetwork, files: Sequence[Path]) -> Tensor:
    """Images of any size as the network sees them, float32 BCHW on the device. Raises DataError.

    Where the data's images are of one size, these are resized to it before the transforms for evaluation.
    """
    channels, height, width = opened.data.image_shape
    pixels = [read_image(file, channels) for file in files]
    if opened.data.one_size:
        pixels = [resized(image, height, width) for image in pixels]
    names = [str(file) for file in files]
    return seen_by_network(pixels, names, opened.resolved, opened.parts, opened.data, opened.runtime)


def resized(image: Image, height: int, width: int) -> Image:
    """An image (uint8, HWC) of this size, bilinear with antialiasing; its proportions are not kept."""
    if image.shape[:2] == (height, width):
        return image
    image_1CHW = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
    scaled = torch.nn.functional.interpolate(image_1CHW, (height, width), mode="bilinear", antialias=True)
    return scaled[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


def read_image(path: Path, channels: int | None = None) -> Image:
    """An image file (uint8, HWC), grey or RGB as ``channels`` asks. Raises DataError."""
    if not is_file(path):
        near = meant(path.name, (beside.name for beside in path.parent.glob("*"))) if is_dir(path.parent) else []
        help = offer(near) if near else "name files and folders by their paths from the folder that zoo runs in"
        raise DataError(f"there is no image {path}", help=help)
    return decode(Encoded(path, str(path)), channels)
