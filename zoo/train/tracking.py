"""The listener that hands a run's figures to its trackers: TensorBoard, W&B, MLflow. Floor 5; knows no torch.

A tracker never costs a training: what one fails of is told once, and the training goes on without it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from zoo.errors import StoppedBySignal, in_a_line
from zoo.events import EpochFinished, Event, Message, StepLogged, TrainingStarted
from zoo.layout import TRACKERS
from zoo.trackers import Ending, Figures, TrackedRun, Tracker, leaves
from zoo.train.folder import RunFolder

FINISH_SECONDS = 60.0  # for all that a finished run has still to bring to its servers
FAIL_SECONDS = 15.0  # for a run that an error ended, perhaps before its tracker had begun
STOP_SECONDS = 2.0  # for a run that a signal ended: whoever sent it waits
_SILENT_SECONDS = 3.0  # before it is told that something is waited for


class Trackers:
    """Hands losses, accuracies, learning rates and images a second on, against optimizer steps.

    ``with Trackers(…) as trackers:`` closes the run at each tracker as the block ends: as finished behind
    :meth:`finish`, else as stopped or failed.
    """

    def __init__(
        self, trackers: Sequence[Tracker], run: TrackedRun, folder: RunFolder, say: Callable[[Event], None]
    ) -> None:
        self._trackers = list(trackers)
        self._run = run
        self._folder = folder
        self._say = say
        self._ids = kept_ids(folder.path)
        self._step = 0
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_closed:
            if isinstance(error, StoppedBySignal | KeyboardInterrupt):
                self._close("stopped", {}, STOP_SECONDS)
            else:
                self._close("failed", {}, FAIL_SECONDS)

    def __call__(self, event: Event) -> None:
        """Takes an event."""
        if isinstance(event, TrainingStarted):
            run = replace(self._run, start_step=event.start_step)
            self._each(lambda tracker: tracker.begin(replace(run, kept=self._ids.get(tracker.key))))
        figures = figures_of(event)
        if figures is not None:
            self._step = figures.step
            self._each(lambda tracker: tracker.write(figures))
        self._each(self._hear)

    def finish(self, result: dict[str, Any]) -> None:
        """The run has its result; waits until it has arrived, or has to be given up."""
        self._close("finished", outcome_figures(result), FINISH_SECONDS)

    def _close(self, ending: Ending, values: dict[str, float], seconds: float) -> None:
        self._is_closed = True
        until = time.monotonic() + seconds
        try:
            self._each(lambda tracker: tracker.finish(ending, Figures(self._step, values)))
            self._each(lambda tracker: self._wait(tracker, until))
            self._each(self._hear)
        finally:  # Ctrl-C may end the waiting
            for tracker in self._trackers:
                tracker.abandon()

    def _wait(self, tracker: Tracker, until: float) -> None:
        left = max(0.0, until - time.monotonic())
        if tracker.wait(min(left, _SILENT_SECONDS)):
            return
        left = until - time.monotonic()
        if left > 0:
            self._hear(tracker)
            self._tell(tracker, "info", f"waiting for the last figures to arrive, {left:.0f} s at most")
            if tracker.wait(left):
                return
        self._tell(tracker, "warning", "the run was not closed in time; its last figures may be missing")

    def _each(self, do: Callable[[Tracker], None]) -> None:
        """Does something with each tracker. One that fails is let go of."""
        for tracker in tuple(self._trackers):
            try:
                do(tracker)
            except Exception as error:
                self._trackers.remove(tracker)
                self._tell(tracker, "warning", f"{in_a_line(error)}; the training goes on without it")
                tracker.abandon()

    def _hear(self, tracker: Tracker) -> None:
        for told in tracker.heard():
            if told.text:
                self._tell(tracker, told.level, told.text)
            if told.run is not None and self._ids.get(tracker.key) != told.run:
                self._ids[tracker.key] = told.run
                self._folder.write_json(TRACKERS, self._ids)

    def _tell(self, tracker: Tracker, level: str, text: str) -> None:
        self._say(Message(level, f"{tracker.title}: {text}"))


def kept_ids(folder: Path) -> dict[str, str]:
    """The ids that trackers gave the run in a folder; none where there is no such file, or it is damaged."""
    try:
        ids = json.loads((folder / TRACKERS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: run for key, run in ids.items() if isinstance(run, str)} if isinstance(ids, dict) else {}


def figures_of(event: Event) -> Figures | None:
    """An event's scalars by the names that every tracker shows; None where it has none."""
    if isinstance(event, StepLogged):
        rates = {"lr": event.lr} | {f"lr/{label}": lrs[-1] for label, lrs in event.group_lrs.items()}
        return Figures(event.step, {"step/loss": event.loss, "step/accuracy": event.accuracy, **rates})
    if isinstance(event, EpochFinished):
        splits = {"train": event.train, "test": event.test, "validation": event.validation}
        values = {f"{name}/{key}": value for name, split in splits.items() for key, value in (split or {}).items()}
        return Figures(event.step, {**values, "images_per_second": event.images_per_second})
    return None


def outcome_figures(result: dict[str, Any]) -> dict[str, float]:
    """The numbers of ``result.json``, those of single classes left out: ``result/test/accuracy`` and so on."""
    found: Iterable[tuple[str, Any]] = leaves(result, "/", "result")
    return {
        name: float(value)
        for name, value in found
        if isinstance(value, int | float) and not name.startswith("result/test/per_class/")
    }
