"""Progress for people, on stderr: bars in a terminal, one plain line an epoch without one. Floor 5; knows no torch."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from zoo.diagnostics import few_digits, percent
from zoo.events import EpochFinished, Event, Message, StepLogged, TrainingStarted

FULL_WIDTH = 110  # columns that the full lines take at most, as a rule


class Said:
    """What the runs of one command say, so that what a run says as the one before it did is said once."""

    def __init__(self) -> None:
        self._before: set[Hashable] = set()
        self._now: set[Hashable] = set()

    def next_run(self) -> None:
        """Another run begins."""
        self._before, self._now = self._now, set()

    def is_news(self, what: Hashable) -> bool:
        """Whether the run before did not say it."""
        self._now.add(what)
        return what not in self._before


class ConsoleProgress:
    """Shows a training as it goes. ``quiet`` leaves only warnings. rich honours ``NO_COLOR`` itself.

    What ``said`` has of the run before is not said again.

    ``with ConsoleProgress() as show:`` gives the terminal back however the block ends.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False, said: Said | None = None) -> None:
        self._console = Console(file=stream or sys.stderr, highlight=False)
        self._quiet = quiet
        self._said = said or Said()
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._epochs = 0.0

    def __enter__(self) -> ConsoleProgress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __call__(self, event: Event) -> None:
        """Takes an event."""
        match event:
            case Message(level="warning"):
                self._news(f"warning: {event.text}", style="yellow")
            case _ if self._quiet:
                return
            case Message():
                self._news(event.text)
            case TrainingStarted():
                self._start(event)
            case StepLogged():
                self._step(event)
            case EpochFinished():
                self._line(epoch_text(event, self._epochs, short=self._is_narrow))

    @property
    def _is_narrow(self) -> bool:
        """Whether this is a terminal in which the full lines would break."""
        return self._console.is_terminal and self._console.width < FULL_WIDTH

    def close(self) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _line(self, text: str, style: str | None = None) -> None:
        self._console.print(text, style=style, markup=False, soft_wrap=True)

    def _news(self, text: str, style: str | None = None) -> None:
        if self._said.is_news(text):
            self._line(text, style)

    def _start(self, event: TrainingStarted) -> None:
        self._epochs = event.epochs
        for name, choice in event.choices.items():
            self._news(f"{name}: {choice}")
        if not self._console.is_terminal:
            return
        columns = (
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            *(() if self._is_narrow else (BarColumn(bar_width=None),)),
            TextColumn("step {task.completed}/{task.total}  {task.fields[figures]}"),
        )
        self._bar = Progress(*columns, console=self._console, transient=True, expand=True)
        self._task = self._bar.add_task(
            "", total=event.steps, completed=event.start_step, epoch=1, epochs=few_digits(event.epochs), figures=""
        )
        self._bar.start()

    def _step(self, event: StepLogged) -> None:
        if self._bar is not None:
            self._bar.update(
                self._task, completed=event.step, epoch=event.epoch, figures=step_text(event, short=self._is_narrow)
            )


def step_text(event: StepLogged, *, short: bool = False) -> str:
    """The running figures: ``loss 0.4100  acc 85.50 %  lr 0.1  302 images/s  epoch 0:42  run 1:02:03``."""
    if short:  # what is left of epoch and run stays; the speed stands in the epoch's line
        return (
            f"loss {event.loss:.3f}  acc {100 * event.accuracy:.1f} %  "
            f"epoch {clock(event.epoch_eta_seconds)}, run {clock(event.run_eta_seconds)} left"
        )
    return (
        f"loss {event.loss:.4f}  acc {percent(event.accuracy)}  lr {event.lr:.4g}  "
        f"{event.images_per_second:,.0f} images/s  epoch {clock(event.epoch_eta_seconds)}  "
        f"run {clock(event.run_eta_seconds)}"
    )


def epoch_text(event: EpochFinished, epochs: float, *, short: bool = False) -> str:
    """The one line of an epoch; the best one so far bears a star. ``short`` fits it into 80 columns.

    Where the rates of the groups differ it shows the least and the greatest.
    """
    words = ("", "") if short else ("loss ", "acc ")
    parts = [f"epoch {event.epoch}/{few_digits(epochs)}"]
    if event.image_size is not None and not short:
        parts.append("{} x {}".format(*event.image_size))
    for name in ("train", "validation", "test"):
        figures: dict[str, float] | None = getattr(event, name)
        if figures is not None:
            parts.append(f"{name} {words[0]}{figures['loss']:.4f} {words[1]}{percent(figures['accuracy'])}")
            if "accuracy_tta" in figures:
                parts[-1] += f" (TTA {percent(figures['accuracy_tta'])})"
    speed = f"{event.images_per_second:,.0f}"
    lrs = " to ".join(dict.fromkeys(f"{lr:.4g}" for lr in event.lr_span or (event.lr,)))
    parts += [f"{speed}/s"] if short else [f"lr {lrs}", f"{speed} images/s"]
    parts.append(clock(event.seconds))
    return "  ".join(parts) + ("  *" if event.is_best else "")


def clock(seconds: float) -> str:
    """Seconds as ``0:42`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
