"""Image folders: train/CLASS/*.png and test/CLASS/*.png, or CLASS/*.png of which a share is the test split. Floor 2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoo.data.dataset import Dataset
from zoo.data.encoded import IMAGE_EXTENSIONS, EncodedSplit, Files, files_below
from zoo.data.indexed import Joined
from zoo.data.places import Places
from zoo.data.sources.own import HOLD_OUT, OwnFiles, own_dataset, read_parts
from zoo.data.sources.source import Source
from zoo.diagnostics import first_of
from zoo.errors import DataError

_TRAIN = "train"
_VALIDATION_NAMES = ("val", "valid", "validation")


class ImageFolder(OwnFiles):
    """Folders of images, one a class: train/CLASS/… and test/CLASS/…, perhaps val/CLASS/…; or CLASS/… and `test`."""


def class_folders(folder: Path) -> list[Path]:
    """The class folders of a split's folder, sorted by name; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def find_split(folder: Path, classes: Sequence[str], *, is_train: bool) -> EncodedSplit:
    """The images below a split's folder, class by class, sorted by name."""
    numbers = {name: number for number, name in enumerate(classes)}
    parts: list[Files] = []
    labels: list[int] = []
    for path in class_folders(folder):
        if path.name not in numbers:
            raise DataError(
                f"{path}: no class of the training split has this name", notes=[f"its classes are {', '.join(classes)}"]
            )
        found = files_below(path)
        if len(found) == 0:
            _refuse_empty(path, is_train=is_train)
        parts.append(found)
        labels.append(numbers[path.name])
    images = Joined(parts)
    if len(images) == 0:
        raise DataError(f"{folder}: no images in its class folders")
    of_each = np.array([len(part) for part in parts])
    return EncodedSplit(images, np.repeat(np.array(labels, dtype=np.int64), of_each), Joined([p.ids for p in parts]))


def _refuse_empty(folder: Path, *, is_train: bool) -> None:
    """Raises DataError for a class folder without an image, unless nothing at all is in it outside training."""
    other = next((file for file in sorted(folder.rglob("*")) if file.is_file() and file.name[0] != "."), None)
    if other is None and not is_train:
        return
    known = ", ".join(sorted(IMAGE_EXTENSIONS))
    notes = [f"{other} bears no image's name: known are {known}"] if other is not None else []
    raise DataError(f"{folder}: a class without an image", notes=notes, help="remove the folder, or fill it")


def open_image_folder(arguments: ImageFolder, places: Places) -> Dataset:
    """A data set of one's own in image folders. Without ``test``, ``val`` stands in for it.

    With a share for the test split, or folds, the folder may hold the classes themselves.
    """
    takes_classes = arguments.path is not None and (arguments.test is not None or places.may_lack_test)
    missing = "no image folders: none of the folders has train/CLASS/… in it"

    def holds(folder: Path) -> bool:
        return bool(class_folders(folder / _TRAIN)) or (takes_classes and _holds_classes(folder))

    try:
        folder = places.find(arguments.path, holds, missing)
    except DataError as error:
        found = filter(_holds_classes, places.candidates(arguments.path) if arguments.path is not None else ())
        raise _undivided(next(found, None)) or error from None
    train = folder / _TRAIN if class_folders(folder / _TRAIN) else folder
    classes = tuple(path.name for path in class_folders(train))
    test, *held = (_if_split(folder / name) for name in ("test", *_VALIDATION_NAMES))
    parts = (train, test, next(filter(None, held), None))

    def read(part: Path) -> EncodedSplit:
        return find_split(part, classes, is_train=part == train)

    splits = read_parts(read, parts, arguments.test, folder, may_lack_test=places.may_lack_test)
    return own_dataset(folder, splits, classes, arguments, places)


def _holds_classes(folder: Path) -> bool:
    """Whether a folder holds those of classes, not of splits."""
    found = class_folders(folder)
    if any(path.name in (_TRAIN, "test", *_VALIDATION_NAMES) for path in found):
        return False
    return any(file.suffix.lower() in IMAGE_EXTENSIONS for path in found for file in path.rglob("*"))


def _undivided(folder: Path | None) -> DataError | None:
    """What is said of a folder of classes for which no share is asked for."""
    if folder is None:
        return None
    names = first_of([path.name for path in class_folders(folder)[:4]], len(class_folders(folder)))
    message = f"{folder} holds folders of classes ({names}), but no train and test to hold them"
    return DataError(message, code="data-not-found", help=HOLD_OUT)


def _if_split(folder: Path) -> Path | None:
    return folder if class_folders(folder) else None


SOURCE = Source("image_folder", ImageFolder, open_image_folder)
