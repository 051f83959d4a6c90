"""Parquet that is too large for memory: its images are written once into files that can be read at random. Floor 2.

Parquet's pages are compressed, and a row can be had only by unpacking what lies before it. What is kept in the cache is
plain: for each file one with the images' bytes, one behind the other, and an index.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from zoo.data.dataset import Labels
from zoo.data.draws import Integers
from zoo.data.encoded import EncodedSplit, Spans, facts_at, row_ids
from zoo.data.indexed import Joined
from zoo.data.places import CACHE_VARIABLE
from zoo.data.progress import bar, tell
from zoo.data.sources.kept import Index, Kept
from zoo.diagnostics import counted
from zoo.disk import disk_faults, draft_of, fsync_folder, require_space


@dataclass(frozen=True)
class Batch:
    """Some rows: the images' bytes, one behind the other, how many each has, and the labels (n)."""

    data: Sequence[npt.NDArray[np.uint8]]
    sizes: Integers
    labels: Labels


@dataclass(frozen=True)
class Table:
    """A file of rows as :class:`Unpacked` takes it: about how many bytes its images have, and how it is read."""

    path: Path
    size: int
    read: Callable[[], Iterator[Batch]]


class Unpacked:
    """The images of a data set's tables as they lie in the cache, where they are written if they are not there.

    Several processes may ask for them at once: one writes, the others wait. Each file gets its name when it is whole,
    so that what was broken off goes on with the next.
    """

    def __init__(self, folder: Path, tables: Sequence[Table], *, quiet: bool) -> None:
        self._source, self._tables, self._quiet = folder, tables, quiet
        self._kept = Kept("parquet", folder)
        self._facts = {table.path: facts_at(table.path) for table in tables}
        self._places = {path: self._kept.place(path, facts) for path, facts in self._facts.items()}
        self._indices: dict[Path, Index] = {}

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self._kept.folder

    def split(self, paths: Sequence[Path]) -> EncodedSplit:
        """The rows of some of the tables. Raises DataError, and EnvironmentFault where they cannot be written."""
        if self._missing():
            with self._kept.held(tell):
                self._write(self._missing())
        parts = [self._spans(path) for path in paths]
        labels = np.concatenate([self._indices[path].labels for path in paths])
        return EncodedSplit(Joined(parts), labels, Joined([part.ids for part in parts]))

    def _missing(self) -> list[Table]:
        """The tables that are not kept whole; the indices of the others are read."""
        for path, place in self._places.items():
            index = Index.read(place) if path not in self._indices else None
            if index is not None and _size(_images(place)) == index.sizes.sum():
                self._indices[path] = index
        return [table for table in self._tables if table.path not in self._indices]

    def _spans(self, path: Path) -> Spans:
        place, index = self._places[path], self._indices[path]
        size, time = self._facts[path]
        ids, mark = row_ids(path, len(index.sizes)), f"{path} {size} {time}"
        return Spans(_images(place), index.starts, index.sizes, facts_at(_images(place)), ids, mark)

    def _write(self, tables: Sequence[Table]) -> None:
        """Writes those that are missing, then removes what was made of files that have changed or are gone."""
        if not tables:
            return
        size = sum(table.size for table in tables)
        help = f"free some space, or name a folder on another disk for zoo's cache with ${CACHE_VARIABLE}"
        require_space(self.folder, size, f"what is to be unpacked of {self._source}", help=help)
        if self._kept.outdated(self._places.values()):
            tell(f"{self._source} has changed since it was unpacked")
        files = counted(len(tables), "parquet file")
        tell(f"unpacking {files} of {self._source}, {size / 1e9:,.1f} GB, to {self.folder}")
        with bar(size, quiet=self._quiet) as advance:
            for table in tables:
                place = self._places[table.path]
                index = _write_images(_images(place), table.read(), advance)
                index.write(place)
                self._indices[table.path] = index
        self._kept.sweep(self._places.values())


def _images(place: Path) -> Path:
    """The file of images that an index is of."""
    return place.with_suffix(".images")


def _size(path: Path) -> int:
    """The bytes of a file; -1 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _write_images(path: Path, batches: Iterable[Batch], advance: Callable[[int], None]) -> Index:
    """Writes a file of images, whole or not at all, and says where each lies. Raises EnvironmentFault."""
    sizes: list[Integers] = []
    labels: list[Labels] = []
    draft = draft_of(path)
    try:
        with disk_faults(path), draft.open("wb") as file:
            for batch in batches:
                for data in batch.data:
                    file.write(data.data)
                sizes.append(batch.sizes)
                labels.append(batch.labels)
                advance(int(batch.sizes.sum()))
            file.flush()
            os.fsync(file.fileno())
        with disk_faults(path):
            draft.replace(path)
            fsync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)
    of_all = np.concatenate([np.empty(0, dtype=np.int64), *sizes])
    return Index(np.cumsum(of_all) - of_all, of_all, np.concatenate([np.empty(0, dtype=np.int64), *labels]))
