"""What the sources of one's own files have in common: their arguments, which splits there are. Floor 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import numpy as np
from pydantic import Field

from zoo.data.dataset import Dataset
from zoo.data.decoding import decode_splits
from zoo.data.draws import stream_of
from zoo.data.encoded import EncodedSplit
from zoo.data.indexed import Picked
from zoo.data.places import Places
from zoo.data.sources.source import SourceArguments
from zoo.data.splitting import stratified
from zoo.diagnostics import counted
from zoo.errors import DataError

Part = TypeVar("Part")  # where a split lies

_MOST_NUMBERED = 100_000  # classes, of more than there are images, that numbers alone may make
HOLD_OUT = "data.test: 0.2 holds a fifth of each class out for the test; data.folds: 5 needs none"
_TEST = stream_of("test")  # what decides which images are held out, and no seed


class OwnFiles(SourceArguments):
    """Base of the arguments of sources that read one's own files."""

    path: str | None = Field(
        None,
        description="the folder that holds the splits; looked for in the data places, beside the recipe, here",
    )
    channels: Literal[1, 3] | None = Field(
        None, description="1 makes all images grey, 3 RGB; left out, 3 where any image of any split is in colour"
    )
    test: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="share of each class's images that is held out as the test split, the same in every run; for data "
        "without one",
    )


def read_parts(
    read: Callable[[Part], EncodedSplit],
    parts: tuple[Part, Part | None, Part | None],
    share: float | None,
    folder: Path,
    *,
    may_lack_test: bool = False,
) -> list[EncodedSplit]:
    """The training, the test and perhaps a validation split, from where each lies, as far as it is there.

    A ``share`` of the training images of every class makes the test split, the same one whatever the run's seed; with
    none the validation split stands in for a test split that is not there. Raises DataError where there is neither,
    unless there ``may_lack_test``, and where there are both a share and a test split.
    """
    train, test, held = parts
    if share is not None:
        if test:
            raise DataError(
                f"data.test: {folder} brings a test split of its own", help="leave data.test out, or remove that split"
            )
        return [*_divided(read(train), share), *([read(held)] if held else [])]
    measured = test or held
    if not measured and may_lack_test:
        return [read(train)]
    if not measured:
        raise DataError(f"{folder} has a training split alone: nothing to test on", help=HOLD_OUT)
    return [read(part) for part in ([train, measured, held] if test and held else [train, measured])]


def _divided(split: EncodedSplit, share: float) -> tuple[EncodedSplit, EncodedSplit]:
    kept, held = stratified(split.labels, share, _TEST)
    if len(held) == 0:
        raise DataError(f"data.test: {share:g} of {counted(len(kept), 'image')} holds none out")
    one, other = (
        EncodedSplit(Picked(split.images, part), split.labels[part], Picked(split.ids, part)) for part in (kept, held)
    )
    return one, other


def own_dataset(
    folder: Path, splits: Sequence[EncodedSplit], classes: tuple[str, ...], arguments: OwnFiles, places: Places
) -> Dataset:
    """The data set of the splits in the order of :func:`read_parts`. Raises DataError for a corrupt image."""
    decoded, skipped = decode_splits(splits, channels=arguments.channels, skip_corrupt=places.skip_corrupt)
    train, *others = decoded
    test = others[0] if others else train.subset(np.empty(0, dtype=np.int64))
    validation = others[1] if len(others) > 1 else None
    return Dataset(folder.name, train, test, classes, validation, skipped, found=str(folder), folder=folder)


def numbered(train: EncodedSplit, naming: str) -> tuple[str, ...]:
    """The classes of a split whose files name none, as ``naming`` says they could: the numbers up to its largest label.

    Raises DataError where that is no class's: a column of other numbers would make billions of classes.
    """
    largest, count = int(train.labels.argmax()), len(train.labels)
    if train.labels[largest] >= max(count, _MOST_NUMBERED):  # a small part of a set may lack most of its classes
        raise DataError(
            f"{train.ids[largest]}: label {train.labels[largest]} numbers no class of {counted(count, 'image')}",
            notes=["the files name no classes, so their labels have to be 0, 1, 2 and so on"],
            help=f"number the classes from 0 on, or {naming}",
        )
    return tuple(str(label) for label in range(int(train.labels[largest]) + 1))
