"""From a checked recipe to built objects: data, batches, network, optimizers. Floor 7.

This is the only place where a recipe becomes objects; what comes out knows nothing of YAML.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from zoo.assemble.activation_checkpointing import checkpoint_as_said
from zoo.assemble.check import Checked, check_averages
from zoo.assemble.distilling import OpenedTeacher, open_teacher
from zoo.assemble.environment import data_folder
from zoo.assemble.fitting import (
    check_early_stopping,
    check_views,
    fitting_network,
    placed,
    steps_before_opening,
)
from zoo.assemble.image_sizes import check_network, sizes_before_opening, sizes_for
from zoo.assemble.losses import fitting_loss
from zoo.assemble.networks import Network, Shape
from zoo.assemble.norm_statistics import freeze_as_said
from zoo.assemble.plugins import reload_elsewhere
from zoo.assemble.precision import settle_precision
from zoo.assemble.resolve import Resolved
from zoo.data import Batches, Dataset, LastOpened, make_batches, open_dataset
from zoo.data.progressive import Size, stretches
from zoo.diagnostics import Diagnostic, Diagnostics, and_more
from zoo.errors import CheckpointError, ConfigError, DataError, UsageError, raise_if_errors
from zoo.graph import images_wanted, initialise_from_images
from zoo.layout import RESOLVED
from zoo.models import load_weights, parameter_depths
from zoo.optim import EMA, SWA, Lookahead
from zoo.optim.frozen_statistics import into_training
from zoo.train import Averaging, Runtime, Steps, Training, count_steps
from zoo.train.distillation import Distillation
from zoo.train.ranks import ALONE, Ranks
from zoo.train.state import seed_everything

SMALLEST_EVAL_BATCH = 500
MOST_NAMED = 5  # of classes in a warning


@dataclass(frozen=True)
class Foundation:
    """What trains, before it is said how: batches on a device, and a network placed there with its first weights.

    ``notes`` are lines for people about what was found on the way.
    """

    runtime: Runtime
    train: Batches
    validation: Batches | None
    test: Batches
    network: Network
    module: nn.Module
    loss: nn.Module
    notes: tuple[str, ...]
    teacher: OpenedTeacher | None = None
    distillation: Distillation | None = None  # the loss with the teacher's
    image_sizes: tuple[Size, ...] = ()  # of each epoch's training images, where they are resized


@dataclass(frozen=True)
class Built:
    """A recipe's objects, ready to train."""

    training: Training
    dataset: Dataset
    base: Foundation
    groups: tuple[str, ...]  # of parameters, as messages call them
    notes: tuple[str, ...]  # the foundation's, and of a training's length that only the open data could tell


def open_data(
    resolved: Resolved,
    *,
    data_dir: Path | None = None,
    run: Path | None = None,
    quiet: bool = False,
    last: LastOpened | None = None,
) -> Dataset:
    """Opens the recipe's data set; of a run's `resolved.yaml` also where the run found it.

    ``run`` is the folder of the run that goes on with a recipe which lies elsewhere; the others are as for
    :func:`open_dataset`. Raises what that does: ConfigError, UsageError and DataError.
    """
    run = run or (resolved.path.parent if resolved.path.name == RESOLVED else None)
    return open_dataset(
        resolved.section("data"),
        data_dir=data_dir,
        known=None if run is None else data_folder(run),
        seed=resolved.recipe.seed,
        quiet=quiet,
        last=last,
    )


def lay_foundation(
    checked: Checked, dataset: Dataset, device: str, *, ranks: Ranks = ALONE, with_weights: bool = True
) -> Foundation:
    """Builds batches and network from the recipe's seed. Raises ConfigError and DataError where they do not fit.

    ``device`` is what `--device` says; of the ``ranks`` that train together this process is one.
    ``with_weights=False`` leaves the recipe's `weights` and initialisers from images out: a checkpoint follows.
    """
    resolved, recipe = checked.resolved, checked.recipe
    settings = recipe.train
    runtime = Runtime.choose(
        device,
        settings.precision,
        settings.channels_last,
        settings.compile,
        settings.deterministic,
        ranks,
    )
    with (
        placed(resolved.section("data"), "drop_last", DataError),
        placed(resolved.section("transforms"), "backend", UsageError),
    ):
        train, validation, test = _batches(checked, dataset, runtime.device)
    network = fitting_network(checked, dataset, image_shape(test))
    if with_weights and network.download is not None and ranks.is_first:
        print(network.download, file=sys.stderr, flush=True)
    seed_everything(recipe.seed)
    with placed(resolved.section("model"), "weights", CheckpointError):
        module, notes = _module(network, train) if with_weights else (network.untrained.build(), ())
    freeze_as_said(resolved, module)
    runtime.place(module)
    notes = (*notes, *settle_precision(runtime, settings.precision, module, network))
    classes = len(dataset.classes)
    counts = np.bincount(dataset.train.labels, minlength=classes).tolist()
    loss = fitting_loss(checked.loss, classes, checked.train_transforms, resolved.section("loss"), counts)
    return Foundation(
        runtime,
        train,
        validation,
        test,
        network,
        module,
        loss.to(runtime.device),
        (*dataset.notes, *_left_out(dataset), *_untested(dataset), *notes),
    )


def with_image_sizes(base: Foundation, checked: Checked) -> Foundation:
    """The foundation with each epoch's image size, where the recipe has them change. Raises ConfigError."""
    resolved, settings = checked.resolved, checked.recipe.train
    if settings.progressive_resizing is None:
        return base
    shape, steps = image_shape(base.train), count_steps(base.train.steps, settings)
    found, told = Diagnostics(), Diagnostics()
    sizes = sizes_for(resolved, shape, steps.total / steps.per_epoch, found)
    check_network(resolved, base.network, shape, sizes, found)
    raise_if_errors(found)
    sizes_before_opening(resolved, checked.data, checked.train_transforms, told)
    notes = [f"warning: {item.message}" for item in found.warnings if item not in told.warnings]
    return replace(base, image_sizes=sizes, notes=(*base.notes, *notes))


def with_teacher(base: Foundation, checked: Checked, dataset: Dataset) -> Foundation:
    """The foundation with the teacher that the recipe's loss names, if any. Raises CheckpointError, ConfigError."""
    settings = checked.loss.distillation
    if settings is None:
        return base
    teacher = open_teacher(checked, dataset, base.runtime, base.train.batch(1, [0]).images)
    distillation = Distillation(base.loss, teacher.ask, settings)
    return replace(base, teacher=teacher, distillation=distillation, notes=(*base.notes, *teacher.notes))


def build(checked: Checked, dataset: Dataset, device: str, *, ranks: Ranks = ALONE, with_weights: bool = True) -> Built:
    """Builds everything that trains. Raises ConfigError and DataError where recipe and data do not fit.

    ``device`` and ``ranks`` are as in :func:`lay_foundation`; ``with_weights=False`` is for a run that a checkpoint
    follows.
    """
    base = lay_foundation(checked, dataset, device, ranks=ranks, with_weights=with_weights)
    base = with_image_sizes(base, checked)
    resolved, settings = checked.resolved, checked.recipe.train
    refuse_single_images(resolved, base)
    checkpoint_as_said(resolved, base.module)
    base = with_teacher(base, checked, dataset)
    ranks.take_over(base.module.state_dict().values())  # kernels may differ from one device to the next
    steps = count_steps(base.train.steps, settings)
    diagnostics, epochs = Diagnostics(), steps.total / steps.per_epoch
    _check_opened(resolved, base, epochs, diagnostics)
    optimization = checked.optimization.build(
        base.module,
        steps_per_epoch=steps.per_epoch,
        epochs=epochs,
        diagnostics=diagnostics,
        clips=settings.grad_clip is not None,
        depths=parameter_depths,
    )
    validation, test = _held_out(base, ranks)
    training = Training(
        model=base.module,
        loss=base.loss,
        distillation=base.distillation,
        image_sizes=base.image_sizes,
        optimization=optimization,
        train=_part(base.train, ranks),
        test=test,
        validation=validation,
        runtime=base.runtime,
        settings=settings,
        evaluation=checked.recipe.eval,
        averaging=_averaging(resolved, base.module, steps.total, steps.per_epoch),
        seed=checked.recipe.seed,
        choices=_choices(base, optimization.choices),
    )
    groups = tuple(group.label for group in optimization.groups)
    return Built(training, dataset, base, groups, (*base.notes, *_length_notes(checked, steps)))


def _check_opened(resolved: Resolved, base: Foundation, epochs: float, diagnostics: Diagnostics) -> None:
    """Raises ConfigError for what is wrong once images, splits and the training's length are known."""
    check_views(resolved, base.network.input_shape, diagnostics)
    check_averages(resolved, epochs, diagnostics)
    if base.validation is None:
        check_early_stopping(resolved, diagnostics)
    raise_if_errors(diagnostics)


def _length_notes(checked: Checked, steps: Steps) -> tuple[str, ...]:
    """What to say of a training of this length, where the check could not know it."""
    if steps_before_opening(checked.resolved, checked.data) == steps:
        return ()
    settings, told, found = checked.recipe.train, Diagnostics(), Diagnostics()
    epochs = steps.total / steps.per_epoch
    if settings.max_steps is None and settings.epochs is not None:
        epochs = settings.epochs
        checked.optimization.check(epochs, told)
    checked.optimization.check(epochs, found, steps=steps.total)
    return tuple(f"warning: {item.message}" for item in found.warnings if item not in told.warnings)


def refuse_single_images(resolved: Resolved, base: Foundation) -> None:
    """Raises ConfigError for a batch of one image that no batch norm takes: the last of an epoch may be an hour off."""
    train = base.train
    if min(train.batch_size, train.samples - (train.steps - 1) * train.batch_size) != 1:
        return
    full: Shape = base.network.input_shape
    shapes = {(full[0], *size) for size in base.image_sizes} | {full}
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            module = base.network.untrained.build("meta")
            freeze_as_said(resolved, module)
            for shape in shapes:
                into_training(module)(torch.zeros(1, *shape, device="meta"))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            return
        message = f"the last of {train.samples} images is a batch of its own, too few for a batch norm over a 1x1 map"
        help = "data.drop_last: true, or another batch_size"
        place = resolved.section("data").value_span("batch_size")
        raise ConfigError([Diagnostic("error", "batch-too-small", message, place, help=help)]) from error
    except (RuntimeError, TypeError):  # not on the meta device: the training will tell
        return


def _part(batches: Batches, ranks: Ranks) -> Batches:
    return batches if ranks.is_alone else batches.part(ranks.rank, ranks.count)


def _held_out(base: Foundation, ranks: Ranks) -> tuple[Batches | None, Batches]:
    """A rank's part of validation and test: one object where one split is both."""
    test = _part(base.test, ranks)
    if base.validation is base.test:
        return test, test
    return base.validation and _part(base.validation, ranks), test


def _choices(base: Foundation, optimizers: dict[str, str]) -> dict[str, str]:
    resizing = {"resizing": ", ".join(map(str, stretches(base.image_sizes)))} if base.image_sizes else {}
    transforms = f"{base.train.backend} ({base.train.reason})"
    return {**base.runtime.choices, "transforms": transforms, **resizing, **optimizers}


def _batches(checked: Checked, dataset: Dataset, device: torch.device) -> tuple[Batches, Batches | None, Batches]:
    recipe, data = checked.recipe, checked.data
    batches = partial(
        make_batches,
        seed=recipe.seed,
        device=device,
        dataset=dataset,
        workers=data.workers,
        worker_timeout=data.worker_timeout,
        worker_setup=reload_elsewhere(),
        backend=recipe.transforms.backend,
    )
    size = recipe.eval.batch_size or max(data.batch_size, SMALLEST_EVAL_BATCH)
    held_out = partial(batches, specs=checked.eval_transforms, batch_size=size, shuffle=False)
    train = batches(
        dataset.train, checked.train_transforms, batch_size=data.batch_size, shuffle=True, drop_last=data.drop_last,
        sampling=data.sampling, repeats=data.repeats,
    )  # fmt: skip
    test = held_out(dataset.test)
    if dataset.validation is dataset.test:  # a fold that stands in for the test
        return train, test, test
    return train, held_out(dataset.validation) if dataset.validation is not None else None, test


def _left_out(dataset: Dataset) -> tuple[str, ...]:
    """What to say of the corrupt images that `data.skip_corrupt` let pass."""
    if not dataset.skipped:
        return ()
    shown = ", ".join(and_more(dataset.skipped[:1], len(dataset.skipped)))
    return (f"warning: corrupt images are left out (data.skip_corrupt): {shown}",)


def _untested(dataset: Dataset) -> tuple[str, ...]:
    """What to say of classes that a split lacks: its figures do not speak for them."""
    notes = []
    for name, split in (("test", dataset.test), ("validation", dataset.validation)):
        present = set(split.labels.tolist()) if split is not None else set(range(len(dataset.classes)))
        missing = [each for index, each in enumerate(dataset.classes) if index not in present]
        if missing:
            names = ", ".join(missing[:MOST_NAMED]) + ", …" * (len(missing) > MOST_NAMED)
            notes.append(f"warning: the {name} split has no images of {names}: its accuracy is of the other classes")
    return tuple(notes)


def image_shape(batches: Batches) -> Shape:
    """Channels, height and width of the images that reach the network."""
    return tuple(batches.batch(1, [0]).images.shape[1:])


def _module(network: Network, train: Batches) -> tuple[nn.Module, tuple[str, ...]]:
    """The network's module on the CPU with its first weights, and what there is to say of them."""
    notes: list[str] = []
    module = network.build(note=notes.append)
    if network.weights is not None:
        return module, (load_weights(module, network.weights, may_lack_head=True, foreign=network.foreign),)
    wanted = images_wanted(network.plan) if network.plan is not None else 0
    if wanted:
        initialise_from_images(module, _FirstImages(train, wanted))
    return module, tuple(notes)


@dataclass(frozen=True, slots=True)
class _FirstImages:
    """So many training images CHW as the network will see them, on the CPU; one batch of them in memory at a time."""

    train: Batches
    count: int

    def __iter__(self) -> Iterator[Tensor]:
        images = (image for batch in self.train.epoch(1) for image in batch.images.float().cpu())
        return islice(images, self.count)


def _averaging(resolved: Resolved, module: nn.Module, steps: int, steps_per_epoch: int) -> tuple[Averaging, ...]:
    settings = resolved.recipe.train
    found: list[Averaging] = []
    if settings.lookahead is not None:
        found.append(Lookahead(module, total_steps=steps, **settings.lookahead.model_dump()))
    if settings.ema is not None:
        found.append(EMA(module, **settings.ema.model_dump()))
    if settings.swa is not None:
        found.append(SWA(module, steps_per_epoch=steps_per_epoch, **settings.swa.model_dump()))
    return tuple(found)
