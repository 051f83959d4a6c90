"""The trackers that a recipe names. Floor 7."""

from __future__ import annotations

from collections.abc import Callable

from zoo.assemble.check import Checked
from zoo.assemble.complete import resolved_document
from zoo.assemble.resolve import Resolved
from zoo.diagnostics import Diagnostics
from zoo.document import plain
from zoo.events import Event
from zoo.trackers import TrackedRun, TrackerProcess
from zoo.trackers.mlflow import has_mlflow
from zoo.trackers.wandb import has_wandb
from zoo.train import RunFolder, TensorBoardFiles, Trackers
from zoo.train.tensorboard import has_tensorboard

_NEEDS = {  # of each key: whether it can be had, and what is said where it cannot
    "tensorboard": (has_tensorboard, "the package tensorboard, which is not installed", "tracking"),
    "wandb": (has_wandb, "the package wandb, which is not installed", "wandb"),
    "mlflow": (has_mlflow, "the packages mlflow, sqlalchemy and alembic, which are not all installed", "mlflow"),
}


def require_installed(resolved: Resolved, diagnostics: Diagnostics) -> None:
    """Adds an error for each tracker of the recipe whose package is missing."""
    wanted = resolved.recipe.tracking.model_dump()
    for key, (is_there, what, extra) in _NEEDS.items():
        if wanted[key] and not is_there():
            diagnostics.error(
                f"no-{key}",
                f"tracking.{key} needs {what}",
                resolved.section("tracking").key_span(key),
                help=f"pip install 'zoo[{extra}]'",
            )


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
