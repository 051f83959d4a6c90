"""The folder ``checkpoints/``: which checkpoints lie there, how they replace each other, which one counts. Floor 5.

``last`` is the newest, ``best`` the most accurate, ``step-N`` are older ones that ``keep`` holds on to. A new
``last`` takes the name only after the old one was moved to ``step-N``, so at any moment one whole checkpoint is there.
The old ``best`` waits under a hidden name until the new one stands.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from zoo.disk import disk_faults, fsync_folder, make_folder
from zoo.errors import CheckpointError
from zoo.layout import BEST, LAST
from zoo.train.checkpoint import (
    Checkpoint,
    DamagedCheckpointError,
    Manifest,
    read_checkpoint,
    read_manifest,
    verify,
)

_OLD_BEST = ".best.old"


class Shelf:
    """The checkpoints of a run. ``keep`` is how many older ones stay beside ``last`` and ``best``."""

    def __init__(self, path: Path, keep: int = 0) -> None:
        self.path = path
        self.keep = keep

    @property
    def is_empty(self) -> bool:
        """Whether there is no checkpoint at all, not even one that a killed process left under a hidden name."""
        return not any(path.is_dir() for path in self.path.glob("[!.]*")) and not (self.path / _OLD_BEST).exists()

    @property
    def epochs_behind(self) -> int:
        """How many epochs the checkpoint that has come farthest has gone through."""
        return max((known.epoch for folder in self.path.glob("[!.]*") if (known := _known(folder))), default=0)

    def tidy(self) -> None:
        """Removes what a killed process left half-written. Only whoever holds the run folder may call it."""
        make_folder(self.path)
        with disk_faults(self.path):
            old_best, best = self.path / _OLD_BEST, self.path / BEST
            if old_best.exists() and not best.exists():  # killed between the two renames of `save_best`
                old_best.rename(best)
            for debris in self.path.glob(".*"):
                shutil.rmtree(debris, ignore_errors=True)

    def save_last(self, write: Callable[[Path], None]) -> Path:
        """Writes a new ``last``; the one before it becomes an older one. Raises EnvironmentFault."""
        incoming, last = self.path / ".last", self.path / LAST
        self._write(incoming, write)
        with disk_faults(last):
            if last.exists():
                last.rename(self._cleared_place_of(last))
            incoming.rename(last)
            fsync_folder(self.path)
            self._prune()
        return last

    def save_best(self, write: Callable[[Path], None]) -> Path:
        """Writes a new ``best`` in place of the old. Raises EnvironmentFault."""
        incoming, best, outgoing = self.path / ".best", self.path / BEST, self.path / _OLD_BEST
        self._write(incoming, write)
        with disk_faults(best):
            if best.exists():
                best.rename(outgoing)
            incoming.rename(best)
            fsync_folder(self.path)
            shutil.rmtree(outgoing, ignore_errors=True)
        return best

    def newest(self, warn: Callable[[str], None]) -> Checkpoint | None:
        """The newest checkpoint that verifies, None where there are none at all.

        Each that does not is told to ``warn``. Raises CheckpointError where there are some and none verifies.
        """
        found = [folder for folder in self.path.glob("[!.]*") if folder.is_dir()] if self.path.is_dir() else []
        sound: list[tuple[Path, Manifest]] = []
        for folder in sorted(found):
            try:
                sound.append((folder, verify(folder)))
            except DamagedCheckpointError as error:
                warn(f"skipped a damaged checkpoint: {error.message}")
        if sound:
            return read_checkpoint(*max(sound, key=lambda one: (one[1].step, one[0].name == LAST, one[0])))
        if found:
            raise CheckpointError(
                f"no checkpoint in {self.path} verifies",
                notes=[str(folder) for folder in found],
                help="start the run again in a new folder",
            )
        return None

    def _write(self, path: Path, write: Callable[[Path], None]) -> None:
        make_folder(self.path)
        with disk_faults(path):
            if path.exists():
                shutil.rmtree(path)
        write(path)

    def _cleared_place_of(self, last: Path) -> Path:
        """Where the present ``last`` goes as an older one; an older one of the same step is removed from there."""
        known = _known(last)  # none of one damaged since it was written: it will be pruned like any other
        place = self.path / f"step-{known.step if known else 0:09d}"
        if place.exists():
            _remove(place)
        return place

    def _prune(self) -> None:
        older = sorted(self.path.glob("step-*"))
        for folder in older[: max(0, len(older) - self.keep)]:
            _remove(folder)


def _known(folder: Path) -> Manifest | None:
    """A checkpoint's manifest; None where it cannot be read: whoever resumes from it tells what is wrong with it."""
    try:
        return read_manifest(folder)
    except CheckpointError:
        return None


def _remove(folder: Path) -> None:
    """Removes a checkpoint, under a hidden name: a half-deleted one must not look like one."""
    outgoing = folder.with_name(f".{folder.name}")
    shutil.rmtree(outgoing, ignore_errors=True)  # what could not be removed the last time
    folder.rename(outgoing)
    shutil.rmtree(outgoing, ignore_errors=True)
