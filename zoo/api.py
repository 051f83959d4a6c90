"""What the commands do, from Python: functions that return data and raise :mod:`zoo.errors`. Below the roof."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.diagnostics import Diagnostic, Diagnostics
from zoo.errors import raise_if_errors

if TYPE_CHECKING:
    from torch import nn

    from zoo.summary import Summary


def load_model(target: str | Path, *, weights: str | Path | None = None, **params: Any) -> nn.Module:
    """The network of a TARGET as an ``nn.Module``: fp32, contiguous, on the CPU, in evaluation mode only if trained.

    Args:
        target: An architecture's name or file, a recipe, ``timm:NAME``, ``torchvision:NAME``, a run folder, whose
            last weights are loaded, or one of its checkpoints.
        weights: A file of weights to load, or ``pretrained`` for a timm or torchvision model.
        params: The architecture's params, or the foreign model's arguments.

    Raises ConfigError, UsageError, CheckpointError.
    """
    from zoo.assemble.loading import load_target

    return load_target(str(target), weights=weights, params=params)


def summary(target: str | Path, *, input_shape: tuple[int, ...] | None = None) -> Summary:
    """A TARGET's layers, parameters and FLOPs. Nothing is allocated."""
    from zoo.assemble.views import summarize_target

    diagnostics = Diagnostics()
    found = summarize_target(str(target), diagnostics, input_shape=input_shape)
    raise_if_errors(diagnostics)
    assert found is not None
    return found


def check(*files: str | Path) -> list[Diagnostic]:
    """Every message about these architectures and recipes, warnings too; empty where all is well."""
    from zoo.assemble.check import check_file

    return [item for file in files for item in check_file(str(file))]


def run(
    recipe: str | Path,
    *,
    sets: Mapping[str, Any] | None = None,
    run_dir: Path | str | None = None,
    resume: bool = False,
    device: str = "auto",
    data_dir: Path | str | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Trains a recipe and returns what its `result.json` holds. ``sets`` maps dotted paths to values."""
    from zoo.assemble.options import RunOptions
    from zoo.assemble.run import run_recipe
    from zoo.document.writer import flow_text

    options = RunOptions(
        sets=tuple(f"{path}={flow_text(value)}" for path, value in (sets or {}).items()),
        run_dir=Path(run_dir) if run_dir is not None else None,
        resume=resume,
        device=device,
        data_dir=Path(data_dir) if data_dir is not None else None,
        quiet=True,
    )
    return run_recipe(str(recipe), options, raise_if_errors, note)


def explain(
    target: str | Path | None = None,
    *,
    method: str | None = None,
    layer: str | None = None,
    images: str | Path | Iterable[str | Path] = (),
    misclassified: int | None = None,
    class_name: str | None = None,
    out: Path | str | None = None,
    device: str = "auto",
    data_dir: Path | str | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Draws class activation maps; returns the figures' paths and what each image was taken for."""
    from zoo.assemble.explaining import ExplainOptions, explain_target

    options = ExplainOptions(
        method=method,
        layer=layer,
        images=tuple(_paths(images)),
        misclassified=misclassified,
        class_name=class_name,
        out=Path(out) if out is not None else None,
        device=device,
        data_dir=Path(data_dir) if data_dir is not None else None,
    )
    return explain_target(str(target) if target is not None else None, options, note)


def predict(
    run: str | Path,
    images: str | Path | Iterable[str | Path],
    *,
    top: int = 3,
    checkpoint: str | None = None,
    device: str = "auto",
) -> list[dict[str, Any]]:
    """Classifies images with a run's last weights: for each its path and the likeliest classes.

    ``checkpoint`` names other weights (`best`); ``run`` may be a checkpoint's own folder too.
    """
    from zoo.assemble.trained import predict_images

    return predict_images(str(run), _paths(images), top=top, checkpoint=checkpoint, device=device)


def _paths(images: str | Path | Iterable[str | Path]) -> list[Path]:
    """One path or several."""
    return [Path(images)] if isinstance(images, str | Path) else [Path(image) for image in images]
