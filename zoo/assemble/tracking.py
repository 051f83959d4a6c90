"""The trackers that a recipe names. Floor 7."""

from __future__ import annotations

from collections.abc import Callable

from zoo.assemble.check import Checked
from zoo.assemble.complete import resolved_document
from zoo.document import plain
from zoo.events import Event
from zoo.trackers import TrackedRun, TrackerProcess
from zoo.train import RunFolder, TensorBoardFiles, Trackers


def trackers_of(checked: Checked, folder: RunFolder, say: Callable[[Event], None]) -> Trackers:
    """A run's trackers; ``say`` takes what they tell, as messages."""
    tracking, recipe = checked.recipe.tracking, checked.recipe.name
    trackers = [
        *([TensorBoardFiles()] if tracking.tensorboard else []),
        *([TrackerProcess("wandb", "W&B")] if tracking.wandb else []),
        *([TrackerProcess("mlflow", "MLflow")] if tracking.mlflow else []),
    ]
    config = plain(resolved_document(checked)) if trackers else {}
    run = TrackedRun(recipe, f"{recipe}/{folder.path.name}", str(folder.path), config)
    return Trackers(trackers, run, folder, say)
