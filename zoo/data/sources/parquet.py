"""Parquet in the Hugging Face layout: a column of encoded images, a column of labels. Floor 2.

The one file that imports pyarrow.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.dataset import Labels, Split
from zoo.data.decoding import Encoded, decode_all
from zoo.errors import DataError

_IMAGE_COLUMNS = ("img", "image")
_LABEL_COLUMNS = ("label", "fine_label", "labels")


def shards(folder: Path, split: str) -> list[Path]:
    """The parquet files of a split: ``train-00000-of-00002.parquet``, ``train.parquet``, ``data/train-….parquet``."""
    found = (path for sub in ("", "data", "plain_text") for path in sorted((folder / sub).glob(f"{split}*.parquet")))
    return list(dict.fromkeys(found))


def read_split(paths: Sequence[Path], skip_corrupt: int = 0) -> tuple[Split, tuple[str, ...] | None, tuple[str, ...]]:
    """The split in these shards, the classes' names where the files bear them, and the images skipped."""
    encoded: list[Encoded] = []
    labels: list[Labels] = []
    names: tuple[str, ...] | None = None
    for path in paths:
        table = _read(path)
        image, label = _column(table, _IMAGE_COLUMNS, path), _column(table, _LABEL_COLUMNS, path)
        encoded += _encoded(table, image, path)
        labels.append(table.column(label).to_numpy().astype(np.int64))
        names = names or _class_names(table, label)
    split, skipped = decode_all(encoded, np.concatenate(labels), skip_corrupt)
    return split, names, skipped


def _read(path: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable parquet file: {error}", help="download it again") from error


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


def _class_names(table: Any, column: str) -> tuple[str, ...] | None:
    metadata = (table.schema.metadata or {}).get(b"huggingface")
    if metadata is None:
        return None
    try:
        names = json.loads(metadata)["info"]["features"][column]["names"]
        return tuple(str(name) for name in names)
    except (ValueError, KeyError, TypeError):
        return None
