"""The samples of an uncompressed tar as WebDataset packs them: where each image lies, and its label. Floor 2; no torch.

A sample is the members that follow each other under one KEY: ``KEY.jpg`` and ``KEY.cls``, a number as text, or
``KEY.json`` with ``label`` or ``cls``; where both are there the former counts, and the JSON tells of other things. The
KEY ends at the first dot of the file's name (https://github.com/webdataset/webdataset).
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.encoded import IMAGE_EXTENSIONS
from zoo.data.indexed import Names
from zoo.data.sources.kept import Index
from zoo.errors import DataError

_MOST_LABEL_BYTES = 1 << 20  # of a .cls or .json: a larger one is no label
_MOST_LABEL = 1 << 53  # what numbers have to lie below in JSON to be whole
_BLOCK = 512  # zero bytes, at least, that a tar ends with
_PADDING = 1 << 15  # bytes behind the last member that are looked at: tars are filled up to 10 KiB
_COMPRESSED = {b"\x1f\x8b": "gzip -d", b"BZ": "bzip2 -d", b"\xfd7": "xz -d", b"\x28\xb5": "zstd -d"}


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    start: int
    size: int

    @property
    def key(self) -> str:
        """What the members of its sample have in common."""
        folder, slash, name = self.name.rpartition("/")
        return f"{folder}{slash}{name.partition('.')[0]}"

    @property
    def suffix(self) -> str:
        """What comes behind the key, in lower case, with its dot."""
        return self.name[len(self.key) :].lower()


@dataclass
class _Sample:
    """Members of one key, by what they are."""

    key: str
    images: list[_Member] = field(default_factory=list)
    labels: dict[str, list[_Member]] = field(default_factory=dict)  # by suffix


def index_tar(path: Path) -> Index:
    """Where the images of a tar lie, with their labels and names: one walk along its headers.

    Raises DataError for an archive that is compressed, damaged or cut short, and for a sample without a label.
    """
    try:
        with path.open("rb") as file:
            _refuse_compressed(path, file.read(2))
            rows = [_row(sample, path, file.fileno()) for sample in _samples(_members(path), path)]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    images, labels = [image for image, _ in rows], [label for _, label in rows]
    return Index(
        np.array([image.start for image in images], dtype=np.int64),
        np.array([image.size for image in images], dtype=np.int64),
        np.array(labels, dtype=np.int64),
        Names.of([image.name for image in images]),
    )


def _refuse_compressed(path: Path, begin: bytes) -> None:
    if begin in _COMPRESSED:
        raise compressed(path, _COMPRESSED[begin])


def compressed(path: Path, command: str = "gzip -d") -> DataError:
    """What is said of a tar whose members cannot be reached without unpacking all that lies before them."""
    return DataError(
        f"{path} is compressed: no image in it can be read without unpacking all before it",
        notes=["JPEG and PNG files are compressed already: as a plain tar the set is hardly larger"],
        help=f"unpack the archives, not what is in them: {command} FILE",
    )


def _members(path: Path) -> Iterator[_Member]:
    """The files of a tar in their order, hidden ones left out. Raises DataError for what is no plain file or folder."""
    try:
        with tarfile.open(path, "r:") as archive:
            size = path.stat().st_size
            for member in archive:
                archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                if not (member.isreg() or member.isdir()) or member.issparse():
                    raise DataError(f"{path}: refused: its member {member.name!r} is a link, a device or sparse")
                if (
                    member.isreg() and not 0 <= member.size <= size - member.offset_data
                ):  # one below 0 leads in a circle
                    raise _damaged(path, f"its member {member.name!r} has {member.size:,} bytes, as it says")
                if member.isreg() and not member.name.rpartition("/")[2].startswith("."):
                    yield _Member(member.name, member.offset_data, member.size)
            _refuse_torn(path, archive.offset)
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        # Names and the like that are longer than the file are read, and headers about headers are followed.
        raise _damaged(path, str(error) or "a header is larger than memory") from error


def _refuse_torn(path: Path, end: int) -> None:
    """Raises DataError where a tar does not end as one does; Python's reader takes damage for the end."""
    with path.open("rb") as file:
        file.seek(end)
        rest = file.read(_PADDING)
    if len(rest) < _BLOCK:
        raise _damaged(path, "it is cut short")
    behind = len(rest) - len(rest.lstrip(b"\0"))
    if behind < _BLOCK:
        raise _damaged(path, f"no member's header at byte {end:,}")
    if behind < len(rest):
        raise _damaged(path, f"more follows behind its end, from byte {end + behind:,} on")


def _damaged(path: Path, why: str) -> DataError:
    return DataError(f"{path}: not a readable tar: {why}", help="download it again")


def _samples(members: Iterator[_Member], path: Path) -> Iterator[_Sample]:
    """The samples that have an image. Raises DataError where one has several, or labels, or a label and no image."""
    for key, together in groupby(members, key=lambda member: member.key):
        sample = _Sample(key)
        for member in together:
            if member.suffix in IMAGE_EXTENSIONS:
                sample.images.append(member)
            elif member.suffix in (".cls", ".json"):
                sample.labels.setdefault(member.suffix, []).append(member)
        if not sample.images and ".cls" in sample.labels:
            raise DataError(f"{path}/{sample.labels['.cls'][0].name}: a label without an image", help=_HELP)
        if sample.images:
            _refuse_second(sample.images, "image", path)
            for labels in sample.labels.values():
                _refuse_second(labels, "label", path)
            yield sample


def _refuse_second(members: list[_Member], what: str, path: Path) -> None:
    if len(members) > 1:
        first, second, *_ = members
        raise DataError(f"{path}/{first.name}: its sample has another {what}, {second.name}", help=_HELP)


_HELP = "a sample is one image and its label, side by side: KEY.jpg, KEY.cls"


def _row(sample: _Sample, path: Path, descriptor: int) -> tuple[_Member, int]:
    (image,) = sample.images
    labels = sample.labels.get(".cls") or sample.labels.get(".json")
    if not labels:
        raise DataError(f"{path}/{image.name}: no label beside it", help=_HELP)
    (member,) = labels
    text = os.pread(descriptor, min(member.size, _MOST_LABEL_BYTES), member.start)
    label = _number(text) if member.suffix == ".cls" else _number_in(text)
    if label is None:
        what = "a number" if member.suffix == ".cls" else "a mapping with a number as label or cls"
        shown = text[:40].decode(errors="replace")
        raise DataError(
            f"{path}/{member.name}: not {what}: {shown!r}", help="number the classes from 0 on, one number to a file"
        )
    return image, label


def _number(text: bytes) -> int | None:
    stripped = text.strip()
    is_number = len(stripped) < 16 and stripped.removeprefix(b"-").isdigit()
    return int(stripped) if is_number else None


def _number_in(text: bytes) -> int | None:
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found = content.get("label", content.get("cls")) if isinstance(content, dict) else None
    is_number = isinstance(found, int) and not isinstance(found, bool) and abs(found) < _MOST_LABEL
    return found if is_number else None
