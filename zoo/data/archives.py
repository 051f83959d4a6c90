"""Reads files out of tar archives without unpacking anything to disk, and trusts no archive. Floor 2; no torch."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from zoo.errors import DataError

MOST_BYTES = 1 << 30  # of an archive's members together, as they declare themselves
MOST_MEMBERS = 10_000


def read_members(path: Path, names: Collection[str]) -> dict[str, bytes]:
    """The archive's files of these names (folders aside), by name.

    Raises DataError for a member that leaves the archive's folder, a link or a device, too many or too large members,
    a broken archive. Nothing is written anywhere.
    """
    try:
        with tarfile.open(path) as archive:
            return dict(_wanted(archive, path, names))
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: not a readable archive: {error}", help="remove it and download it again") from error


def _wanted(archive: tarfile.TarFile, path: Path, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    total = 0
    for count, member in enumerate(archive):
        _check(member, path)
        total += member.size
        if total > MOST_BYTES or count >= MOST_MEMBERS:
            raise DataError(f"{path}: refused: over {MOST_MEMBERS:,} members or {MOST_BYTES >> 30} GiB once unpacked")
        name = PurePosixPath(member.name).name
        file = archive.extractfile(member) if name in names else None
        if file is not None:
            yield name, file.read()


def _check(member: tarfile.TarInfo, path: Path) -> None:
    inside = PurePosixPath(member.name)
    if inside.is_absolute() or ".." in inside.parts:
        raise DataError(f"{path}: refused: its member {member.name!r} lies outside the archive's folder")
    if not (member.isfile() or member.isdir()):
        raise DataError(f"{path}: refused: its member {member.name!r} is a link or a device")
