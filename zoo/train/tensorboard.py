"""A listener that writes TensorBoard's event files; the only file that imports tensorboard. Floor 5."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from zoo.events import EpochFinished, Event, StepLogged, TrainingStarted

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def has_tensorboard() -> bool:
    """Whether the package is installed; it comes with ``zoo[tracking]``."""
    return find_spec("tensorboard") is not None


def _writer(folder: Path, purge_step: int) -> SummaryWriter:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=purge_step)


class TensorBoardFiles:
    """Writes losses, accuracies, the learning rate and images a second as scalars, against optimizer steps.

    After a resume what lies beyond the checkpoint is purged, as it is in the run folder's own files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def __call__(self, event: Event) -> None:
        """Takes an event."""
        if isinstance(event, TrainingStarted):
            self._writer = _writer(self._folder, event.start_step + 1)
        elif isinstance(event, StepLogged):
            rates = {"lr": event.lr} | {f"lr/{label}": lrs[-1] for label, lrs in event.group_lrs.items()}
            self._write(event.step, {"step/loss": event.loss, "step/accuracy": event.accuracy, **rates})
        elif isinstance(event, EpochFinished):
            splits = {"train": event.train, "test": event.test, "validation": event.validation}
            figures = {f"{name}/{key}": value for name, split in splits.items() for key, value in (split or {}).items()}
            self._write(event.step, {**figures, "images_per_second": event.images_per_second})

    def _write(self, step: int, figures: dict[str, float]) -> None:
        assert self._writer is not None
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
