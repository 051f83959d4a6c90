"""What is made once of a data set's files and kept in the user's cache: where in them each image lies. Floor 2."""

from __future__ import annotations

import fcntl
import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.data.draws import Integers
from zoo.data.encoded import Facts
from zoo.data.indexed import Names
from zoo.data.places import user_cache
from zoo.diagnostics import Say
from zoo.disk import disk_faults, make_folder, write_atomically

FORMAT = 1  # of what is kept: another one is another name
_INDEX = ".npz"
_LOCK = ".lock"
_LONGEST_STEM = 50  # letters of a file's name that the name of what is kept of it begins with


@dataclass(frozen=True)
class Index:
    """Where in a file its images begin, their sizes in bytes, their labels (n), and their names where they have any."""

    starts: Integers
    sizes: Integers
    labels: Integers
    names: Names | None = None

    def write(self, place: Path) -> None:
        """Keeps it, whole or not at all. Raises EnvironmentFault."""
        arrays = {"starts": self.starts, "sizes": self.sizes, "labels": self.labels}
        if self.names is not None:
            arrays |= {"texts": np.frombuffer(self.names.texts, dtype=np.uint8), "ends": self.names.ends}
        stream = io.BytesIO()
        np.savez(stream, **arrays)  # type: ignore[arg-type]  # its other keyword is allow_pickle
        write_atomically(place, stream.getvalue())

    @classmethod
    def read(cls, path: Path) -> Index | None:
        """What :meth:`write` wrote; None where there is no such file, or it is damaged."""
        try:
            with np.load(path, allow_pickle=False) as kept:
                names = Names(kept["texts"].tobytes(), kept["ends"]) if "texts" in kept else None
                return cls(kept["starts"], kept["sizes"], kept["labels"], names)
        except Exception:  # a damaged zip raises whatever its reader stumbles over
            return None


class Kept:
    """The folder in the cache for what is made of one data set's files.

    What is kept of a file bears its name, and a digest of its path, size and time: of a file that has changed nothing
    is found, and what was kept of it is removed by :meth:`sweep`.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self._source, absolute = folder, folder.resolve()
        self.folder = user_cache() / kind / f"{absolute.name[:_LONGEST_STEM]}-{_digest(str(absolute))}"

    def place(self, source: Path, facts: Facts) -> Path:
        """Where the index of a file of the data set, with this size and time, is kept."""
        size, time = facts
        path = source.relative_to(self._source)  # train/0.tar and test/0.tar may be as large and as old
        return self.folder / f"{source.stem[:_LONGEST_STEM]}.{_digest(f'{FORMAT} {path} {size} {time}')}{_INDEX}"

    @contextmanager
    def held(self, say: Say) -> Iterator[None]:
        """The folder for this process alone; another waits, and says so. Raises EnvironmentFault.

        The lock is the kernel's: it goes with its process, however that ends, and what is unfinished then is removed by
        the next one to hold the folder.
        """
        make_folder(self.folder)
        with disk_faults(self.folder), (self.folder / _LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"waiting for another process that writes to {self.folder}")
                fcntl.flock(lock, fcntl.LOCK_EX)
            for draft in self.folder.glob(".*.tmp"):
                draft.unlink()
            yield

    def outdated(self, current: Iterable[Path]) -> list[Path]:
        """What is kept beside these indices and what belongs to them."""
        names = {place.stem for place in current}
        return [path for path in self.folder.glob("[!.]*") if path.stem not in names]

    def sweep(self, current: Iterable[Path]) -> None:
        """Removes what is :meth:`outdated`. Raises EnvironmentFault."""
        with disk_faults(self.folder):
            for path in self.outdated(current):
                path.unlink(missing_ok=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
