"""A trained run opened by what it keeps of itself, its data set left alone. Floor 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from zoo.assemble.check import Checked, checked_recipe
from zoo.assemble.environment import with_plugins_of
from zoo.assemble.fitting import fitting_network
from zoo.assemble.known_data import KnownData, read_known_data
from zoo.assemble.loading import load_checkpoint
from zoo.assemble.networks import Network, Shape
from zoo.assemble.precision import settle_precision
from zoo.data import make_batches
from zoo.data.dataset import ArraySplit, Image, LazySplit
from zoo.diagnostics import Diagnostics
from zoo.document import Mapping, Override, read_file
from zoo.errors import CheckpointError, ConfigError
from zoo.layout import ARCHITECTURE, RESOLVED
from zoo.train import Runtime


@dataclass(frozen=True)
class TrainedNetwork:
    """A run's network with a checkpoint's weights: placed, in evaluation mode; and what it has to know of its data."""

    path: Path
    checkpoint: str
    checked: Checked
    data: KnownData
    runtime: Runtime
    network: Network
    module: nn.Module
    input_shape: Shape  # of the images that reach the network: channels, height, width


def open_described(path: Path, checkpoint: str, *, device: str = "auto") -> TrainedNetwork:
    """Opens a run by its data.json. Raises CheckpointError, ConfigError."""
    data = read_known_data(path)
    checked = recipe_of(path)
    settings = checked.recipe.train
    runtime = Runtime.choose(device, settings.precision, settings.channels_last, settings.compile)
    channels, height, width = data.image_shape
    blank = np.zeros((height, width, channels), dtype=np.uint8)
    shape = tuple(seen_by_network([blank], ["an image"], checked, data, runtime).shape[1:])
    network = fitting_network(checked, data, shape)
    module = runtime.place(network.untrained.build())
    settle_precision(runtime, settings.precision, module, network)  # as the training did
    load_checkpoint(module, path, checkpoint)
    return TrainedNetwork(path, checkpoint, checked, data, runtime, network, module.eval(), shape)


def recipe_of(path: Path) -> Checked:
    """The run's recipe, its network that of the graph which it keeps: a shipped one may be another by now."""
    diagnostics = Diagnostics()
    document = read_file(path / RESOLVED, diagnostics)
    if document is None:
        (first, *_) = diagnostics
        raise CheckpointError(
            f"{path / RESOLVED} is damaged: {first.message}",
            span=first.span,
            help="put the file back as the run wrote it; model.safetensors holds the weights all the same",
        )
    model = document.get("model")
    has_graph = isinstance(model, Mapping) and "architecture" in model and (path / ARCHITECTURE).is_file()
    own_graph = [Override("model.architecture", ARCHITECTURE)] if has_graph else []
    found = checked_recipe(str(path / RESOLVED), diagnostics, overrides=own_graph)
    if found is None:
        raise ConfigError(with_plugins_of(path, diagnostics))
    return found


def seen_by_network(
    pixels: Sequence[Image],
    names: Sequence[str],
    checked: Checked,
    data: KnownData,
    runtime: Runtime,
) -> Tensor:
    """Images (uint8, HWC, as the data's in channels) under the recipe's transforms for evaluation, float32 BCHW."""
    labels = np.zeros(len(pixels), dtype=np.int64)
    pick = pixels.__getitem__
    batches = make_batches(
        ArraySplit(np.stack(pixels), labels, names) if data.one_size else LazySplit(pick, labels, names, names),
        checked.eval_transforms,
        batch_size=len(pixels),
        shuffle=False,
        device=runtime.device,
        dataset=data,
        backend=checked.recipe.transforms.backend,
    )
    return next(iter(batches.epoch(1))).images
