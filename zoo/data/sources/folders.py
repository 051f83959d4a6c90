"""Image folders: train/CLASS/*.png and test/CLASS/*.png. Floor 2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoo.data.dataset import Dataset
from zoo.data.decoding import IMAGE_EXTENSIONS, Encoded, EncodedSplit, images_below
from zoo.data.places import Places
from zoo.data.sources.own import OwnFiles, chosen_parts, own_dataset
from zoo.data.sources.source import Source
from zoo.errors import DataError

_VALIDATION_NAMES = ("val", "valid", "validation")


class ImageFolder(OwnFiles):
    """Folders of images, one a class: train/CLASS/… and test/CLASS/…, perhaps val/CLASS/…; images of any size."""


def class_folders(folder: Path) -> list[Path]:
    """The class folders of a split's folder, sorted by name; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


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
    missing = "no image folders: none of the folders has train/CLASS/… in it"
    folder = places.find(arguments.path, lambda folder: class_folders(folder / "train"), missing)
    classes = tuple(path.name for path in class_folders(folder / "train"))
    test, *held = (_if_split(folder / name) for name in ("test", *_VALIDATION_NAMES))
    parts = chosen_parts(
        folder / "train",
        test,
        next(filter(None, held), None),
        missing=f"{folder}: neither test nor val holds class folders",
    )
    return own_dataset(folder, [find_split(part, classes) for part in parts], classes, arguments, places)


def _if_split(folder: Path) -> Path | None:
    return folder if class_folders(folder) else None


SOURCE = Source("image_folder", ImageFolder, open_image_folder)
