"""Parquet in the Hugging Face layout: a column of encoded images, a column of labels. Floor 2.

The one file that imports pyarrow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.dataset import Dataset, Labels
from zoo.data.decoding import Encoded, EncodedSplit
from zoo.data.places import Places
from zoo.data.sources.own import OwnFiles, own_dataset, read_parts
from zoo.data.sources.source import Source
from zoo.diagnostics import counted
from zoo.errors import DataError

_IMAGE_COLUMNS = ("img", "image")
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d+)-of-(?P<count>\d+)\.parquet")
_MOST_NUMBERED = 100_000  # classes, of more than there are images, that numbers alone may make
_LABEL_COLUMNS = ("label", "fine_label", "labels")


class Parquet(OwnFiles):
    """Parquet in the Hugging Face layout: train*, test*, perhaps validation*.parquet; columns img or image, label."""


def open_parquet(arguments: Parquet, places: Places) -> Dataset:
    """A data set of one's own in parquet. Without ``test``, ``validation`` stands in for it."""
    missing = "no parquet files: none of the folders has train*.parquet in it"
    folder = places.find(arguments.path, lambda folder: shards(folder, "train"), missing)
    train, test, held = (shards(folder, split) for split in ("train", "test", "validation"))
    names: list[tuple[str, ...] | None] = []

    def read(part: Sequence[Path]) -> EncodedSplit:
        split, own = read_split(part)
        names.append(own)
        return split

    splits = read_parts(read, (train, test, held), arguments.test, folder)
    classes = names[0] or _numbered(splits[0])
    return own_dataset(folder, splits, classes, arguments, places)


def _numbered(train: EncodedSplit) -> tuple[str, ...]:
    """The classes of a split whose files name none: the numbers up to its largest label.

    Raises DataError where that is no class's: a column of other numbers would make billions of classes.
    """
    largest, count = int(train.labels.argmax()), len(train.labels)
    if train.labels[largest] >= max(count, _MOST_NUMBERED):  # a small part of a set may lack most of its classes
        raise DataError(
            f"{train.images[largest].id}: label {train.labels[largest]} numbers no class of {counted(count, 'image')}",
            notes=["the files name no classes, so their labels have to be 0, 1, 2 and so on"],
            help="number the classes from 0 on, or write their names into the files as Hugging Face's layout does",
        )
    return tuple(str(label) for label in range(int(train.labels[largest]) + 1))


def shards(folder: Path, split: str) -> list[Path]:
    """The parquet files of a split: ``train-00000-of-00002.parquet``, ``train.parquet``, ``data/train-….parquet``.

    They are those of the first folder that has any: the same split may lie there in two forms.
    """
    found = (sorted((folder / sub).glob(f"{split}*.parquet")) for sub in ("", "data", "plain_text"))
    return next(filter(None, found), [])


def _refuse_gaps(paths: Sequence[Path]) -> None:
    """Raises DataError where shards say of how many they are, and one of these is not there."""
    matches = [_SHARD.fullmatch(path.name) for path in paths]
    numbers = {(match["stem"], int(match["count"])): set[int]() for match in matches if match}
    for match in filter(None, matches):
        numbers[match["stem"], int(match["count"])].add(int(match["number"]))
    for (stem, count), there in numbers.items():
        lacking = sorted({*range(count)} - there)
        if lacking:
            example = paths[0].with_name(f"{stem}-{lacking[0]:05d}-of-{count:05d}.parquet")
            also = f", nor are {counted(len(lacking) - 1, 'more shard')}" if lacking[1:] else ""
            raise DataError(f"{example} is not there{also}: the split is not whole", help="download it again")


def _faults() -> tuple[type[Exception], ...]:
    """What pyarrow raises for a file that it cannot read: for a column's name that is no UTF-8, Python's own error."""
    import pyarrow

    return pyarrow.ArrowException, OSError, UnicodeDecodeError


def rows(paths: Sequence[Path]) -> int:
    """How many rows some shards have, by their metadata; those that cannot be read have none."""
    import pyarrow.parquet

    try:
        return sum(pyarrow.parquet.read_metadata(path).num_rows for path in paths)
    except _faults():
        return 0


def first_image(path: Path) -> Encoded | None:
    """The first image of a shard; None where it has none, or cannot be read."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            name = next((name for name in _IMAGE_COLUMNS if name in file.schema_arrow.names), None)
            if name is None:
                return None
            batch = next(file.iter_batches(batch_size=1, columns=[name]), None)
        return _encoded(pyarrow.Table.from_batches([batch]), name, path)[0] if batch is not None else None
    except _faults():
        return None
    except DataError:
        return None


def read_split(paths: Sequence[Path]) -> tuple[EncodedSplit, tuple[str, ...] | None]:
    """The split in these shards, and the classes' names where the files bear them."""
    encoded: list[Encoded] = []
    labels: list[Labels] = []
    names: tuple[str, ...] | None = None
    _refuse_gaps(paths)
    for path in paths:
        table = _read(path)
        image, label = _column(table, _IMAGE_COLUMNS, path), _column(table, _LABEL_COLUMNS, path)
        encoded += _encoded(table, image, path)
        labels.append(_labels(table, label, path))
        names = names or _class_names(table.schema, label)
        del table
        _give_back()
    if not encoded:
        raise DataError(
            f"{paths[0]}: no row in it" + (f", nor in {counted(len(paths) - 1, 'more file')}" if paths[1:] else "")
        )
    return EncodedSplit(encoded, np.concatenate(labels)), names


def is_readable(path: Path) -> bool:
    """Whether a shard can be opened."""
    import pyarrow.parquet

    try:
        pyarrow.parquet.read_schema(path)
    except _faults():
        return False
    return True


def names_of(path: Path) -> tuple[str, ...] | None:
    """The classes' names that a shard bears; None where it bears none, or cannot be read."""
    import pyarrow.parquet

    try:
        schema = pyarrow.parquet.read_schema(path)
        label = next((name for name in _LABEL_COLUMNS if name in schema.names), None)
    except _faults():
        return None
    return _class_names(schema, label) if label is not None else None


def _read(path: Path) -> Any:
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
        _ = table.column_names  # made text of only now
    except _faults() as error:
        raise DataError(f"{path}: not a readable parquet file: {error}", help="download it again") from error
    return table


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
    """The files' bytes in a column. Raises DataError where it holds anything else, or lacks one."""
    import pyarrow

    values = table.column(column)  # in chunks: as one array, over 2 GiB of it do not fit 32-bit offsets
    if pyarrow.types.is_struct(values.type) and values.type.get_field_index("bytes") >= 0:
        values = values.flatten()[values.type.get_field_index("bytes")]  # beside it lies the file's name
    if not (pyarrow.types.is_binary(values.type) or pyarrow.types.is_large_binary(values.type)):
        raise _wrong_type(table, column, path, "encoded images")
    _refuse_nulls(values, column, path, "the file has the images' paths, perhaps, but not their bytes")
    return [Encoded(data, f"{path} row {row}") for row, data in enumerate(values.to_pylist())]


def _labels(table: Any, column: str, path: Path) -> Labels:
    """The class numbers (n) in a column. Raises DataError where it holds anything else, or lacks one."""
    import pyarrow

    values = table.column(column).combine_chunks()
    if pyarrow.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if not (pyarrow.types.is_integer(values.type) or pyarrow.types.is_boolean(values.type)):
        raise _wrong_type(table, column, path, "class numbers")
    _refuse_nulls(values, column, path, "every image needs its class's number")
    labels: Labels = values.to_numpy(zero_copy_only=False).astype(np.int64)
    return labels


def _wrong_type(table: Any, column: str, path: Path, wanted: str) -> DataError:
    ways = {
        "encoded images": "write the image files' bytes into it, PNG or JPEG, as the Hugging Face layout has them",
        "class numbers": "number the classes from 0 on in a column of integers",
    }
    kind = table.schema.field(column).type
    return DataError(
        f"{path}: column {column} holds {kind}, not {wanted}",
        help=f"{ways[wanted]}; or sort the images into folders for data.source: image_folder",
    )


def _refuse_nulls(values: Any, column: str, path: Path, why: str) -> None:
    if values.null_count:
        row = values.is_null().index(True).as_py()
        raise DataError(
            f"{path} row {row}: column {column} is null",
            notes=[f"{values.null_count} of {len(values)} rows are, this is the first", why],
            help="fill them in, or leave these rows out",
        )


def _class_names(schema: Any, column: str) -> tuple[str, ...] | None:
    metadata = (schema.metadata or {}).get(b"huggingface")
    if metadata is None:
        return None
    try:
        names = json.loads(metadata)["info"]["features"][column]["names"]
        return tuple(str(name) for name in names)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


SOURCE = Source("parquet", Parquet, open_parquet)
