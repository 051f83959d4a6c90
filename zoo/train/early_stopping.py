"""Early stopping: a training ends once a figure has not got better for so many tests. Floor 5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from zoo.schema.recipe import EarlyStoppingSection

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Watched:
    """What early stopping has seen so far: the best figure of a metric, its epoch, and the tests since then."""

    metric: str = ""
    best: float | None = None
    epoch: int | None = None
    waited: int = 0
    has_stopped: bool = False  # the training

    def after(
        self, epoch: int, train: Figures, held_out: Figures | None, settings: EarlyStoppingSection | None, *, last: bool
    ) -> Watched:
        """The same after one more epoch's test; without ``settings`` nothing is watched.

        ``train`` has the epoch's ``loss`` and ``accuracy``, ``held_out`` those of the validation set. The ``last``
        epoch ends the training by itself, which can be lengthened then: that is no early stop.
        """
        if settings is None:
            return self
        where, _, name = settings.metric.rpartition(".")
        figures = train if where else held_out
        assert figures is not None, "a recipe that watches what it does not have is refused before"
        figure = figures[name]
        if self.best is None:
            return Watched(settings.metric, figure, epoch)
        gain = figure - self.best if name == "accuracy" else self.best - figure
        if gain > settings.min_delta:
            return Watched(settings.metric, figure, epoch)
        waited = self.waited + 1
        return replace(self, waited=waited, has_stopped=waited >= settings.patience and not last)

    def __str__(self) -> str:
        what = self.metric if "." in self.metric else f"validation {self.metric}"
        tests = "the test after it" if self.waited == 1 else f"the {self.waited} tests after it"
        return f"{what} was best after epoch {self.epoch} ({self.best:.4f}), {tests} brought none better"
