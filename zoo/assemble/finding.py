"""Where a run is, by its folder, a checkpoint's, or a recipe's name; and what came of it. Floor 7; no torch.

The link `latest` is for people. It may hang (its run was removed) or lag (two runs began at once), so nothing is read
through it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zoo.errors import CheckpointError, UsageError
from zoo.layout import CHECKPOINTS, LAST, RESOLVED, RESULT, RUNS, is_dir, is_run, numbered
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


def newest_run(series: Path) -> Path | None:
    """The last run there; one that failed before its first checkpoint only where there is no other."""
    begun = [path for path in (numbered(series) if is_dir(series) else ()) if is_run(path)]
    trained = [path for path in begun if (path / CHECKPOINTS / LAST).is_dir()]
    return next(reversed(trained or begun), None)


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


def read_result(folder: Path) -> dict[str, Any]:
    """A finished run's result.json, the folder as it is called here. Raises CheckpointError where it is not there or
    broken.
    """
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"the run in {folder} is not finished: it has no {RESULT}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder / RESULT} cannot be read: {error}") from error
    if not isinstance(result, dict) or not isinstance(result.get("test", {}), dict):
        raise CheckpointError(f"{folder / RESULT} is no mapping, or its test is none")
    return {**result, "run_dir": str(folder)}  # a run folder may have been moved, or copied
