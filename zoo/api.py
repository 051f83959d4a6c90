"""What the commands do, from Python: functions that return data and raise :mod:`zoo.errors`. Below the roof."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.diagnostics import Diagnostic, Diagnostics
from zoo.errors import UsageError, raise_if_errors

if TYPE_CHECKING:
    from torch import nn

    from zoo.summary import Summary


def load_model(
    target: str | Path,
    *,
    weights: str | Path | None = None,
    note: Callable[[str], None] = lambda text: None,
    **params: Any,
) -> nn.Module:
    """The network of a TARGET as an ``nn.Module``: fp32, contiguous, on the CPU, in evaluation mode only if trained.

    Args:
        target: An architecture's name or file, a recipe, ``timm:NAME``, ``torchvision:NAME``, a run folder, whose
            last weights are loaded, or one of its checkpoints.
        weights: A file of weights to load, or ``pretrained`` for a timm or torchvision model.
        note: Gets a line on what was loaded, and on what is new or was resampled for other classes, channels or images.
        params: The architecture's params, or the foreign model's arguments; numbers and arrays of NumPy, too.

    Raises:
        ConfigError: The architecture or recipe is wrong.
        UsageError: There is no such target, or it does not take these params or weights.
        CheckpointError: The weights cannot be read or do not fit, or the run has none.
        EnvironmentFault: The machine cannot hold the network, or the library's weights cannot be had.
    """
    from zoo.assemble.loading import load_target
    from zoo.document.python_values import in_yaml

    params = {name: in_yaml(value, name) for name, value in params.items()}
    return load_target(str(target), weights=weights, params=params, note=note)


def summary(target: str | Path, *, input_shape: tuple[int, ...] | None = None) -> Summary:
    """A TARGET's layers, parameters and FLOPs. Nothing is allocated.

    ``input_shape`` is that of one image, (C, H, W), in place of the network's own. Raises ConfigError where the
    network is wrong or does not take such images, UsageError where there is no such target, these are no sizes, or a
    model of timm or torchvision refuses them.
    """
    from zoo.assemble.summaries import summarize_target

    diagnostics = Diagnostics()
    found = summarize_target(str(target), diagnostics, input_shape=_sizes(input_shape))
    raise_if_errors(diagnostics)
    assert found is not None
    return found


def _sizes(shape: Iterable[int] | None) -> tuple[int, ...] | None:
    from zoo.document.python_values import in_yaml

    sizes = None if shape is None else in_yaml(shape, "input_shape")
    if sizes is not None and not (isinstance(sizes, list) and all(type(size) is int and size > 0 for size in sizes)):
        raise UsageError(f"`input_shape` wants sizes such as (3, 32, 32), got {shape!r}")
    return None if sizes is None else tuple(sizes)


def check(*files: str | Path, sets: Mapping[str, Any] | None = None) -> list[Diagnostic]:
    """Every message about these architectures and recipes, warnings too; empty where all is well.

    ``sets`` are values by their dotted paths, in place of each recipe's. What is wrong is returned, not raised: also
    that there is no such file. Raises UsageError for a value that YAML has no form for, or a path that is none.
    """
    from zoo.assemble.check import check_files
    from zoo.document import read_sets
    from zoo.document.overrides import set_texts

    return list(check_files(tuple(map(str, files)), read_sets(set_texts(sets))))


def run(
    recipe: str | Path,
    *,
    sets: Mapping[str, Any] | None = None,
    run_dir: Path | str | None = None,
    resume: bool = False,
    epochs: float | None = None,
    device: str = "auto",
    data_dir: Path | str | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Trains a recipe and returns what its `result.json` holds.

    Args:
        recipe: A recipe's file, or the name of one that ships with zoo.
        sets: Values by their dotted paths, in place of the recipe's; paths, and NumPy's numbers and arrays, too.
        run_dir: The run's folder; by default the next one under ``runs/NAME``.
        resume: Whether to go on with the run in that folder, or with the recipe's latest.
        epochs: ``train.epochs``, which may be more than those of the run that is resumed.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, …
        data_dir: A folder to look for the data set in before all others.
        note: Gets each line that a command would say on the way, warnings of the recipe among them.

    Raises:
        ConfigError: The recipe or its network is wrong, or no longer the one that a resumed run began with.
        UsageError: An option is wrong, or the run's folder is in the way.
        DataError: The data set is missing, broken, or does not fit the recipe.
        CheckpointError: Weights, or what a resumed run left, cannot be used.
        DivergedError: The loss, a gradient or a weight is not finite.
        EnvironmentFault: The disk, the memory or a permission is not enough, or another process holds the folder.
        WorkerError: A loader worker or a rank died or hangs.
        StoppedBySignal: A signal ended the run after a checkpoint was written.
    """
    from zoo.assemble.options import RunOptions
    from zoo.assemble.run import run_recipe
    from zoo.document.overrides import set_texts
    from zoo.document.python_values import in_yaml

    options = RunOptions(
        sets=set_texts(sets),
        run_dir=Path(run_dir) if run_dir is not None else None,
        resume=resume,
        epochs=in_yaml(epochs, "epochs"),
        device=str(device),
        data_dir=Path(data_dir) if data_dir is not None else None,
        quiet=True,
    )

    def settle(diagnostics: Diagnostics) -> None:
        raise_if_errors(diagnostics)
        for warning in diagnostics.warnings:
            note(f"warning: {warning}")

    return run_recipe(str(recipe), options, settle, note)


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
    """Draws class activation maps.

    Args:
        target: A run, by its folder or its recipe's name, or one of its checkpoints; by default the latest run. Or
            ``timm:NAME`` or ``torchvision:NAME``, which is explained with its library's weights.
        method: The method's name; by default the recipe's.
        layer: The layer's dotted name; by default the recipe's, else the last with a map worth looking at.
        images: Files and folders of images; by default test images that are misclassified.
        misclassified: How many of those, the most confident first.
        class_name: The class to explain, instead of the one predicted; without ``images`` its test images are shown.
        out: The folder for the figures; by default the run's ``figures``, for a foreign model the present one.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, …
        data_dir: A folder to look for the data set in before all others.
        note: Gets each line that a command would say on the way.

    Returns:
        ``figures``, the paths of what was drawn; ``method`` and ``layer``; and ``images``, for each its ``name``, the
        class ``predicted`` with its ``confidence``, and ``true``, its own class, None where it is not known.

    Raises:
        UsageError: An option is wrong, nothing fits it, or the method cannot explain this network.
        ConfigError: The run's recipe is wrong.
        DataError: The run's data set, or an image, is missing or broken.
        CheckpointError: There is no such run, or it cannot be used.
        EnvironmentFault: The figures cannot be written, a foreign model's weights cannot be had, or memory is short.
        WorkerError: A loader worker died or hangs.
    """
    from zoo.assemble.explaining import ExplainOptions, explain_target

    options = ExplainOptions(
        method=method,
        layer=layer,
        images=tuple(_paths(images)),
        misclassified=misclassified,
        class_name=class_name,
        out=Path(out) if out is not None else None,
        device=str(device),
        data_dir=Path(data_dir) if data_dir is not None else None,
    )
    return explain_target(str(target) if target is not None else None, options, note)


def predict(
    run: str | Path | Sequence[str | Path],
    images: str | Path | Iterable[str | Path],
    *,
    top: int = 3,
    checkpoint: str | None = None,
    device: str = "auto",
) -> list[dict[str, Any]]:
    """Classifies images with a run's last weights, or with several runs, whose probabilities are averaged.

    Args:
        run: A run, by its folder or its recipe's name, or one of its checkpoints; several of them; or a folder of
            several, as ``--run-dir`` of a grid or of seeds makes it.
        images: Files and folders of images.
        top: How many of the likeliest classes are told.
        checkpoint: Which weights, ``best`` for example.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, …

    Returns:
        For each image ``image``, its path, and ``classes``: the likeliest first, each with ``class``, its name, and
        ``probability``.

    Raises:
        UsageError: An option is wrong, there are no images, or the classes of two runs differ.
        ConfigError: The run's recipe is wrong.
        DataError: Images cannot be read, or do not fit the network; its ``predictions`` are those of the others.
        CheckpointError: There is no such run or checkpoint, or it cannot be used.
        EnvironmentFault: Memory is short.
    """
    from zoo.assemble.trained import predict_images

    runs = list(map(str, _paths(run)))
    return predict_images(runs, _paths(images), top=top, checkpoint=checkpoint, device=str(device))


def _paths(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """One path or several."""
    return [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
