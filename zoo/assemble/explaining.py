"""`zoo explain`: class activation maps for a run, a checkpoint or another library's pretrained model. Floor 7."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from zoo.assemble.finding import is_of_run, newest_run
from zoo.assemble.networks import Shape, foreign_network
from zoo.assemble.opening import TrainedNetwork
from zoo.assemble.targets import FOREIGN
from zoo.assemble.trained import (
    TrainedRun,
    image_files,
    network_images,
    open_network,
    open_run,
    read_image,
    resized,
)
from zoo.data.dataset import Image
from zoo.diagnostics import Say, counted
from zoo.disk import disk_faults, make_folder
from zoo.errors import UsageError
from zoo.explain import Explanation, MapLayer, choose_layer, explain, find_method, layers_with_maps, seen_pixels
from zoo.layout import FIGURES, RUNS, is_dir, is_file
from zoo.registry import did_you_mean
from zoo.schema.recipe import ExplainSection
from zoo.train import evaluate
from zoo.train.runtime import choose_device

FIGURE = 60  # images at a time: more would want the memory of more, and a picture larger than can be drawn
FEW = 4  # images that a message repeats
T = TypeVar("T")
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


def explain_target(target: str | None, options: ExplainOptions, note: Say) -> dict[str, Any]:
    """Draws the maps; the figure's path, and what each image was taken for."""
    if options.images and options.misclassified is not None:
        raise UsageError(
            "--images names images, --misclassified looks for some in the test set", help="leave one of the two out"
        )
    if target is None:
        _refuse_target_among(options.images)
    if options.method is not None:
        find_method(options.method)  # before anything is opened
    if target is not None and target.startswith(FOREIGN):
        return _explain_foreign(target, options, note)
    opened: TrainedNetwork
    if options.images:
        opened = open_network(target, device=options.device, data_dir=options.data_dir)
        question = _question_of(opened, options)
        shown = _named_images(opened, options.images)
    else:
        opened = open_run(target, device=options.device, data_dir=options.data_dir)
        question = _question_of(opened, options)
        shown = _test_images(opened, options, question.target_class)
    out = _made(options.out or opened.path / FIGURES)
    explanations = [question.answered(opened.module, images) for images in shown]
    return _deliver(explanations, options, out, opened.checked.recipe.name, note)


def _refuse_target_among(images: Sequence[Path]) -> None:
    """Raises UsageError where what is to be explained stands among the images, which take all that follows them."""
    target = next((image for image in images if _is_target(image)), None)
    if target is not None:
        kind = "model" if str(target).startswith(FOREIGN) else "run"
        rest = " ".join(shlex.quote(str(image)) for image in images[:FEW] if image != target)
        more = " …" if len(images) > FEW else ""
        behind = f" --images {rest}{more}" if rest else ""
        raise UsageError(
            f"{target} is a {kind}, and no image: --images takes all that follows it",
            help=f"what is explained stands before it: zoo explain {shlex.quote(str(target))}{behind}",
        )


def _is_target(path: Path) -> bool:
    """Whether a path that no image has is a run's, the name of one, or a foreign model's."""
    if str(path).startswith(FOREIGN):
        return True
    if is_dir(path):
        return is_of_run(path) or newest_run(path) is not None
    return not is_file(path) and newest_run(RUNS / path) is not None


def _made(out: Path) -> Path:
    """The folder to draw to, there before the work that a refusal would have cost. Raises EnvironmentFault."""
    make_folder(out)
    return out


@dataclass(frozen=True)
class _Images:
    """Some images: as the network sees them, float32 BCHW, and as people do; their labels where they are known."""

    seen: Tensor
    pixels: Sequence[Image]
    names: list[str]
    labels: list[int] | None = None


@dataclass(frozen=True)
class _Question:
    """What is asked about every image."""

    classes: Sequence[str]
    method: str
    layer: str
    layers: Mapping[str, MapLayer]  # those with maps, of which it is one
    target_class: int | None

    @classmethod
    def checked(
        cls, module: nn.Module, shape: Shape, classes: Sequence[str], options: ExplainOptions, settings: ExplainSection
    ) -> _Question:
        """What the options ask of a network, and the recipe where they do not say. Raises UsageError."""
        index = _class_index(options.class_name, classes) if options.class_name is not None else None
        layers = layers_with_maps(module, shape)
        layer = choose_layer(layers, options.layer or settings.layer, module)
        return cls(classes, find_method(options.method or settings.method).name, layer.name, layers, index)

    def answered(self, module: nn.Module, images: _Images) -> Explanation:
        """The images explained."""
        return explain(
            module,
            images.seen,
            images.pixels,
            self.classes,
            labels=images.labels,
            names=images.names,
            method=self.method,
            layer=self.layer,
            layers=self.layers,
            target_class=self.target_class,
        )


def _question_of(opened: TrainedNetwork, options: ExplainOptions) -> _Question:
    settings = opened.checked.recipe.explain
    return _Question.checked(opened.module, opened.input_shape, opened.data.classes, options, settings)


def _named_images(opened: TrainedNetwork, paths: Sequence[Path]) -> Iterator[_Images]:
    for files in _parts(image_files(paths)):
        seen = network_images(opened, files)
        yield _Images(seen, _as_seen(opened, seen), [file.name for file in files])


def _test_images(opened: TrainedRun, options: ExplainOptions, target_class: int | None) -> Iterator[_Images]:
    """Test images as the test itself made them."""
    test = opened.dataset.test
    for indices in _parts(_chosen(opened, options, target_class)):
        seen = opened.base.test.batch(1, indices).images
        labels = [int(test.labels[index]) for index in indices]
        yield _Images(seen, _as_seen(opened, seen), [test.id(index) for index in indices], labels)


def _as_seen(opened: TrainedNetwork, seen: Tensor) -> list[Image]:
    return list(seen_pixels(seen, opened.checked.eval_transforms, opened.data))


def _parts(things: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(things), FIGURE):
        yield things[start : start + FIGURE]


def _chosen(opened: TrainedRun, options: ExplainOptions, target_class: int | None) -> list[int]:
    """Misclassified test images, the most confident first; where a class is named and no number, any of that class."""
    base, test = opened.base, opened.dataset.test
    found = evaluate(base.module, base.test, base.loss, runtime=base.runtime, keep=True)
    assert found.probabilities is not None
    assert found.predictions is not None
    assert found.indices is not None
    labels = test.labels[found.indices]
    wanted = found.predictions != labels
    if target_class is not None:
        wanted = (labels == target_class) & (wanted | (options.misclassified is None))
    confident = np.argsort(-found.probabilities.max(axis=1), kind="stable")
    chosen = [int(found.indices[place]) for place in confident if wanted[place]]
    if not chosen:
        raise _nothing_to_explain(options)
    return chosen[: options.misclassified or opened.checked.recipe.explain.images]


def _nothing_to_explain(options: ExplainOptions) -> UsageError:
    if options.class_name is None:
        return UsageError("no test image is misclassified", help="name a class with --class, or images with --images")
    if options.misclassified is None:
        return UsageError(f"there is no test image of class {options.class_name}", help="name some with --images")
    return UsageError(
        f"no test image of class {options.class_name} is misclassified",
        help="leave --misclassified out, or name images with --images",
    )


def _class_index(name: str, classes: Sequence[str]) -> int:
    if name not in classes:
        raise UsageError(f"there is no class {name!r}", help=did_you_mean(name, list(classes)))
    return list(classes).index(name)


def _explain_foreign(target: str, options: ExplainOptions, note: Say) -> dict[str, Any]:
    """A pretrained model of timm or torchvision, on images that are named."""
    if not options.images:
        raise UsageError(f"{target} has no test images of its own", help="name some with --images")
    network = foreign_network(target, pretrained=True)
    if getattr(network.build("meta"), "num_classes", None) == 0:
        raise UsageError(
            f"{target} has no classes: its pretrained weights give features, and none of them speaks for anything",
            code="no-classes",
            help="explain a run that was trained from it, or a model with a head",
        )
    if network.download is not None:
        note(network.download)
    files = image_files(options.images)
    device = torch.device(choose_device(options.device).value)
    module = network.build().eval().to(device)
    shape, classes = network.inputs["input"], imagenet_classes(network.output_shape[1])
    question = _Question.checked(module, shape, classes, options, ExplainSection())
    statistics = statistics_of(target, module)
    out, explanations = _made(options.out or Path()), []
    for part in _parts(files):
        pixels = [resized(read_image(file, 3), *shape[1:]) for file in part]
        images = _Images(_normalised(pixels, *statistics).to(device), pixels, [file.name for file in part])
        explanations.append(question.answered(module, images))
    return _deliver(explanations, options, out, target, note)


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


def _deliver(
    explanations: Sequence[Explanation], options: ExplainOptions, out: Path, name: str, note: Say
) -> dict[str, Any]:
    """Draws a figure of each part, tells what was found, and gives it as data."""
    first, cells = explanations[0], [cell for part in explanations for cell in part.cells]
    wrong = sum(cell.is_wrong for cell in cells)
    told = counted(len(cells), "image") + (f", {wrong} of them misclassified" if wrong else "")
    note(f"{first.method} at {first.layer}: {told}")
    if first.remark:
        note(first.remark)
    asked = [options.class_name or "", *(path.stem for path in options.images[:1])]
    words = [word for word in ("explain", name, first.method, first.layer, *asked) if word]
    stem = "_".join(map(_in_a_file_name, words))
    stems = [stem + (f"_{number}" if number > 1 else "") for number in range(1, len(explanations) + 1)]
    with disk_faults(out):
        paths = [part.draw(out / f"{stem}.png") for stem, part in zip(stems, explanations, strict=True)]
    images = [
        {"name": cell.name, "predicted": cell.predicted, "confidence": cell.confidence, "true": cell.true}
        for cell in cells
    ]
    return {"figures": list(map(str, paths)), "method": first.method, "layer": first.layer, "images": images}


def _in_a_file_name(text: str) -> str:
    """A name with nothing in it that a file's must not have, and no longer than it may be."""
    return re.sub(r"[^\w.+-]+", "_", text)[:60]
