"""A task for all forms, made of one of zoo's recipes. The only module here, beside ``zoo_fit``, that imports zoo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from loops.task import Augment, Task
from zoo.assemble.build import open_data
from zoo.assemble.check import Checked
from zoo.assemble.options import RunOptions
from zoo.assemble.run import prepare
from zoo.data import Dataset, TransformSpec
from zoo.data.dataset import ArraySplit
from zoo.diagnostics import Diagnostics
from zoo.errors import UsageError, raise_if_errors
from zoo.exchange.eject import eject
from zoo.summary import summarize
from zoo.train import Runtime
from zoo.train.misread import misread_layer

LR = 0.01  # low enough for any network to train in peace
CIFAR10 = 50_000  # images: where none are at hand, an epoch is taken to be as long as CIFAR-10's
NEEDS_NO_FILES = ("digits", "synthetic")


@dataclass(frozen=True)
class Length:
    """How much is trained: ``turns`` of ``steps`` each."""

    steps: int
    turns: int


def settle(diagnostics: Diagnostics) -> None:
    """Raises ConfigError where a recipe is wrong; its warnings are not this program's matter."""
    raise_if_errors(diagnostics)


def make_task(
    recipe: str,
    length: Length,
    *,
    sets: Sequence[str] = (),
    device: str = "auto",
    data_dir: Path | None = None,
    workers: int = 0,
    threads: int | None = None,
    shared_data: bool = False,
    augmented: bool = True,
    clock: str = "wall",
) -> tuple[Task, int]:
    """The task, and the operations of one image's forward pass.

    The recipe's own learning rate, schedule and number of epochs give way to ones that every form can follow.
    Raises UsageError for a recipe that has parts which not every form knows.
    """
    options = RunOptions(sets=(*sets, *_even(length, augmented=augmented)), device=device, data_dir=data_dir)
    checked = prepare(recipe, options, settle)
    _require_plain(checked)
    assert checked.network.plan is not None
    dataset, in_full = _data(checked, data_dir, length.steps * checked.data.batch_size)
    assert dataset.train.images is not None
    settings = checked.recipe.train
    runtime = Runtime.choose(device, settings.precision)
    if runtime.precision == "fp16":
        raise UsageError("the forms know fp32 and bf16", help="--set train.precision=fp32")
    torch.manual_seed(checked.recipe.seed)
    network = checked.network.build()
    state = network.state_dict()
    shape = next(iter(checked.network.inputs.values()))
    if runtime.precision == "bf16" and runtime.device.type == "cpu" and misread_layer(network, torch.zeros(1, *shape)):
        raise UsageError("zoo would leave bf16 for this network, the others not", help="--set train.precision=fp32")
    optimizer = checked.recipe.optimizer
    assert isinstance(optimizer, dict)
    summary = summarize(checked.network.build("meta"), checked.network.inputs, name=checked.network.name)
    task = Task(
        recipe=recipe,
        sets=options.sets,
        source=eject(checked.network.plan),
        weights=safetensors.torch.save(state),
        images=dataset.train.images,
        labels=dataset.train.labels,
        classes=dataset.classes,
        mean=dataset.mean,
        std=dataset.std,
        augment=augment_of(checked.train_transforms, checked.network.inputs),
        loss=(checked.loss.name, checked.loss.arguments),
        optimizer=(optimizer["name"], {key: value for key, value in optimizer.items() if key != "name"}),
        batch_size=checked.data.batch_size,
        steps=length.steps,
        turns=length.turns,
        device=str(runtime.device),
        precision=runtime.precision,
        threads=threads or torch.get_num_threads(),
        workers=workers,
        log_every=max(1, min(50, in_full // checked.data.batch_size // 20)),
        shared_data=shared_data,
        clock=clock,
    )
    return task, summary.flops


def _even(length: Length, *, augmented: bool) -> tuple[str, ...]:
    """What makes the recipe's training one that every form can follow: a rate that falls linearly, no tests."""
    sets = (
        f"optimizer.lr={LR}",
        "schedule={name: PolynomialLR, power: 1.0, interval: step}",
        f"train.epochs={length.turns + 1}",  # the last one, which ends with a test, is not reached
        f"eval.every={length.turns + 2}",
    )
    return sets if augmented else (*sets, "transforms.train=[Normalize]")


def _require_plain(checked: Checked) -> None:
    """Raises UsageError where not every form could do the same."""
    recipe = checked.recipe
    settings = recipe.train
    extras = (settings.ema, settings.lookahead, settings.swa, settings.grad_clip)
    if checked.network.plan is None or recipe.model.weights is not None:
        raise UsageError("the network must be an architecture of zoo's, and untrained")
    if any(extra is not None for extra in extras) or settings.accumulate > 1:
        raise UsageError("the forms know no averaged weights, no clipping and no accumulation")
    simple = isinstance(recipe.optimizer, dict) and not {"groups", "params"} & set(recipe.optimizer)
    if not simple:
        raise UsageError("the forms know one optimizer with one group of parameters")


def _data(checked: Checked, data_dir: Path | None, count: int) -> tuple[Dataset, int]:
    """So many training images as a data set of their own, and how many there are in full."""
    if data_dir is not None or checked.data.source in NEEDS_NO_FILES:
        found = open_data(checked.resolved, data_dir=data_dir)
        if found.train.images is None:
            raise UsageError("the images must be of one size and fit into memory")
        these = np.arange(count) % len(found.train)  # a small set's images come more than once
        split = ArraySplit(found.train.images[these], found.train.labels[these])
        return Dataset(found.name, split, split, found.classes), len(found.train)
    (channels, height, width), (_, classes) = next(iter(checked.network.inputs.values())), checked.network.output_shape
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, height, width, channels), dtype=np.uint8)
    split = ArraySplit(images, random.integers(0, classes, count))
    return Dataset("noise", split, split, tuple(map(str, range(classes)))), CIFAR10


def augment_of(specs: Sequence[TransformSpec], inputs: Mapping[str, tuple[int, ...]]) -> Augment:
    """A recipe's transforms as the numbers every form is given. Raises UsageError for others than the originals'."""
    height, width = next(iter(inputs.values()))[1:]
    found = dict[str, Any]()
    for spec in specs:
        match spec.name, dict(spec.arguments):
            case "PadIfNeeded", {"min_height": tall, "min_width": wide, **rest} if (
                not rest and tall - height == wide - width
            ):
                found["pad"] = (tall - height) // 2
            case "RandomCrop", {"height": tall, "width": wide, **rest} if not rest and (tall, wide) == (height, width):
                continue
            case "HorizontalFlip", arguments if set(arguments) <= {"p"}:
                found["flip"] = arguments.get("p", 0.5)
            case "CoarseDropout", {
                "num_holes_range": [1, 1],
                "hole_height_range": [side, _],
                "hole_width_range": _,
                "p": 1.0,
                **rest,
            } if not rest:
                found["hole"] = side
            case "Normalize", {**rest} if not rest:
                continue
            case _:
                raise UsageError(
                    f"not every form has {spec.name} as the recipe asks for it", help="--set transforms.train=…"
                )
    return Augment(**found)
