"""What is done with a trained run: testing it, classifying images. Floor 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from zoo.assemble.build import (
    Foundation,
    fitting_network,
    image_shape,
    lay_foundation,
    open_data,
    settle_precision,
)
from zoo.assemble.check import Parts, checked
from zoo.assemble.environment import with_plugins_of
from zoo.assemble.fitting import refused_views
from zoo.assemble.known_data import KnownData, describe_data, read_known_data
from zoo.assemble.loading import load_checkpoint, run_and_checkpoint
from zoo.assemble.networks import Shape
from zoo.assemble.options import RunOptions
from zoo.assemble.resolve import Resolved
from zoo.assemble.targets import is_of_run
from zoo.data import Dataset, make_batches
from zoo.data.dataset import ArraySplit, Image, LazySplit
from zoo.data.decoding import Encoded, decode, images_below
from zoo.diagnostics import Diagnostics
from zoo.document import Mapping, Override, read_file
from zoo.errors import CheckpointError, ConfigError, DataError, UnreadableImagesError, UsageError
from zoo.layout import ARCHITECTURE, DATA, RESOLVED, is_dir, is_file
from zoo.registry import meant, offer
from zoo.schema.recipe import TTA
from zoo.train import Runtime, evaluate


@dataclass(frozen=True)
class TrainedNetwork:
    """A run's network with a checkpoint's weights: placed, in evaluation mode; and what it has to know of its data."""

    path: Path
    checkpoint: str
    resolved: Resolved
    parts: Parts
    data: KnownData
    runtime: Runtime
    module: nn.Module
    input_shape: Shape  # of the images that reach the network: channels, height, width


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
    if not (path / DATA).is_file():
        return open_run(str(path), checkpoint=checkpoint, device=device, data_dir=data_dir)
    data = read_known_data(path)
    resolved, parts = recipe_of(path)
    settings = resolved.recipe.train
    runtime = Runtime.choose(device, settings.precision, settings.channels_last, settings.compile)
    channels, height, width = data.image_shape
    blank = np.zeros((height, width, channels), dtype=np.uint8)
    shape = tuple(_seen_by_network([blank], ["an image"], resolved, parts, data, runtime).shape[1:])
    network = fitting_network(resolved, parts, data, shape)
    module = runtime.place(network.untrained.build())
    settle_precision(runtime, settings.precision, module, network)  # as the training did
    load_checkpoint(module, path, checkpoint)
    return TrainedNetwork(path, checkpoint, resolved, parts, data, runtime, module.eval(), shape)


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
    return TrainedRun(path, checkpoint, resolved, parts, data, base.runtime, module, shape, dataset, base)


def recipe_of(path: Path) -> tuple[Resolved, Parts]:
    """The run's recipe, its network that of the graph which it keeps: a shipped one may be another by now."""
    diagnostics = Diagnostics()
    document = read_file(path / RESOLVED, diagnostics)
    if document is None:
        (first, *_) = diagnostics
        raise CheckpointError(
            f"{path / RESOLVED} is damaged: {first.message}",
            span=first.span,
            help="put the file back as the run wrote it; model.safetensors holds the weights all the same",
        )
    model = document.get("model")
    has_graph = isinstance(model, Mapping) and "architecture" in model and (path / ARCHITECTURE).is_file()
    own_graph = [Override("model.architecture", ARCHITECTURE)] if has_graph else []
    resolved, parts = checked(str(path / RESOLVED), diagnostics, overrides=own_graph)
    if diagnostics.errors:
        raise ConfigError(with_plugins_of(path, diagnostics))
    assert resolved is not None
    assert parts is not None
    return resolved, parts


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
    return _seen_by_network(pixels, names, opened.resolved, opened.parts, opened.data, opened.runtime)


def _seen_by_network(
    pixels: Sequence[Image],
    names: Sequence[str],
    resolved: Resolved,
    parts: Parts,
    data: KnownData,
    runtime: Runtime,
) -> Tensor:
    """Images (uint8, HWC, as the data's in channels) under the recipe's transforms for evaluation, float32 BCHW."""
    labels = np.zeros(len(pixels), dtype=np.int64)
    pick = pixels.__getitem__
    batches = make_batches(
        ArraySplit(np.stack(pixels), labels, names) if data.one_size else LazySplit(pick, labels, names, names),
        parts.eval_transforms,
        batch_size=len(pixels),
        shuffle=False,
        device=runtime.device,
        dataset=data,
        backend=resolved.recipe.transforms.backend,
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
    if not is_file(path):
        near = meant(path.name, (beside.name for beside in path.parent.glob("*"))) if is_dir(path.parent) else []
        help = offer(near) if near else "name files and folders by their paths from the folder that zoo runs in"
        raise DataError(f"there is no image {path}", help=help)
    return decode(Encoded(path, str(path)), channels)
