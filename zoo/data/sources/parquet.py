"""Parquet in the Hugging Face layout: a column of encoded images, a column of labels. Floor 2.

The one file that imports pyarrow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.data.dataset import Dataset, Labels
from zoo.data.draws import Integers
from zoo.data.encoded import MOST_BYTES, Encoded, EncodedSplit, Rows, row_ids
from zoo.data.indexed import Joined
from zoo.data.places import Places
from zoo.data.sources.own import OwnFiles, numbered, own_dataset, read_parts
from zoo.data.sources.source import Source
from zoo.data.sources.unpacking import Batch, Table, Unpacked
from zoo.diagnostics import counted
from zoo.errors import DataError

_IMAGE_COLUMNS = ("img", "image")
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d+)-of-(?P<count>\d+)\.parquet")
_LABEL_COLUMNS = ("label", "fine_label", "labels")
_NAMING = "write their names into the files as Hugging Face's layout does"
_BUFFER = 1 << 20  # bytes of a compressed column that are read at a time
_BATCH_BYTES = 1 << 25  # of images, about, that are unpacked at a time


class Parquet(OwnFiles):
    """Parquet in the Hugging Face layout: train*, test*, perhaps validation*.parquet; columns img or image, label."""


def open_parquet(arguments: Parquet, places: Places) -> Dataset:
    """A data set of one's own in parquet. Without ``test``, ``validation`` stands in for it.

    Of more than ``MOST_BYTES`` of encoded images none are kept in memory: they are unpacked into the cache.
    """
    missing = "no parquet files: none of the folders has train*.parquet in it"
    folder = places.find(arguments.path, lambda folder: shards(folder, "train"), missing)
    parts = train, test, held = tuple(shards(folder, split) for split in ("train", "test", "validation"))
    for part in parts:
        _refuse_gaps(part)
    sizes = {path: image_bytes(path) for part in parts for path in part}
    size, unpacked = sum(sizes.values()), None
    if size > MOST_BYTES:
        tables = [Table(path, size, partial(_unpack, path)) for path, size in sizes.items()]
        unpacked = Unpacked(folder, tables, quiet=places.quiet)
    splits = read_parts(
        partial(_split, unpacked), (train, test, held), arguments.test, folder, may_lack_test=places.may_lack_test
    )
    classes = _names_in(train) or numbered(splits[0], _NAMING)
    dataset = own_dataset(folder, splits, classes, arguments, places)
    if unpacked is None:
        return dataset
    note = f"{size / 1e9:,.1f} GB of images are too many for memory: they are read one by one, from {unpacked.folder}"
    return replace(dataset, notes=(note,))


def _split(unpacked: Unpacked | None, paths: Sequence[Path]) -> EncodedSplit:
    split = unpacked.split(paths) if unpacked is not None else _in_memory(paths)
    if len(split.labels) == 0:
        raise DataError(
            f"{paths[0]}: no row in it" + (f", nor in {counted(len(paths) - 1, 'more file')}" if paths[1:] else "")
        )
    return split


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


def image_bytes(path: Path) -> int:
    """How many bytes a file's column of images has, by its metadata; 0 where it has none, or cannot be read."""
    import pyarrow.parquet

    try:
        metadata = pyarrow.parquet.read_metadata(path)
        groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
        columns = [group.column(column) for group in groups for column in range(group.num_columns)]
        return sum(column.total_uncompressed_size for column in columns if _is_of_images(column.path_in_schema))
    except _faults():
        return 0


def _is_of_images(path: str) -> bool:
    column, _, rest = path.partition(".")
    return column in _IMAGE_COLUMNS and rest in ("", "bytes")


def first_image(path: Path) -> Encoded | None:
    """The first image of a shard; None where it has none, or cannot be read."""
    try:
        shard = _Shard.of(path)
        batch = next(_rows(shard, shard.batches(1)), None)
    except DataError:
        return None
    return Encoded(b"".join(data.tobytes() for data in batch.data), f"{path} row 0") if batch is not None else None


def read_split(paths: Sequence[Path]) -> EncodedSplit:
    """The split in these shards, all of it in memory. Raises DataError."""
    _refuse_gaps(paths)
    return _split(None, paths)


def _in_memory(paths: Sequence[Path]) -> EncodedSplit:
    parts: list[Rows] = []
    labels: list[Labels] = []
    for path in paths:
        shard = _Shard.of(path)
        for batch in _rows(shard, shard.whole()):
            data = np.concatenate(batch.data) if batch.data else np.empty(0, dtype=np.uint8)
            parts.append(Rows(path, data, np.cumsum(batch.sizes)))
            labels.append(batch.labels)
        _give_back()
    ids = Joined([row_ids(part.path, len(part)) for part in parts])
    return EncodedSplit(Joined(parts), np.concatenate(labels), ids)


def _unpack(path: Path) -> Iterator[Batch]:
    """The rows of a file, some at a time."""
    shard = _Shard.of(path)
    few = max(1, _BATCH_BYTES * rows([path]) // max(1, image_bytes(path)))
    yield from _rows(shard, shard.batches(few))
    _give_back()


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


def _names_in(paths: Sequence[Path]) -> tuple[str, ...] | None:
    """The classes' names that the first shard with any bears."""
    return next(filter(None, map(names_of, paths)), None)


def _give_back() -> None:
    """Lets go of the memory that pyarrow would keep for another file: 250 MiB after CIFAR-10."""
    import pyarrow

    pyarrow.default_memory_pool().release_unused()


@dataclass(frozen=True)
class _Shard:
    """A file's columns of images and of labels, both of types that can be such."""

    path: Path
    image: str
    label: str

    @classmethod
    def of(cls, path: Path) -> _Shard:
        """Those of a file. Raises DataError where it cannot be read, or has no such columns."""
        import pyarrow.parquet

        try:
            schema = pyarrow.parquet.read_schema(path)
            names = schema.names  # made text of only now
        except _faults() as error:
            raise _unreadable(path, error) from error
        shard = cls(path, _column(names, _IMAGE_COLUMNS, path), _column(names, _LABEL_COLUMNS, path))
        _refuse_wrong_types(schema, shard)
        return shard

    def whole(self) -> Iterator[Any]:
        """All rows at once: several threads unpack them."""
        import pyarrow.parquet

        try:
            table = pyarrow.parquet.read_table(self.path, columns=[self.image, self.label])
        except _faults() as error:
            raise _unreadable(self.path, error) from error
        yield table

    def batches(self, count: int) -> Iterator[Any]:
        """The rows, so many at a time, in memory that does not grow with the file."""
        import pyarrow
        import pyarrow.parquet

        try:
            # Read ahead, the whole of a row group lies in memory: 1.3 GB of a file that is one.
            with pyarrow.parquet.ParquetFile(self.path, buffer_size=_BUFFER, pre_buffer=False) as file:
                for batch in file.iter_batches(count, columns=[self.image, self.label], use_threads=False):
                    yield pyarrow.Table.from_batches([batch])
        except _faults() as error:
            raise _unreadable(self.path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: not a readable parquet file: {error}", help="download it again")


def _column(names: list[str], candidates: tuple[str, ...], path: Path) -> str:
    for name in candidates:
        if names.count(name) > 1:
            raise DataError(f"{path}: {names.count(name)} columns are called {name}", help="leave all but one out")
        if name in names:
            return name
    raise DataError(f"{path}: no column {' or '.join(candidates)}", notes=[f"its columns are {', '.join(names)}"])


def _rows(shard: _Shard, tables: Iterable[Any]) -> Iterator[Batch]:
    """The rows of a file, table by table. Raises DataError at its end, where one of them lacks its image or label."""
    images = _Nulls(shard.path, shard.image, "the file has the images' paths, perhaps, but not their bytes")
    classes = _Nulls(shard.path, shard.label, "every image needs its class's number")
    for table in tables:
        files, labels = _files(table.column(shard.image)), table.column(shard.label)
        images.see(files)
        classes.see(labels)
        if images.first is None and classes.first is None:
            parts = [_bytes(chunk) for chunk in files.chunks]
            sizes = np.concatenate([np.empty(0, dtype=np.int64), *(sizes for _, sizes in parts)])
            yield Batch([data for data, _ in parts], sizes, _labels(labels))
    images.refuse()
    classes.refuse()


def _files(values: Any) -> Any:
    """The files' bytes in a column; beside them may lie the files' names."""
    import pyarrow

    if not pyarrow.types.is_struct(values.type):
        return values
    # In chunks: as one array, over 2 GiB of it do not fit 32-bit offsets.
    return values.flatten()[values.type.get_field_index("bytes")]


def _bytes(chunk: Any) -> tuple[npt.NDArray[np.uint8], Integers]:
    """An array of files as it lies in memory: the bytes of all, one behind the other, and how many each has."""
    import pyarrow

    _, offsets, data = chunk.buffers()
    width = np.int64 if pyarrow.types.is_large_binary(chunk.type) else np.int32
    ends = (
        np.frombuffer(offsets, width)[chunk.offset : chunk.offset + len(chunk) + 1]
        if len(chunk)
        else np.zeros(1, width)
    )
    content = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, dtype=np.uint8)
    return content[ends[0] : ends[-1]], np.diff(ends).astype(np.int64)


def _labels(values: Any) -> Labels:
    """The class numbers (n) in a column."""
    import pyarrow

    values = values.combine_chunks()
    if pyarrow.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    labels: Labels = values.to_numpy(zero_copy_only=False).astype(np.int64)
    return labels


def _refuse_wrong_types(schema: Any, shard: _Shard) -> None:
    """Raises DataError where the column of images holds no bytes, or that of labels no whole numbers."""
    from pyarrow import types

    image, label = schema.field(shard.image).type, schema.field(shard.label).type
    if types.is_struct(image) and image.get_field_index("bytes") >= 0:
        image = image.field("bytes").type
    if not (types.is_binary(image) or types.is_large_binary(image)):
        raise _wrong_type(schema, shard.image, shard.path, "encoded images")
    label = label.value_type if types.is_dictionary(label) else label
    if not (types.is_integer(label) or types.is_boolean(label)):
        raise _wrong_type(schema, shard.label, shard.path, "class numbers")


def _wrong_type(schema: Any, column: str, path: Path, wanted: str) -> DataError:
    ways = {
        "encoded images": "write the image files' bytes into it, PNG or JPEG, as the Hugging Face layout has them",
        "class numbers": "number the classes from 0 on in a column of integers",
    }
    kind = schema.field(column).type
    return DataError(
        f"{path}: column {column} holds {kind}, not {wanted}",
        help=f"{ways[wanted]}; or sort the images into folders for data.source: image_folder",
    )


class _Nulls:
    """Counts the rows of a file in which a column is null; ``first`` is the number of the first one."""

    def __init__(self, path: Path, column: str, why: str) -> None:
        self._path, self._column, self._why = path, column, why
        self.first: int | None = None
        self._count = self._rows = 0

    def see(self, values: Any) -> None:
        """Takes the rows that follow."""
        if values.null_count and self.first is None:
            self.first = self._rows + values.is_null().index(True).as_py()
        self._count += values.null_count
        self._rows += len(values)

    def refuse(self) -> None:
        """Raises DataError if there was one."""
        if self.first is not None:
            raise DataError(
                f"{self._path} row {self.first}: column {self._column} is null",
                notes=[f"{self._count} of {self._rows} rows are, this is the first", self._why],
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
