"""TensorBoard's event files as a tracker; the only file that imports tensorboard. Floor 5."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.layout import TENSORBOARD
from zoo.trackers import Ending, Figures, TrackedRun, Tracker

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def has_tensorboard() -> bool:
    """Whether the package is installed; it comes with ``zoo[tracking]``."""
    return find_spec("tensorboard") is not None


def _writer(folder: Path, purge_step: int) -> SummaryWriter:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=purge_step)


class TensorBoardFiles(Tracker):
    """Writes scalars into the run folder, from this process: a thread of TensorBoard's own brings them to the disk.

    After a resume what lies beyond the checkpoint is purged, as it is in the run folder's own files.
    """

    key, title = "tensorboard", "TensorBoard"

    def __init__(self) -> None:
        self._writer: SummaryWriter | None = None

    def begin(self, run: TrackedRun) -> None:
        """Opens a file of events."""
        self._writer = _writer(Path(run.folder) / TENSORBOARD, run.start_step + 1)

    def write(self, figures: Figures) -> None:
        """Takes figures."""
        assert self._writer is not None
        for name, value in figures.values.items():
            self._writer.add_scalar(name, value, figures.step)

    def finish(self, ending: Ending, figures: Figures) -> None:
        """Closes the file; the outcome is the last epoch's, which is in it."""
        if self._writer is not None:
            self._writer.close()
