"""Parquet in the Hugging Face layout: a column of encoded images, a column of labels. Floor 2.

The one file that imports pyarrow.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from zoo.data.dataset import Dataset, Labels
from zoo.data.decoding import Encoded, EncodedSplit, decode_splits
from zoo.data.places import Places
from zoo.data.sources.source import Source, SourceArguments
from zoo.errors import DataError

_IMAGE_COLUMNS = ("img", "image")
_LABEL_COLUMNS = ("label", "fine_label", "labels")


class Parquet(SourceArguments):
    """Parquet files in the Hugging Face layout: train*.parquet and test*.parquet, columns img or image, and label."""

    path: str | None = Field(
        None, description="the folder that holds the files; looked for in the data places, then here"
    )
    channels: Literal[1, 3] | None = Field(
        None, description="1 makes all images grey, 3 RGB; left out, 3 where any image of any split is in colour"
    )


def open_parquet(arguments: Parquet, places: Places) -> Dataset:
    """A data set of one's own in parquet. Without ``test``, ``validation`` stands in for it."""
    folder = _find(arguments.path, places)
    test = shards(folder, "test") or shards(folder, "validation")
    if not test:
        raise DataError(
            f"{folder}: neither test*.parquet nor validation*.parquet", help="a run is measured on a test split"
        )
    (train, names), (held_out, _) = read_split(shards(folder, "train")), read_split(test)
    splits, skipped = decode_splits([train, held_out], channels=arguments.channels, skip_corrupt=places.skip_corrupt)
    classes = names or tuple(str(label) for label in range(int(train.labels.max()) + 1))
    return Dataset(folder.name, splits[0], splits[1], classes, skipped=skipped, found=str(folder))


def _find(path: str | None, places: Places) -> Path:
    candidates = places.candidates(path)
    for folder in candidates:
        if shards(folder, "train"):
            return folder
    raise DataError(
        "no parquet files: none of the folders has train*.parquet in it",
        code="data-not-found",
        notes=[f"looked at {folder.absolute()}" for folder in candidates],
        help="name their folder with data.path or --data-dir; `zoo run quickstart` needs no data set",
    )


def shards(folder: Path, split: str) -> list[Path]:
    """The parquet files of a split: ``train-00000-of-00002.parquet``, ``train.parquet``, ``data/train-….parquet``."""
    found = (path for sub in ("", "data", "plain_text") for path in sorted((folder / sub).glob(f"{split}*.parquet")))
    return list(dict.fromkeys(found))


def read_split(paths: Sequence[Path]) -> tuple[EncodedSplit, tuple[str, ...] | None]:
    """The split in these shards, and the classes' names where the files bear them."""
    encoded: list[Encoded] = []
    labels: list[Labels] = []
    names: tuple[str, ...] | None = None
    for path in paths:
        table = _read(path)
        image, label = _column(table, _IMAGE_COLUMNS, path), _column(table, _LABEL_COLUMNS, path)
        encoded += _encoded(table, image, path)
        labels.append(table.column(label).to_numpy().astype(np.int64))
        names = names or _class_names(table.schema, label)
        del table
        _give_back()
    return EncodedSplit(encoded, np.concatenate(labels)), names


def names_of(path: Path) -> tuple[str, ...] | None:
    """The classes' names that a shard bears; None where it bears none, or cannot be read."""
    import pyarrow
    import pyarrow.parquet

    try:
        schema = pyarrow.parquet.read_schema(path)
    except (pyarrow.ArrowException, OSError):
        return None
    label = next((name for name in _LABEL_COLUMNS if name in schema.names), None)
    return _class_names(schema, label) if label is not None else None


def _read(path: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable parquet file: {error}", help="download it again") from error


def _give_back() -> None:
    """Lets go of the memory that pyarrow would keep for another file: 250 MiB after CIFAR-10."""
    import pyarrow

    pyarrow.default_memory_pool().release_unused()


def _column(table: Any, candidates: tuple[str, ...], path: Path) -> str:
    for name in candidates:
        if name in table.column_names:
            return name
    raise DataError(
        f"{path}: no column {' or '.join(candidates)}", notes=[f"its columns are {', '.join(table.column_names)}"]
    )


def _encoded(table: Any, column: str, path: Path) -> list[Encoded]:
    values = table.column(column).combine_chunks()
    if hasattr(values, "field"):  # a struct of the file's bytes and its name
        values = values.field("bytes")
    return [Encoded(data, f"{path} row {row}") for row, data in enumerate(values.to_pylist())]


def _class_names(schema: Any, column: str) -> tuple[str, ...] | None:
    metadata = (schema.metadata or {}).get(b"huggingface")
    if metadata is None:
        return None
    try:
        names = json.loads(metadata)["info"]["features"][column]["names"]
        return tuple(str(name) for name in names)
    except (ValueError, KeyError, TypeError):
        return None


SOURCE = Source("parquet", Parquet, open_parquet)
