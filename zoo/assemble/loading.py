"""A TARGET as a module with its weights. Floor 7."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from zoo.assemble.networks import Shape
from zoo.assemble.options import Say
from zoo.assemble.series import newest_run
from zoo.assemble.targets import is_of_run, network, run_named, run_of
from zoo.diagnostics import Diagnostics
from zoo.errors import CheckpointError, UsageError, raise_if_errors
from zoo.layout import CHECKPOINTS, LAST, RESOLVED, RUNS, is_run, numbered
from zoo.models import load_weights
from zoo.registry import did_you_mean
from zoo.train import Checkpoint, read_checkpoint
from zoo.train.state import require_fit


def load_target(
    target: str,
    *,
    weights: str | Path | None = None,
    params: dict[str, Any] | None = None,
    input_shape: Shape | None = None,
    note: Say = lambda text: None,
) -> nn.Module:
    """The module: fp32, contiguous, on the CPU; a run's with the weights of its last checkpoint, or of the one named.

    One that has trained weights is in evaluation mode. ``note`` is told what of a file was loaded, and what is new or
    was changed.

    ``weights="pretrained"`` gives a timm or torchvision model its library's, as `weights: pretrained` of a recipe does.
    """
    diagnostics = Diagnostics()
    found = network(target, diagnostics, params=params, input_shape=input_shape)
    raise_if_errors(diagnostics)
    assert found is not None
    if found.foreign is not None and weights == "pretrained":
        found = replace(found, pretrained=True)
    elif weights is not None:
        found = replace(found, pretrained=False, weights=Path(weights))
    module = found.build(note=note)
    if found.weights is not None:
        note(load_weights(module, found.weights, foreign=found.foreign))
    elif weights is None and (run := run_named(target)) is not None:
        load_checkpoint(module, *run_and_checkpoint(target if is_of_run(Path(target)) else str(run)))
    elif not found.pretrained:
        return module
    return module.eval()


def load_checkpoint(module: nn.Module, run: Path, name: str) -> Checkpoint:
    """Loads a run's checkpoint, verified, into a module. Raises CheckpointError."""
    folder = run / CHECKPOINTS / name
    if not folder.is_dir():
        there = sorted(path.name for path in (run / CHECKPOINTS).glob("[!.]*"))
        raise CheckpointError(
            f"{run} has no checkpoint {name!r}", help=did_you_mean(name, there) or "there are none yet"
        )
    checkpoint = read_checkpoint(folder)
    require_fit(module.state_dict(), checkpoint.model, folder)
    module.load_state_dict(checkpoint.model)
    return checkpoint


def run_and_checkpoint(text: str | None, checkpoint: str | None = None) -> tuple[Path, str]:
    """A run as :func:`find_run` finds it, and which of its checkpoints: the folder of one names both, else `last`.

    Raises UsageError where ``checkpoint`` names another than the folder.
    """
    path = Path(text) if text is not None else None
    if path is None or not _is_checkpoint(path):
        return find_run(text), checkpoint or LAST
    named = path.absolute().name
    if checkpoint not in (None, named):
        raise UsageError(
            f"{path} is the checkpoint {named!r}, --checkpoint names {checkpoint!r}", help="name one alone"
        )
    return run_of(path), named


def _is_checkpoint(path: Path) -> bool:
    """Whether a path is one in the `checkpoints` of a run, a misspelt one too: which there are is told on loading."""
    run = run_of(path)
    return run != path and is_run(run)


def find_run(text: str | None) -> Path:
    """A run folder by its path, that of one of its checkpoints, a recipe's name (its latest run), None (the latest).

    Raises CheckpointError where there is none.
    """
    if text is None:
        return _latest_of_all()
    if _is_checkpoint(Path(text)):
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
