"""A TARGET as a module with its weights. Floor 7."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from zoo.assemble.finding import is_of_run, run_and_checkpoint
from zoo.assemble.networks import Shape
from zoo.assemble.targets import network, run_named
from zoo.diagnostics import Diagnostics, Say
from zoo.errors import CheckpointError, raise_if_errors
from zoo.layout import CHECKPOINTS
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
