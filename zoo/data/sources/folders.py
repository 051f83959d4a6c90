"""Image folders: train/CLASS/*.png and test/CLASS/*.png. Floor 2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from zoo.data.dataset import Dataset
from zoo.data.decoding import IMAGE_EXTENSIONS, Encoded, EncodedSplit, decode_splits, images_below
from zoo.data.places import Places
from zoo.data.sources.source import Source, SourceArguments
from zoo.errors import DataError

_VALIDATION_NAMES = ("val", "valid", "validation")


class ImageFolder(SourceArguments):
    """Folders of images, one a class: train/CLASS/… and test/CLASS/…, perhaps val/CLASS/…; images of any size."""

    path: str | None = Field(
        None, description="the folder that holds train and test; looked for in the data places, then here"
    )
    channels: Literal[1, 3] | None = Field(
        None, description="1 makes all images grey, 3 RGB; left out, 3 where any image of any split is in colour"
    )


def class_folders(folder: Path) -> list[Path]:
    """The class folders of a split's folder, sorted by name; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")), key=_name)


def _name(path: Path) -> str:
    return path.name


def find_split(folder: Path, classes: Sequence[str]) -> EncodedSplit:
    """The images below a split's folder, class by class, sorted by name."""
    images: list[Encoded] = []
    labels: list[int] = []
    for path in class_folders(folder):
        if path.name not in classes:
            raise DataError(
                f"{path}: no class of the training split has this name", notes=[f"its classes are {', '.join(classes)}"]
            )
        found = [Encoded(file, str(file)) for file in images_below(path)]
        if not found:
            _refuse_empty(path)
        images += found
        labels += [classes.index(path.name)] * len(found)
    if not images:
        raise DataError(f"{folder}: no images in its class folders")
    return EncodedSplit(images, np.array(labels, dtype=np.int64))


def _refuse_empty(folder: Path) -> None:
    """Raises DataError for a class folder without an image, unless nothing at all is in it outside training."""
    other = next((file for file in sorted(folder.rglob("*")) if file.is_file() and file.name[0] != "."), None)
    if other is None and folder.parent.name != "train":
        return
    known = ", ".join(sorted(IMAGE_EXTENSIONS))
    notes = [f"{other} bears no image's name: known are {known}"] if other is not None else []
    raise DataError(f"{folder}: a class without an image", notes=notes, help="remove the folder, or fill it")


def open_image_folder(arguments: ImageFolder, places: Places) -> Dataset:
    """A data set of one's own in image folders. Without ``test``, ``val`` stands in for it."""
    folder = _find(arguments.path, places)
    classes = tuple(path.name for path in class_folders(folder / "train"))
    held = next((folder / name for name in _VALIDATION_NAMES if class_folders(folder / name)), None)
    test = folder / "test" if class_folders(folder / "test") else held
    if test is None:
        raise DataError(f"{folder}: neither test nor val holds class folders", help="a run is measured on a test split")
    parts = [folder / "train", test] if held in (None, test) else [folder / "train", test, held]
    splits, skipped = decode_splits(
        [find_split(part, classes) for part in parts], channels=arguments.channels, skip_corrupt=places.skip_corrupt
    )
    validation = splits[2] if len(splits) > 2 else None
    return Dataset(folder.name, splits[0], splits[1], classes, validation, skipped, found=str(folder))


def _find(path: str | None, places: Places) -> Path:
    candidates = places.candidates(path)
    for folder in candidates:
        if class_folders(folder / "train"):
            return folder
    raise DataError(
        "no image folders: none of the folders has train/CLASS/… in it",
        code="data-not-found",
        notes=[f"looked at {folder.absolute()}" for folder in candidates],
        help="name their folder with data.path or --data-dir; `zoo run quickstart` needs no data set",
    )


SOURCE = Source("image_folder", ImageFolder, open_image_folder)
