"""`zoo explain`: class activation maps for a run, a checkpoint or another library's pretrained model. Floor 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.assemble.networks import foreign_network
from zoo.assemble.options import Note
from zoo.assemble.targets import FOREIGN
from zoo.assemble.trained import (
    TrainedNetwork,
    TrainedRun,
    network_images,
    open_network,
    open_run,
    read_image,
    resized,
)
from zoo.data.dataset import Image
from zoo.data.decoding import images_below
from zoo.errors import UsageError
from zoo.explain import Explanation, explain
from zoo.registry import did_you_mean
from zoo.train import evaluate
from zoo.train.runtime import choose_device

MISCLASSIFIED = 10  # images shown where nothing is asked for
Channels = tuple[float, ...]  # one number a channel


@dataclass(frozen=True)
class ExplainOptions:
    """What `zoo explain` is asked for; what is None is taken from the run's recipe."""

    method: str | None = None
    layer: str | None = None
    images: tuple[Path, ...] = ()
    misclassified: int | None = None
    class_name: str | None = None
    out: Path | None = None
    device: str = "auto"
    data_dir: Path | None = None


def explain_target(target: str | None, options: ExplainOptions, note: Note) -> dict[str, Any]:
    """Draws the maps; the figure's path, and what each image was taken for."""
    if options.images and options.misclassified is not None:
        raise UsageError(
            "--images names images, --misclassified looks for some in the test set", help="leave one of the two out"
        )
    if target is not None and target.startswith(FOREIGN):
        return _explain_foreign(target, options, note)
    opened: TrainedNetwork
    if options.images:
        opened = open_network(target, device=options.device, data_dir=options.data_dir)
        pixels, labels, names = _named_images(opened, options.images)
    else:
        opened = open_run(target, device=options.device, data_dir=options.data_dir)
        pixels, labels, names = _chosen_images(opened, options)
    settings = opened.resolved.recipe.explain
    explanation = explain(
        opened.module,
        network_images(opened, pixels),
        pixels,
        opened.data.classes,
        labels=labels,
        names=names,
        method=options.method or settings.method,
        layer=options.layer or settings.layer,
        target_class=_class_index(options.class_name, opened.data.classes) if options.class_name else None,
    )
    return _deliver(explanation, options.out or opened.path / "figures", opened.resolved.recipe.name, note)


Images = tuple[list[Image], list[int] | None, list[str]]  # uint8 HWC of the data's size; labels if known; names


def _named_images(opened: TrainedNetwork, paths: Sequence[Path]) -> Images:
    channels, height, width = opened.data.image_shape
    files = image_files(paths)
    pixels = [resized(read_image(file, channels), height, width) for file in files]
    return pixels, None, [file.name for file in files]


def _chosen_images(opened: TrainedRun, options: ExplainOptions) -> Images:
    _, height, width = opened.data.image_shape
    indices, test = _test_images(opened, options), opened.dataset.test
    pixels = [resized(test.image(index), height, width) for index in indices]
    return pixels, [int(test.labels[index]) for index in indices], [test.id(index) for index in indices]


def _test_images(opened: TrainedRun, options: ExplainOptions) -> list[int]:
    """Misclassified test images, the most confident first; where a class is named and no number, any of that class."""
    base, test = opened.base, opened.dataset.test
    found = evaluate(base.module, base.test, base.loss, runtime=base.runtime, keep=True)
    assert found.probabilities is not None
    assert found.predictions is not None
    assert found.indices is not None
    labels = test.labels[found.indices]
    wanted = found.predictions != labels
    if options.class_name is not None:
        of_class = labels == _class_index(options.class_name, opened.data.classes)
        wanted = of_class & wanted if options.misclassified else of_class
    confident = np.argsort(-found.probabilities.max(axis=1), kind="stable")
    chosen = [int(found.indices[place]) for place in confident if wanted[place]]
    if not chosen:
        raise UsageError("there is no such test image to explain", help="name some with --images")
    count = options.misclassified or opened.resolved.recipe.explain.images
    return chosen[:count]


def _class_index(name: str, classes: Sequence[str]) -> int:
    if name not in classes:
        raise UsageError(f"there is no class {name!r}", help=did_you_mean(name, list(classes)))
    return list(classes).index(name)


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Files as they are; of folders the images in them. Raises UsageError where there are none."""
    files = [file for path in paths for file in (images_below(path) if path.is_dir() else [path])]
    if not files:
        raise UsageError(f"there are no images in {', '.join(map(str, paths))}")
    return files


def _explain_foreign(target: str, options: ExplainOptions, note: Note) -> dict[str, Any]:
    """A pretrained model of timm or torchvision, on images that are named."""
    if not options.images:
        raise UsageError(f"{target} has no test images of its own", help="name some with --images")
    network = foreign_network(target, pretrained=True)
    if network.download is not None:
        note(network.download)
    _, height, width = network.inputs["input"]
    files = image_files(options.images)
    pixels = [resized(read_image(file, 3), height, width) for file in files]
    device = torch.device(choose_device(options.device).value)
    module = network.build().eval().to(device)
    classes = imagenet_classes(network.output_shape[1])
    explanation = explain(
        module,
        _normalised(pixels, *statistics_of(target, module)).to(device),
        pixels,
        classes,
        names=[file.name for file in files],
        method=options.method or "gradcam",
        layer=options.layer,
        target_class=_class_index(options.class_name, classes) if options.class_name else None,
    )
    return _deliver(explanation, options.out or Path(), target.replace(":", "_"), note)


def imagenet_classes(count: int) -> tuple[str, ...]:
    """The names of ImageNet's 1,000 classes; numbers where the head has another size."""
    if count != 1000:
        return tuple(f"class {number}" for number in range(count))
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.DEFAULT.meta["categories"])


def statistics_of(target: str, module: nn.Module) -> tuple[Channels, Channels]:
    """Mean and standard deviation (0..1 units) that a pretrained model's images were normalised with.

    As its library says: many of timm's are not ImageNet's.
    """
    library, _, name = target.partition(":")
    if library == "timm":
        known: dict[str, Any] = module.pretrained_cfg  # type: ignore[assignment]  # every timm model has it
        return known["mean"], known["std"]
    from torchvision.models import get_model_weights

    transforms = get_model_weights(name).DEFAULT.transforms()
    return tuple(transforms.mean), tuple(transforms.std)


def _normalised(pixels: Sequence[Image], mean: Channels, std: Channels) -> Tensor:
    """Images as a pretrained model wants them, float32 BCHW."""
    images_BCHW = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    return (images_BCHW - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)


def _deliver(explanation: Explanation, out: Path, name: str, note: Note) -> dict[str, Any]:
    count, wrong = len(explanation.cells), sum(cell.is_wrong for cell in explanation.cells)
    told = f"{count} image{'s' if count > 1 else ''}" + (f", {wrong} of them misclassified" if wrong else "")
    note(f"{explanation.method} at {explanation.layer}: {told}")
    if explanation.remark:
        note(explanation.remark)
    out.mkdir(parents=True, exist_ok=True)
    path = explanation.draw(out / f"explain_{name}_{explanation.method}.png")
    images = [
        {"name": cell.name, "predicted": cell.predicted, "confidence": cell.confidence, "true": cell.true}
        for cell in explanation.cells
    ]
    return {"figures": [str(path)], "method": explanation.method, "layer": explanation.layer, "images": images}
