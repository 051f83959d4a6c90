"""Writing to a disk that may refuse: files whole or not at all, refusals as errors of zoo; reading what may be damaged.

Floor 0.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.errors import EnvironmentFault

_SPACE, _RIGHTS = "free some space, or write to another folder", "check who may read and write there"
_ADVICE = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: "name a folder that can be written to",
    errno.EEXIST: "a file stands where a folder is wanted: name another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder: name another folder",
    errno.EISDIR: "a folder stands where a file is wanted: name another file",
    errno.ENAMETOOLONG: "take a shorter name",
}


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turns the operating system's refusals (disk full, read-only, no permission) into EnvironmentFault."""
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(
            f"cannot write {_of_drafts(str(error.filename2 or error.filename or path))}: {error.strerror or error}",
            code="disk",
            help=advice(error) or "write to another folder",
        ) from error


def advice(error: OSError) -> str | None:
    """What helps against a refusal of the operating system's, as far as it says why."""
    return _ADVICE.get(error.errno or 0)


def require_space(folder: Path, size: int, what: str, *, help: str = _SPACE) -> None:
    """Raises EnvironmentFault where a folder's disk has not so many bytes left for what is to be written there."""
    with disk_faults(folder):
        free = shutil.disk_usage(folder).free
    if size > free:
        raise EnvironmentFault(
            f"{what} takes {size / 1e9:,.1f} GB, and {folder} has {free / 1e9:,.1f} GB left",
            code="disk",
            help=help,
        )


def fsync_folder(path: Path) -> None:
    """Makes what was renamed in a folder last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, as far as they are not there. Raises EnvironmentFault."""
    with disk_faults(path):
        path.mkdir(parents=True, exist_ok=True)


def draft_of(path: Path) -> Path:
    """The hidden place beside a path where this process writes what is to stand there once it is whole."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _of_drafts(path: str) -> str:
    """A path in which drafts go by the names that they stand for, which people know."""
    return re.sub(rf"(^|/)\.([^/]+)\.{os.getpid()}\.tmp(?=/|$)", r"\1\2", path)


def write_through(path: Path, content: bytes) -> None:
    """Writes a file so that it lasts through a power cut, once its folder does. Raises OSError."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file whole or not at all, a text as UTF-8. Raises EnvironmentFault."""
    with disk_faults(path):
        draft = draft_of(path)
        try:
            write_through(draft, content.encode() if isinstance(content, str) else content)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        fsync_folder(path.parent)


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a file of JSON; an empty one where there is no file, or it is damaged, or a pipe or device."""
    try:
        data = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
