"""A run's folder: where it lies, who holds it, what it contains. Floor 5; knows no torch.

``runs/NAME/0001/`` and so on, never written over; ``runs/NAME/latest`` is a link to the newest.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from pathlib import Path
from typing import Any, TextIO

from zoo.disk import disk_faults, make_folder, write_atomically
from zoo.errors import EnvironmentFault, UsageError
from zoo.layout import CHECKPOINTS, MANIFEST, METRICS, METRICS_CSV, RESOLVED, RESULT, STEPS, numbered

_LOCK = ".lock"
_held: set[Path] = set()  # POSIX locks do not keep a process from locking twice


class RunFolder:
    """The folder of one run, held by one process at a time.

    ``with RunFolder.create("runs", "s8") as folder:`` holds it for the length of the block.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: TextIO | None = None

    @classmethod
    def create(cls, root: Path | str, name: str) -> RunFolder:
        """Makes the next free folder ``ROOT/NAME/0001`` and points ``latest`` at it. Raises EnvironmentFault."""
        series = Path(root) / name
        with disk_faults(series):
            _require_writable(series)
            series.mkdir(parents=True, exist_ok=True)
            number = 1 + max((int(path.name) for path in numbered(series)), default=0)
            while True:
                folder = series / f"{number:04d}"
                try:
                    folder.mkdir()
                    break
                except FileExistsError:  # another run was quicker
                    number += 1
            _point_latest(series, folder.name)
        return cls(folder)

    @classmethod
    def require_room(cls, root: Path | str, name: str) -> None:
        """Raises EnvironmentFault where :meth:`create` could not make a folder: hours later is too late."""
        _require_writable(Path(root) / name)

    @classmethod
    def at(cls, path: Path | str) -> RunFolder:
        """The folder itself, empty and made if need be. Raises what :meth:`planned` raises."""
        run = cls.planned(path)
        make_folder(run.path)
        return run

    @classmethod
    def planned(cls, path: Path | str, *, resume: bool = False) -> RunFolder:
        """The folder itself, not made yet: nothing is written.

        Raises UsageError where it holds something and is not resumed, or is resumed and no run's; EnvironmentFault
        where it is read-only.
        """
        run = cls(Path(path))
        if run.path.exists() and not run.path.is_dir():
            raise UsageError(f"{run.path} is not a folder")
        if run.has_begun and not run._is_a_runs:
            raise UsageError(
                f"{run.path} is not a run folder: it holds other files, and nothing that a run left",
                help="name the run's own folder, or a new or empty one",
            )
        if run.has_begun and not resume:
            raise UsageError(
                f"the run folder {run.path} is not empty",
                help="add --resume to go on with that run, or choose a new one",
            )
        with disk_faults(run.path):
            _require_writable(run.path)
        return run

    @property
    def is_held(self) -> bool:
        """Whether this object holds the folder's lock."""
        return self._lock is not None

    @property
    def has_begun(self) -> bool:
        """Whether the folder holds anything but a lock."""
        return self.path.is_dir() and any(child.name != _LOCK for child in self.path.iterdir())

    @property
    def _is_a_runs(self) -> bool:
        # `checkpoints` alone is a name that others give their folders too.
        of_a_run = (_LOCK, RESOLVED, f"{CHECKPOINTS}/*/{MANIFEST}")
        return any(next(self.path.glob(pattern), None) is not None for pattern in of_a_run)

    @property
    def checkpoints(self) -> Path:
        """``checkpoints/``."""
        return self.path / CHECKPOINTS

    @property
    def metrics(self) -> Path:
        """``metrics.jsonl``: an object for every epoch."""
        return self.path / METRICS

    @property
    def metrics_csv(self) -> Path:
        """``metrics.csv``: the same as a table."""
        return self.path / METRICS_CSV

    @property
    def steps(self) -> Path:
        """``steps.jsonl``: an object for every log interval."""
        return self.path / STEPS

    @property
    def journals(self) -> tuple[Path, ...]:
        """The files that only grow; a resumed run cuts them back to its checkpoint."""
        return (self.metrics, self.metrics_csv, self.steps)

    @property
    def result(self) -> Path:
        """``result.json``: there once the run is finished."""
        return self.path / RESULT

    def write_json(self, name: str, data: Any) -> Path:
        """Writes a JSON file whole or not at all. Raises EnvironmentFault."""
        write_atomically(self.path / name, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
        return self.path / name

    def __enter__(self) -> RunFolder:
        self.lock()
        return self

    def __exit__(self, *exception: object) -> None:
        self.unlock()

    def lock(self) -> None:
        """Holds the folder. Raises EnvironmentFault with the holder's PID; a dead holder's lock is taken over.

        The lock is the kernel's (``fcntl``): it goes with its process, however that ends, and workers do not
        inherit it.
        """
        path = (self.path / _LOCK).resolve()
        if path in _held:
            raise _in_use(self.path, str(os.getpid()))
        with disk_faults(path):
            _require_writable(self.path)
            file = path.open("a+", encoding="utf-8")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            holder = file.read().strip()
            file.close()
            raise _in_use(self.path, holder) from None
        with disk_faults(path):
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        _held.add(path)
        self._lock = file

    def require_free(self) -> None:
        """Raises EnvironmentFault where another process holds the folder. Makes no lock where there was none."""
        if (self.path / _LOCK).is_file():
            with self:
                pass

    def unlock(self) -> None:
        """Lets go of the folder. The lock file stays: to remove it would race with whoever opens it."""
        if self._lock is not None:
            _held.discard(Path(self._lock.name))
            self._lock.close()
            self._lock = None


def _in_use(path: Path, holder: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"another run holds {path}: process {holder or 'unknown'}",
        code="run-folder-in-use",
        help="wait for it, stop it, or choose another folder with --run-dir",
    )


def _point_latest(series: Path, name: str) -> None:
    draft = series / f".latest.{os.getpid()}"
    draft.unlink(missing_ok=True)
    draft.symlink_to(name, target_is_directory=True)
    draft.replace(series / "latest")


def _require_writable(path: Path) -> None:
    """Raises EnvironmentFault if the folder, or the nearest one above that exists, is read-only."""
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    writable_bits = existing.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
    # Root may write anywhere; a folder that grants nobody writing is meant to stay as it is all the same.
    if not (writable_bits and os.access(existing, os.W_OK)):
        raise EnvironmentFault(
            f"the folder {existing} is read-only",
            code="read-only",
            help="change its permissions, or choose another folder with --run-dir",
        )
