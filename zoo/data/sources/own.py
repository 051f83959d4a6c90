"""What the sources of one's own files have in common: their arguments, which splits there are. Floor 2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field

from zoo.data.dataset import Dataset
from zoo.data.decoding import EncodedSplit, decode_splits
from zoo.data.places import Places
from zoo.data.sources.source import SourceArguments
from zoo.errors import DataError

Part = TypeVar("Part")  # where a split lies


class OwnFiles(SourceArguments):
    """Base of the arguments of sources that read one's own files."""

    path: str | None = Field(
        None,
        description="the folder that holds the splits; looked for in the data places, beside the recipe, here",
    )
    channels: Literal[1, 3] | None = Field(
        None, description="1 makes all images grey, 3 RGB; left out, 3 where any image of any split is in colour"
    )


def chosen_parts(train: Part, test: Part | None, held: Part | None, *, missing: str) -> list[Part]:
    """Where the training, the test and perhaps a validation split lie. Without ``test``, ``held`` stands in for it.

    Raises DataError with the message ``missing`` where there is neither.
    """
    measured = test or held
    if not measured:
        raise DataError(missing, help="a run is measured on a test split")
    return [train, measured, held] if test and held else [train, measured]


def own_dataset(
    folder: Path, splits: Sequence[EncodedSplit], classes: tuple[str, ...], arguments: OwnFiles, places: Places
) -> Dataset:
    """The data set of the splits in the order of :func:`chosen_parts`. Raises DataError for a corrupt image."""
    decoded, skipped = decode_splits(splits, channels=arguments.channels, skip_corrupt=places.skip_corrupt)
    validation = decoded[2] if len(decoded) > 2 else None
    return Dataset(folder.name, decoded[0], decoded[1], classes, validation, skipped, found=str(folder), folder=folder)
