"""What is done with a trained run: testing it, classifying images. Floor 7."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from zoo.assemble.finding import run_and_checkpoint
from zoo.assemble.fitting import refused_views
from zoo.assemble.known_data import describe_data
from zoo.assemble.loading import load_checkpoint
from zoo.assemble.members import find_members, names_runs, require_same_classes
from zoo.assemble.opening import TrainedNetwork, open_described, recipe_of, seen_by_network
from zoo.data import Dataset, LastOpened
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
    run: str | None,
    *,
    checkpoint: str | None = None,
    device: str = "auto",
    data_dir: Path | None = None,
    last_opened: LastOpened | None = None,
) -> TrainedRun:
    """Opens a run and its data set. Raises CheckpointError, DataError, ConfigError."""
    path, checkpoint = run_and_checkpoint(run, checkpoint)
    checked = recipe_of(path)
    dataset = open_data(checked.resolved, data_dir=data_dir, last=last_opened)
    base = lay_foundation(checked, dataset, device, with_weights=False)
    load_checkpoint(base.module, path, checkpoint)
    data, shape = describe_data(dataset, checked.eval_transforms), image_shape(base.test)
    module = base.module.eval()
    return TrainedRun(path, checkpoint, checked, data, base.runtime, base.network, module, shape, dataset, base)


def evaluate_run(
    run: str,
    *,
    checkpoint: str | None = None,
    tta: str | None = None,
    device: str = "auto",
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Loss, accuracy and accuracy class by class of a run on its test set."""
    require_views(tta)
    opened = open_run(run, checkpoint=checkpoint, device=device, data_dir=data_dir)
    base, views = opened.base, views_of(opened, tta)
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


def require_views(tta: str | None) -> None:
    """Raises UsageError for views that there are not."""
    if tta is not None and tta not in get_args(TTA):
        raise UsageError(f"--tta wants one of {', '.join(get_args(TTA))}, got {tta!r}")


def views_of(opened: TrainedRun, tta: str | None) -> TTA:
    """The views of a test, the recipe's unless others are asked for. Raises UsageError for such as cannot be."""
    views: Any = tta or opened.checked.recipe.eval.tta
    if refusal := refused_views(views, opened.input_shape):
        raise UsageError(f"--tta {refusal}, not {list(opened.input_shape)}")
    found: TTA = views
    return found


def predict_images(
    runs: str | Sequence[str],
    images: Sequence[Path],
    *,
    top: int = 3,
    checkpoint: str | None = None,
    device: str = "auto",
) -> list[dict[str, Any]]:
    """For each image, those in folders too, its path and its likeliest classes with their probabilities.

    Those of several runs are averaged; one network after the other is opened, and gets the images as it was trained to.
    Raises UnreadableImagesError, which has what was found for the others, where some cannot be read.
    """
    files = image_files(images)
    members = find_members([runs] if isinstance(runs, str) else runs, checkpoint)
    refused: dict[int, DataError] = {}
    sums: dict[int, Tensor] = {}
    classes: tuple[str, ...] = ()
    for member in members:
        opened = open_network(str(member.path), checkpoint=member.checkpoint, device=device)
        require_same_classes([(members[0].path, classes or None), (member.path, opened.data.classes)])
        classes = opened.data.classes
        for at, row in _rows(opened, files, refused):
            sums[at] = sums[at] + row if at in sums else row
        del opened  # before the next one is opened: memory is that of one network
    told = [
        {"image": str(path), "classes": _likeliest(sums[at] / len(members), classes, top)}
        for at, path in enumerate(files)
        if at not in refused
    ]
    if refused:
        raise UnreadableImagesError([refused[at] for at in sorted(refused)], told)
    return told


def _rows(opened: TrainedNetwork, files: Sequence[Path], refused: dict[int, DataError]) -> Iterator[tuple[int, Tensor]]:
    """Each image's place and its probabilities K, on the CPU; what cannot be read is put to what was refused."""
    with torch.inference_mode():
        forward = opened.runtime.forward(opened.module)
        for at, path in enumerate(files):
            if at in refused:
                continue
            try:
                image_BCHW = network_images(opened, [path])
            except DataError as error:
                refused[at] = error
                continue
            yield at, forward(opened.runtime.images(image_BCHW)).softmax(dim=1)[0].cpu()


def _likeliest(row: Tensor, classes: tuple[str, ...], top: int) -> list[dict[str, Any]]:
    values, indices = row.topk(min(top, len(row)))
    return [
        {"class": classes[index], "probability": value}
        for value, index in zip(values.tolist(), indices.tolist(), strict=True)
    ]


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Files as they are; of folders the images in them. Raises UsageError where there are none, and for a run."""
    for path in paths:
        if names_runs(path):
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
    return seen_by_network(pixels, names, opened.checked, opened.data, opened.runtime)


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
