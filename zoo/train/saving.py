"""When a training is saved, and what it goes on from: its checkpoints as the engine sees them. Floor 5.

All ranks save together: each brings what is its own, the first one writes, and none goes on before it is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from zoo.events import CheckpointSaved, Event, Message
from zoo.layout import LAST
from zoo.train import state
from zoo.train.checkpoint import read_checkpoint
from zoo.train.metrics import Meter
from zoo.train.shelf import Shelf
from zoo.train.state import Progress
from zoo.train.training import Training


class Saver:
    """Saves a training and restores it; ``meter`` has the epoch's sums. Without a folder nothing is written.

    A state that is saved has to be finite, which is for whoever calls to know.
    """

    def __init__(self, training: Training, meter: Meter) -> None:
        self._training = training
        self._meter = meter
        self._ranks = training.runtime.ranks
        self._shelf = Shelf(training.folder.checkpoints, training.settings.checkpoint.keep) if training.folder else None
        self._since = self._saved_at = time.monotonic()
        self._saved_position: tuple[int, int, bool] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether there is nobody to save for."""
        return self._shelf is None and self._ranks.is_alone

    def tidy(self) -> None:
        """Removes what a killed process left half-written."""
        if self._shelf is not None:
            self._shelf.tidy()

    def restore(self) -> Generator[Event, None, Progress]:
        """Puts the newest checkpoint that verifies into the training, and gives how far it has come.

        Without one that is to the beginning. Raises CheckpointError where there are some and none verifies.
        """
        warnings: list[str] = []
        checkpoint = self._shelf.newest(warnings.append) if self._shelf is not None else None
        yield from (Message("warning", text) for text in warnings)
        path = self._ranks.told(lambda: None if checkpoint is None else str(checkpoint.path))
        if path is not None and checkpoint is None:  # not the first rank
            checkpoint = read_checkpoint(Path(path))
        if checkpoint is None:
            state.cut_journals(self._training, {})
            yield Message("info", "there is no checkpoint to resume from yet: starting from the beginning")
            return Progress()
        progress = state.restore(self._training, self._meter, checkpoint)
        self._saved_position = progress.position if checkpoint.path.name == LAST else None
        self._ranks.meet()  # all have read it: it may be replaced
        yield Message("info", f"resumed from {checkpoint.path} at step {progress.step}")
        return progress

    def is_saved(self, progress: Progress) -> bool:
        """Whether ``last`` holds this very state."""
        return self._saved_position == progress.position

    def save(self, name: Literal["best", "last"], progress: Progress) -> Iterator[CheckpointSaved]:
        """Saves the state, which is gathered from all ranks. Raises EnvironmentFault."""
        progress.total_seconds = self.total_seconds(progress)
        self._since = time.monotonic()
        of_ranks = self._ranks.gather(state.own_state(self._meter))
        path = self._ranks.told(lambda: self._write(name, partial(state.save, self._training, progress, of_ranks)))
        self._saved_at = time.monotonic()
        if name == "last":
            self._saved_position = progress.position
        if self._shelf is not None:
            yield CheckpointSaved(name, progress.step, path)

    def _write(self, name: Literal["best", "last"], write: Callable[[Path], None]) -> str:
        assert self._shelf is not None
        return str(self._shelf.save_best(write) if name == "best" else self._shelf.save_last(write))

    def minutes_are_up(self) -> bool:
        """Whether ``checkpoint.every_minutes`` asks for one now, as any rank's clock has it."""
        minutes = self._training.settings.checkpoint.every_minutes
        if minutes is None:
            return False
        return bool(self._ranks.highest(int(time.monotonic() - self._saved_at >= 60 * minutes)))

    def total_seconds(self, progress: Progress) -> float:
        """Wall-clock seconds of the training so far, those before an interruption included."""
        return progress.total_seconds + time.monotonic() - self._since
