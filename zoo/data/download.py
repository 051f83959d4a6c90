"""Downloads a file with its checksum, or says within seconds that there is no network. Floor 2; no torch.

A file is written beside its final name and only takes that name once it is whole and its digest is right. Before the
first byte comes a line on stderr, on a terminal with a bar below it.
"""

from __future__ import annotations

import hashlib
import os
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from zoo.data.progress import bar, tell
from zoo.disk import disk_faults
from zoo.errors import DataError
from zoo.net import ANSWER_SECONDS, answer_to

MIRROR_VARIABLE = "ZOO_DATA_MIRROR"  # a URL that stands in for the folder of every official one
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on the net: its address and its MD5 (as its publisher and torchvision give it)."""

    url: str
    md5: str
    mirrored_in: str = ""  # the folder of a mirror that it lies in, for files whose names another set has, too

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]

    @property
    def address(self) -> str:
        """Where it is fetched from: the mirror where one is set."""
        mirror = os.environ.get(MIRROR_VARIABLE)
        return "/".join(filter(None, (mirror.rstrip("/"), self.mirrored_in, self.name))) if mirror else self.url


def download(remote: Remote, folder: Path, *, quiet: bool = False) -> Path:
    """Fetches a file into a folder, and says so first; ``quiet`` has it show no progress.

    Raises DataError without a network or where it arrives cut off or altered, EnvironmentFault where it cannot be kept.
    """
    response = _connect(remote.address)
    target = folder / remote.name
    partial = folder / f".{remote.name}.{os.getpid()}.partial"
    try:
        with disk_faults(target):
            folder.mkdir(parents=True, exist_ok=True)
            with response, partial.open("wb") as file, _shown(remote, _size(response), target, quiet=quiet) as advance:
                found = _copy(response, file, remote.address, advance)
            if found != remote.md5:
                told = f"the file is cut off or altered: its MD5 is {found}, not {remote.md5}"
                raise DataError(f"{remote.address}: {told}")
            partial.replace(target)
    finally:
        with suppress(OSError):  # where it cannot be, it is not
            partial.unlink(missing_ok=True)
    return target


def _size(response: Any) -> int | None:
    """The bytes to come, as far as the server says; an address of another kind than http has no such header."""
    size: int | None = getattr(response, "length", None)
    return size


@contextmanager
def _shown(remote: Remote, size: int | None, target: Path, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Says what comes, how large it is (as its server says) and from where; takes the bytes that have come."""
    from rich.filesize import decimal

    told = decimal(size) if size is not None else "of unknown size"
    tell(f"downloading {target}, {told}, from {remote.address}")
    with bar(size, quiet=quiet) as advance:
        yield advance


def _connect(address: str) -> Any:
    """The open response. A server may pause as long within the download as until its first answer."""
    try:
        return answer_to(lambda: urllib.request.urlopen(address, timeout=ANSWER_SECONDS))
    except Exception as error:  # a wrong address of a mirror raises ValueError, say
        reason = str(error).removeprefix("<urlopen error ").removesuffix(">")
        raise DataError(f"{address} cannot be reached: {reason}") from error


def _copy(response: Any, file: BinaryIO, address: str, advance: Callable[[int], None]) -> str:
    """Copies to the end and syncs; the MD5 of what came."""
    digest = hashlib.md5(usedforsecurity=False)
    while chunk := _read(response, address):
        digest.update(chunk)
        file.write(chunk)
        advance(len(chunk))
    file.flush()
    os.fsync(file.fileno())
    return digest.hexdigest()


def _read(response: Any, address: str) -> bytes:
    import http.client

    try:
        chunk: bytes = response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{address}: the download broke off: {error}") from error
    return chunk
