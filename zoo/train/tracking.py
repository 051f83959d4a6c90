"""The listener that hands a run's figures to its trackers: TensorBoard, W&B, MLflow. Floor 5; knows no torch.

A tracker never costs a training: what one fails of is told once, and the training goes on without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from zoo.disk import read_mapping
from zoo.errors import StoppedBySignal, ZooError, in_a_line
from zoo.events import EpochFinished, Event, Message, StepLogged, TrainingStarted
from zoo.layout import TRACKERS
from zoo.trackers import CLOSING_SECONDS, Ending, Figures, TrackedRun, Tracker, leaves
from zoo.train.folder import RunFolder

_SECONDS: dict[Ending, float] = {
    "finished": CLOSING_SECONDS,
    "failed": 8.0,  # its trackers had perhaps not begun yet; a rank that takes 10 is taken to hang
    "stopped": 2.0,  # whoever sent the signal waits
}
_SILENT_SECONDS = 3.0  # before it is told that something is waited for
_LOOK_SECONDS = 0.02


class Trackers:
    """Hands losses, accuracies, learning rates and images a second on, against optimizer steps.

    ``with Trackers(…) as trackers:`` closes the run at each tracker as the block ends: as finished behind
    :meth:`finish`, else as stopped or failed. There, and nowhere else, trackers are waited for.
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
        self._ending: Ending | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = None
        if isinstance(error, StoppedBySignal | KeyboardInterrupt):
            self._end("stopped", {})
            seconds = _SECONDS["stopped"]  # also where the run had finished before
        elif self._ending is None:
            self._end("failed", {})
        assert self._ending is not None
        stopped = self._wait(seconds or _SECONDS[self._ending])
        if stopped is not None and error is None:
            raise stopped

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
        """The run has its result, which is on its way from here on."""
        self._end("finished", outcome_figures(result))

    def _end(self, ending: Ending, values: dict[str, float]) -> None:
        if self._ending is None:
            self._ending = ending
            self._each(lambda tracker: tracker.finish(ending, Figures(self._step, values)))

    def _wait(self, seconds: float) -> KeyboardInterrupt | None:
        """Waits for all at once, and lets all go. Gives the signal that ended the waiting."""
        begun, is_told, stopped = time.monotonic(), False, None
        try:
            while self._are_open() and (waited := time.monotonic() - begun) < seconds:
                if waited > _SILENT_SECONDS and not is_told:
                    is_told = True
                    for tracker in self._are_open():
                        self._tell(tracker, "info", f"waiting for the last figures to arrive, {seconds:.0f} s at most")
                time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt as signalled:
            stopped = signalled
        for tracker in self._trackers:
            if not tracker.is_closed:
                text = f"the run is not closed yet; a process goes on with it for at most {CLOSING_SECONDS} s"
                self._tell(tracker, "warning", text)
            tracker.let_go()
        return stopped

    def _are_open(self) -> list[Tracker]:
        self._each(self._hear)
        return [tracker for tracker in self._trackers if not tracker.is_closed]

    def _each(self, do: Callable[[Tracker], None]) -> None:
        """Does something with each tracker. One that fails is let go of."""
        for tracker in tuple(self._trackers):
            try:
                do(tracker)
            except Exception as error:
                self._trackers.remove(tracker)
                self._tell(tracker, "warning", f"{in_a_line(error)}; the training goes on without it")
                tracker.let_go()

    def _hear(self, tracker: Tracker) -> None:
        for told in tracker.heard():
            if told.text:
                self._tell(tracker, told.level, told.text)
            if told.run is not None and self._ids.get(tracker.key) != told.run:
                self._ids[tracker.key] = told.run
                try:
                    self._folder.write_json(TRACKERS, self._ids)
                except ZooError as error:
                    self._tell(tracker, "warning", f"{error.message}; a resume will begin another run there")

    def _tell(self, tracker: Tracker, level: str, text: str) -> None:
        self._say(Message(level, f"{tracker.title}: {text}"))


def kept_ids(folder: Path) -> dict[str, str]:
    """The ids that trackers gave the run in a folder; none where there is no such file, or it is damaged."""
    return {key: run for key, run in read_mapping(folder / TRACKERS).items() if isinstance(run, str)}


def figures_of(event: Event) -> Figures | None:
    """An event's scalars by the names that every tracker shows; None where it has none."""
    if isinstance(event, StepLogged):
        rates = {"lr": event.lr} | {f"lr/{label}": lrs[-1] for label, lrs in event.group_lrs.items()}
        return Figures(event.step, {"step/loss": event.loss, "step/accuracy": event.accuracy, **rates})
    if isinstance(event, EpochFinished):
        splits = {"train": event.train, "test": event.test, "validation": event.validation}
        values = {f"{name}/{key}": value for name, split in splits.items() for key, value in (split or {}).items()}
        size = {} if event.image_size is None else {"image_size": float(min(event.image_size))}
        return Figures(event.step, {**values, "images_per_second": event.images_per_second, **size})
    return None


def outcome_figures(result: dict[str, Any]) -> dict[str, float]:
    """The numbers of ``result.json``, those of single classes left out: ``result/test/accuracy`` and so on."""
    found: Iterable[tuple[str, Any]] = leaves(result, "/", "result")
    return {
        name: float(value)
        for name, value in found
        if isinstance(value, int | float) and not name.startswith("result/test/per_class/")
    }
