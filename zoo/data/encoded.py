"""Image files before they are decoded, a million of them in arrays: in memory, in files of their own, or inside larger
ones, which are read at random. Floor 2; no torch.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from zoo.data.dataset import Labels
from zoo.data.draws import Integers
from zoo.data.indexed import Indexed, Made, Names
from zoo.errors import DataError

IMAGE_EXTENSIONS = frozenset({
    ".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp",
})  # fmt: skip
MOST_BYTES = 2 << 30  # of a set's images that are kept in memory, encoded or decoded; more are read as they are needed

Facts = tuple[int, int]  # a file's size in bytes and its time in ns, with which its content is taken to go


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a file, which is still as large and as old as when the part was found.

    It is read and not mapped: a disk that fails, or a file that was cut short, is then an error and not a SIGBUS, and
    the pages that were read count as the system's memory, not as this process's.
    """

    path: Path
    start: int
    size: int
    facts: Facts  # the whole file's

    def open(self) -> BinaryIO:
        """Its bytes as a file. Raises OSError, of a file that is another by now too."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        window = _Window(descriptor, self.start, self.size)
        if facts_of(os.fstat(descriptor)) != self.facts:
            window.close()
            raise OSError(errno.ESTALE, f"{self.path} is not the file that was opened: it has changed since")
        return io.BufferedReader(window, io.DEFAULT_BUFFER_SIZE)


class _Window(io.RawIOBase):
    """A part of an open file, as a file. No other reader's position is touched: processes share a descriptor's."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        self._descriptor, self._start, self._size, self._at = descriptor, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self._read(self._size)

    def _read(self, count: int) -> bytes:
        data = os.pread(self._descriptor, max(0, min(count, self._size - self._at)), self._start + self._at)
        self._at += len(data)
        return data

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


@dataclass(frozen=True, slots=True)
class Encoded:
    """An image file's bytes, or where they are, and what messages call it.

    ``mark`` tells it from another without reading it; where there is none, its content does.
    """

    data: bytes | Path | str | Span = field(repr=False)  # of a million, a path that is not asked for is a text
    id: str
    mark: str = field(default="", repr=False)

    def open(self) -> BinaryIO:
        """Its bytes, to be read once from front to back. Raises OSError."""
        if isinstance(self.data, bytes):
            return io.BytesIO(self.data)
        return self.data.open() if isinstance(self.data, Span) else Path(self.data).open("rb")

    def digest(self) -> str:
        """What tells this file from another without decoding it. Raises DataError where it cannot be read."""
        if self.mark:
            return self.mark
        try:
            with self.open() as stream:
                return hashlib.sha256(stream.read()).hexdigest()
        except OSError as error:
            raise DataError(f"{self.id}: cannot be read: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class EncodedSplit:
    """A split as it was found: image files, none of them decoded yet, and their labels (n).

    ``ids`` are what messages call the images, for whoever wants to keep these alone.
    """

    images: Indexed[Encoded]
    labels: Labels
    ids: Indexed[str]

    @classmethod
    def of(cls, images: list[Encoded], labels: Labels) -> EncodedSplit:
        """The split of a few images."""
        return cls(images, labels, [image.id for image in images])


@dataclass(frozen=True)
class Files:
    """Files of a folder by their paths in it, with their sizes in bytes and times in ns (n) as they were found."""

    folder: str
    names: Names
    sizes: Integers
    times: Integers

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Encoded:
        path = self.id(index)
        return Encoded(path, path, f"{path} {self.sizes[index]} {self.times[index]}")

    def id(self, index: int) -> str:
        """The path of a file."""
        return f"{self.folder}{os.sep}{self.names[index]}"

    @property
    def ids(self) -> Indexed[str]:
        """The paths of all."""
        return Made(self.id, len(self))


@dataclass(frozen=True)
class Rows:
    """The images of a column: their bytes in memory, one behind the other, and where each ends (n)."""

    path: Path  # of the file that the column is in
    data: npt.NDArray[np.uint8]
    ends: Integers

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> Encoded:
        start = int(self.ends[index - 1]) if index else 0
        return Encoded(self.data[start : int(self.ends[index])].tobytes(), row_id(self.path, index))


@dataclass(frozen=True)
class Spans:
    """Parts of one file, by their first bytes and their sizes (n).

    ``mark`` tells it, or what it was made of, from others.
    """

    path: Path
    starts: Integers
    sizes: Integers
    facts: Facts
    ids: Indexed[str]
    mark: str

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> Encoded:
        span = Span(self.path, int(self.starts[index]), int(self.sizes[index]), self.facts)
        return Encoded(span, self.ids[index], f"{self.mark} {index}")


def row_id(path: Path, row: int) -> str:
    """What messages call an image in a row of a file."""
    return f"{path} row {row}"


def row_ids(path: Path, count: int) -> Indexed[str]:
    """What messages call the images in all rows of a file."""
    return Made(partial(row_id, path), count)


def facts_of(status: os.stat_result) -> Facts:
    """The facts of a file."""
    return status.st_size, status.st_mtime_ns


def facts_at(path: Path | os.DirEntry[str]) -> Facts:
    """The :func:`facts_of` a file. Raises DataError."""
    try:
        return facts_of(path.stat())
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot be read: {error.strerror or error}") from error


def images_below(folder: Path) -> Iterator[Path]:
    """The images below a folder by their names, sorted; hidden files, and those in hidden folders, are none.

    Raises DataError for a folder that cannot be read.
    """
    return (Path(entry.path) for entry in _entries(str(folder), _is_image))


def files_below(folder: Path) -> Files:
    """The :func:`images_below` a folder, with what the system knows of each. Raises DataError."""
    root = str(folder)
    entries = [(entry.path[len(root) + 1 :], *facts_at(entry)) for entry in _entries(root, _is_image)]
    names, sizes, times = zip(*entries, strict=True) if entries else ((), (), ())
    return Files(root, Names.of(names), np.array(sizes, dtype=np.int64), np.array(times, dtype=np.int64))


def _is_image(name: str) -> bool:
    stem, dot, suffix = name.rpartition(".")  # a million names are not worth a Path each
    return bool(stem) and f"{dot}{suffix}".lower() in IMAGE_EXTENSIONS


def _entries(folder: str, wanted: Callable[[str], bool]) -> Iterator[os.DirEntry[str]]:
    """The files below a folder, in the order of the parts of their paths. Links to folders are not followed."""
    try:
        with os.scandir(folder) as listing:
            found = sorted((entry for entry in listing if entry.name[0] != "."), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror or error}") from error
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path, wanted)
        elif wanted(entry.name) and _is_file(entry):
            yield entry


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or leads to one; a link in a circle leads nowhere."""
    try:
        return entry.is_file()
    except OSError:
        return False
