"""Whether the packages are installed that a recipe's trackers need. Floor 7."""

from __future__ import annotations

from zoo.assemble.resolve import Resolved
from zoo.diagnostics import Diagnostics

_NEEDS = {  # of each key: what is said where it cannot be had, and the extra that brings it
    "tensorboard": ("the package tensorboard, which is not installed", "tracking"),
    "wandb": ("the package wandb, which is not installed", "wandb"),
    "mlflow": ("the packages mlflow, sqlalchemy and alembic, which are not all installed", "mlflow"),
}


def require_installed(resolved: Resolved, diagnostics: Diagnostics) -> None:
    """Adds an error for each tracker of the recipe whose package is missing."""
    wanted = resolved.recipe.tracking.model_dump()
    for key in (key for key in _NEEDS if wanted[key] and not _is_there(key)):
        what, extra = _NEEDS[key]
        diagnostics.error(
            f"no-{key}",
            f"tracking.{key} needs {what}",
            resolved.section("tracking").key_span(key),
            help=f"pip install 'zoo[{extra}]'",
        )


def _is_there(key: str) -> bool:
    # Imported only here: a check of a recipe that tracks nothing needs none of it, and zoo.train is large.
    from zoo.trackers.mlflow import has_mlflow
    from zoo.trackers.wandb import has_wandb
    from zoo.train.tensorboard import has_tensorboard

    return {"tensorboard": has_tensorboard, "wandb": has_wandb, "mlflow": has_mlflow}[key]()
