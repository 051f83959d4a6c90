"""Where a run is: by its folder, that of one of its checkpoints, or a recipe's name. Floor 7."""

from __future__ import annotations

from pathlib import Path

from zoo.assemble.series import newest_run
from zoo.errors import CheckpointError, UsageError
from zoo.layout import CHECKPOINTS, LAST, RESOLVED, RUNS, is_dir, is_run, numbered
from zoo.registry import did_you_mean


def run_and_checkpoint(text: str | None, checkpoint: str | None = None) -> tuple[Path, str]:
    """A run as :func:`find_run` finds it, and which of its checkpoints: the folder of one names both, else `last`.

    Raises UsageError where ``checkpoint`` names another than the folder.
    """
    path = Path(text) if text is not None else None
    if path is None or not is_checkpoint(path):
        return find_run(text), checkpoint or LAST
    named = path.absolute().name
    if checkpoint not in (None, named):
        raise UsageError(
            f"{path} is the checkpoint {named!r}, --checkpoint names {checkpoint!r}", help="name one alone"
        )
    return run_of(path), named


def is_checkpoint(path: Path) -> bool:
    """Whether a path is one in the `checkpoints` of a run, a misspelt one too: which there are is told on loading."""
    run = run_of(path)
    return run != path and is_run(run)


def find_run(text: str | None) -> Path:
    """A run folder by its path, that of one of its checkpoints, a recipe's name (its latest run), None (the latest).

    Raises CheckpointError where there is none.
    """
    if text is None:
        return _latest_of_all()
    if is_checkpoint(Path(text)):
        return run_of(Path(text))
    for path in (Path(text), RUNS / text):
        if is_run(path):
            return path
        newest = newest_run(path)
        if newest is not None:
            return newest
    names = sorted(path.name for path in RUNS.glob("*") if path.is_dir())
    raise CheckpointError(
        f"there is no run {text!r}",
        code="no-run",
        notes=["a run is a run folder, or a recipe's name for its latest one under ./runs"],
        help=did_you_mean(Path(text).name, names),
    )


def _latest_of_all() -> Path:
    runs = [run for series in RUNS.glob("*") for run in numbered(series) if is_run(run)]
    if not runs:
        raise CheckpointError("there is no run under ./runs yet", code="no-run", help="zoo run quickstart makes one")
    return max(runs, key=lambda run: ((run / CHECKPOINTS / LAST).is_dir(), (run / RESOLVED).stat().st_mtime))


def is_of_run(path: Path) -> bool:
    """Whether a path is a run folder, or that of one of its checkpoints; any other folder may bear a target's name."""
    return is_dir(path) and is_run(run_of(path))


def run_of(folder: Path) -> Path:
    """The run folder that a checkpoint's folder lies in; any other folder itself."""
    whole = folder.absolute()
    if whole.parent.name != CHECKPOINTS or is_run(folder):
        return folder
    return folder.parent.parent if len(folder.parts) > 2 else whole.parent.parent
