"""A TARGET as a file that runs without zoo, with what whoever runs it has to know. Floor 7."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo import __version__
from zoo.assemble.complete import complete
from zoo.assemble.finding import find_run, is_of_run, newest_run, read_result, run_and_checkpoint
from zoo.assemble.known_data import KnownData, read_known_data
from zoo.assemble.loading import load_checkpoint, load_target
from zoo.assemble.networks import Network, Shape
from zoo.assemble.opening import recipe_of
from zoo.assemble.resolve import resolve
from zoo.assemble.shipped import shipped_recipe
from zoo.assemble.targets import network, run_named
from zoo.data import TransformSpec
from zoo.diagnostics import Diagnostics, Say
from zoo.document import Mapping as MappingNode
from zoo.document import plain
from zoo.errors import CheckpointError, UsageError, raise_if_errors
from zoo.exchange.export import Exported, Port, export, format_of
from zoo.exchange.export.pixels import OfPixels
from zoo.layout import DATA, LAST, RESULT, RUNS, is_file

Facts = dict[str, Any]
_NOTHING = "ToTensorV2"  # what does nothing in zoo


@dataclass(frozen=True)
class ExportOptions:
    """What `zoo export` is asked for beside the target and the file."""

    checkpoint: str | None = None
    input_shape: Shape | None = None
    pixels: bool = False
    debug: bool = False


def export_target(target: str | None, out: Path, options: ExportOptions, note: Say) -> Exported:
    """Writes the network of a TARGET, by default the latest run, to a file. A recipe that was run is its latest run.

    ``note`` is told of a network that nobody has trained.

    Raises UsageError, ConfigError, CheckpointError and EnvironmentFault.
    """
    format_of(out)  # a slip in the name is told before the network is built
    run = find_run(None) if target is None else run_named(target) or newest_run(RUNS / target)
    if run is None:
        assert target is not None
        return _of_network(target, out, options, note)
    named = target if target is not None and is_of_run(Path(target)) else str(run)
    return _of_run(*run_and_checkpoint(named, options.checkpoint), out, options, note)


def _of_network(target: str, out: Path, options: ExportOptions, note: Say) -> Exported:
    found = _network(target, options.input_shape)
    for option, is_given in (("--checkpoint", options.checkpoint is not None), ("--pixels", options.pixels)):
        if is_given:
            raise UsageError(f"{option} is for runs, and {target} is none", help=f"leave {option} out, or name a run")
    module = load_target(target, input_shape=options.input_shape, note=note)
    if not found.pretrained and found.weights is None:
        note(f"{target} is not trained: the weights in the file are random, others each time")
        if (run := _run_of_recipe(target)) is not None:
            note(f"warning: {target} was run: zoo export {run.parent.name} takes the weights of {run}")
    facts = {"network": found.name, **_versions()}
    _require_fit(found)
    return export(found.name, module.eval(), _inputs(found), out, facts, debug=options.debug)


def _of_run(run: Path, checkpoint: str, out: Path, options: ExportOptions, note: Say) -> Exported:
    found = _network(str(run), options.input_shape).untrained
    module: nn.Module = found.build()
    with _of_this_input(run, options.input_shape):
        load_checkpoint(module, run, checkpoint)
    _require_fit(found)
    checked = recipe_of(run)
    inputs, transforms = _inputs(found), _that_do_something(plain(_eval_of(complete(checked))))
    data = read_known_data(run) if (run / DATA).is_file() else None  # old runs have none
    if data is not None:
        transforms = [_with_statistics(each, data) for each in transforms]
    _tell_of_gaps(run, options.input_shape, data, note)
    if options.pixels:
        module = _of_pixels(module, [each for each in checked.eval_transforms if each.name != _NOTHING], data)
        inputs = {key: Port((*one.shape[1:], one.shape[0]), torch.uint8) for key, one in inputs.items()}
        transforms = [each for each in transforms if "Normalize" not in each]
    facts = {
        "network": found.name,
        "recipe": checked.recipe.name,
        "run": str(run),
        "checkpoint": checkpoint,
        "test_accuracy": _accuracy(run) if checkpoint == LAST else None,
        **(_of_data(data) if data is not None else {}),
        "transforms": transforms,
        **_versions(),
    }
    return export(found.name, module.eval(), inputs, out, facts, debug=options.debug)


def _require_fit(found: Network) -> None:
    """Raises UsageError for a foreign model that cannot take the images asked for; a plan was checked before."""
    if found.foreign is not None:
        _ = found.output_shape


@contextmanager
def _of_this_input(run: Path, shape: Shape | None) -> Iterator[None]:
    """Has weights that do not fit be the fault of ``--input``, where it says what they were not trained for."""
    try:
        yield
    except CheckpointError as error:
        if shape is None or error.code != "weights-mismatch":
            raise
        own = _sizes(_network(str(run), None).input_shape)
        message = f"--input {_sizes(shape)}: {error.message}"
        raise UsageError(message, notes=error.notes, help=f"leave it out: {run} was trained on {own}") from None


def _run_of_recipe(target: str) -> Path | None:
    """The latest run that bears the name of a recipe, which its file or its name under a folder does not say."""
    if shipped_recipe(target) is None and not is_file(Path(target)):
        return None
    resolved = resolve(target, (), Diagnostics())
    return newest_run(RUNS / resolved.recipe.name) if resolved is not None else None


def _tell_of_gaps(run: Path, shape: Shape | None, data: KnownData | None, note: Say) -> None:
    """Notes what the file does not say, or says of other images than it takes."""
    if data is None:
        note(f"warning: {run} has no {DATA}: the file does not say its classes, nor the mean and std of its data")
    own = _network(str(run), None).input_shape if shape is not None else shape
    if shape != own:
        note(
            f"warning: --input: the file takes {_sizes(shape)}, but resize_first and transforms, as it has them, give "
            f"{_sizes(own)}"
        )


def _sizes(shape: Shape | None) -> str:
    return ",".join(map(str, shape or ()))


def _network(target: str, shape: Shape | None) -> Network:
    diagnostics = Diagnostics()
    found = network(target, diagnostics, input_shape=shape)
    raise_if_errors(diagnostics)
    assert found is not None
    return found


def _inputs(found: Network) -> dict[str, Port]:
    """The network's inputs; a single one is called ``images``."""
    shapes = {key: Port(tuple(shape)) for key, shape in found.inputs.items()}
    return {"images": next(iter(shapes.values()))} if len(shapes) == 1 else shapes


def _versions() -> Facts:
    return {"zoo": __version__, "torch": torch.__version__}


def _accuracy(run: Path) -> float | None:
    if not (run / RESULT).is_file():
        return None
    accuracy: float | None = read_result(run).get("test", {}).get("accuracy")
    return accuracy


def _of_data(data: KnownData) -> Facts:
    """The classes in the order of the outputs; and the size that images of any other are brought to first, if any."""
    channels, height, width = data.image_shape
    first = {"height": height, "width": width, "interpolation": "bilinear", "antialias": True}
    return {"classes": list(data.classes), "channels": channels, "resize_first": first if data.one_size else None}


def _eval_of(recipe: MappingNode) -> Any:
    transforms = recipe.get("transforms")
    assert isinstance(transforms, MappingNode)
    return transforms.get("eval")


def _that_do_something(transforms: list[str | dict[str, Any]]) -> list[str | dict[str, Any]]:
    """The transforms as written, without zoo's ToTensorV2: albumentations' own moves the channels to the front."""
    return [each for each in transforms if _NOTHING not in each]


def _with_statistics(transform: str | dict[str, Any], data: KnownData) -> dict[str, Any]:
    """A transform with its arguments; Normalize with the data's mean and std, where it has none of its own."""
    ((name, given),) = ({transform: {}} if isinstance(transform, str) else transform).items()
    arguments = dict(given)
    if name == "Normalize" and data.mean is not None and data.std is not None:
        arguments = {"mean": list(data.mean), "std": list(data.std)} | arguments
    if "transforms" in arguments:
        arguments["transforms"] = [_with_statistics(each, data) for each in arguments["transforms"]]
    return {name: arguments}


def _of_pixels(module: nn.Module, transforms: Sequence[TransformSpec], data: KnownData | None) -> OfPixels:
    """The network behind the Normalize that ends the transforms; without one, uint8 images are scaled to 0..1.

    Raises UsageError where images are made floats in another way.
    """
    *before, last = transforms or (None,)
    if last is None or not any(each.gives_floats for each in transforms):
        return OfPixels(module, [0.0], [1.0], 255.0)
    is_plain = last.name == "Normalize" and last.p == 1 and last.argument("normalization") == "standard"
    if not is_plain or any(each is not None and each.gives_floats for each in before):
        raise UsageError(
            "--pixels needs transforms.eval to end with a Normalize for all images: it goes into the file",
            help="leave --pixels out: the file's metadata has the transforms",
        )
    given = {name: _numbers(last.arguments.get(name), getattr(data, name, None)) for name in ("mean", "std")}
    return OfPixels(module, given["mean"], given["std"], float(last.argument("max_pixel_value")))


def _numbers(written: Any, of_data: tuple[float, ...] | None) -> Sequence[float]:
    if written is not None:
        return written if isinstance(written, Sequence) else [written]
    if of_data is None:
        raise UsageError(
            "--pixels: the run is an old one, which did not write its data's mean and std down",
            help="leave --pixels out, and normalize as the training did",
        )
    return of_data
