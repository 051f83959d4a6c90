"""What the engine tells its listeners. Floor 0: plain data, no torch.

Accuracies are fractions, losses are means over samples, seconds are wall clock, ``step`` counts optimizer
steps from 1 over the whole training, epochs count from 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True)
class TrainingStarted(Event):
    """The first step is about to be taken (``start_step`` > 0 after a resume)."""

    epochs: float
    steps: int
    steps_per_epoch: int
    start_step: int
    device: str
    precision: str
    choices: dict[str, str] = field(default_factory=dict)  # what was chosen automatically, and why


@dataclass(frozen=True, slots=True)
class StepLogged(Event):
    """Running figures, every log interval; never every step.

    ``lr`` is the first parameter group's rate, ``lrs`` has it of all steps since the last event, and ``group_lrs`` the
    same of each other group, by its label.
    """

    epoch: int
    step: int
    steps: int
    loss: float
    accuracy: float
    lr: float
    images_per_second: float
    epoch_eta_seconds: float
    run_eta_seconds: float
    lrs: tuple[float, ...] = ()
    group_lrs: dict[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EpochFinished(Event):
    """An epoch's figures; ``train``, ``test``, ``validation`` hold ``loss`` and ``accuracy`` where they were taken.

    ``lr`` is the first parameter group's rate at the last step, ``lr_span`` the least and the greatest of all groups.
    ``image_size`` is height and width of the training images, where ``train.progressive_resizing`` changes them.
    """

    epoch: int
    step: int
    train: dict[str, float]
    lr: float
    seconds: float
    images_per_second: float
    test: dict[str, float] | None = None
    validation: dict[str, float] | None = None
    is_best: bool = False
    lr_span: tuple[float, ...] = ()
    image_size: tuple[int, int] | None = None

    @property
    def watched(self) -> dict[str, float]:
        """What a schedule may watch: the validation set's figures, else the test set's, and the training set's."""
        return {**(self.validation or self.test or {}), **{f"train.{name}": each for name, each in self.train.items()}}


@dataclass(frozen=True, slots=True)
class CheckpointSaved(Event):
    """A checkpoint is on disk, whole and verified."""

    name: str
    step: int
    path: str


@dataclass(frozen=True, slots=True)
class Message(Event):
    """A line for people: ``level`` is ``info`` or ``warning``."""

    level: str
    text: str


@dataclass(frozen=True, slots=True)
class TrainingFinished(Event):
    """The last step is done. ``result`` has the keys of ``result.json`` that the engine knows."""

    result: dict[str, Any]
