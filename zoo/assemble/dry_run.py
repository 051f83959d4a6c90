"""`zoo run --dry-run`: everything but the training, one real batch, and what the training would cost. Floor 7."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain, count, zip_longest
from typing import Any

import torch

from zoo.assemble.build import Foundation, build, open_data
from zoo.assemble.check import Checked
from zoo.assemble.max_lr import with_lr
from zoo.assemble.options import RunOptions, Settle
from zoo.assemble.run import prepare
from zoo.data.batches import Batch, Batches
from zoo.data.progressive import Size, by
from zoo.diagnostics import Say, counted, duration
from zoo.models import parameter_depths
from zoo.optim import ListedGroup, group_lines, listed_groups
from zoo.optim.frozen_statistics import into_training
from zoo.schema.recipe import TTA
from zoo.train import Training, evaluate
from zoo.train.evaluation import Forward
from zoo.train.runtime import Runtime, machine_faults
from zoo.train.step import Stepper
from zoo.train.training import BatchLike

PLACEHOLDER_LR = 1e-3  # of a rate that a run would find first


@dataclass(frozen=True)
class TeacherCost:
    """A teacher, and the seconds that it takes of each batch, which a step's seconds have in them."""

    network: str
    params: int
    run: str
    checkpoint: str
    sha256: str
    seconds: float

    def __str__(self) -> str:
        """What people read."""
        return (
            f"{self.network}, {self.params:,} parameters, {self.run} ({self.checkpoint}), {self.seconds:.3f} s a batch"
        )


@dataclass(frozen=True)
class SizeCost:
    """Height and width of the training images of some steps, how many these are, and the seconds that one takes."""

    image_size: tuple[int, int]
    steps: int
    seconds: float

    def __str__(self) -> str:
        """What people read."""
        return f"{by(self.image_size)} {self.seconds:.3f} s"


@dataclass(frozen=True)
class Estimate:
    """What a run would be and cost. Seconds and bytes are measured on one batch and scaled.

    ``evaluation_seconds`` is what all tests and validations of the run take together, ``step_seconds`` the mean step's
    where those of ``sizes`` differ.
    """

    recipe: str
    model: str
    params: int
    input_shape: tuple[int, ...]
    classes: int
    samples: dict[str, int]
    epochs: float
    steps: int
    may_stop_early: bool
    batch_size: int
    sampling: str
    repeats: int
    batches_per_step: int
    loss: float
    step_seconds: float
    sizes: tuple[SizeCost, ...]
    evaluation_seconds: float
    memory_bytes: int
    memory_of: str
    teacher: TeacherCost | None
    groups: tuple[ListedGroup, ...]
    choices: dict[str, str]

    @property
    def images_per_second(self) -> float:
        """Of a training step."""
        return min(self.batch_size * self.batches_per_step, self.samples["training"]) / self.step_seconds

    @property
    def total_seconds(self) -> float:
        """The whole training with all its tests."""
        return self.steps * self.step_seconds + self.evaluation_seconds

    @property
    def _drawn(self) -> str:
        """What an epoch is made of, where it is not every image once."""
        said = {"balanced": "; every class as often", "sqrt": "; classes by the square root of their counts"}
        drawn = said.get(self.sampling, "")
        if self.repeats > 1:
            count = self.samples["training"]
            picks, short = -(-count // self.repeats), count % self.repeats
            drawn += f"; {picks:,} images an epoch, {self.repeats} times each" + (
                f", the last {short}" if short else ""
            )
        return drawn

    def as_data(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        fields = {**vars(self), "groups": [asdict(group) for group in self.groups]}
        fields["sizes"] = [asdict(size) for size in self.sizes]
        fields["teacher"] = asdict(self.teacher) if self.teacher is not None else None
        return {**fields, "total_seconds": self.total_seconds, "images_per_second": self.images_per_second}

    def as_text(self) -> str:
        """What people read."""
        return "\n".join(f"{name:<9} {text}" for name, text in self._rows())

    def _rows(self) -> Iterator[tuple[str, str]]:
        samples = ", ".join(f"{count:,} {name}" for name, count in self.samples.items())
        shape = " x ".join(map(str, self.input_shape))
        early = " at most: it may stop early" if self.may_stop_early else ""
        yield "recipe", f"{self.recipe}: right, nothing was written"
        yield "model", f"{self.model}, {self.params:,} parameters, images {shape}, {self.classes} classes"
        if self.teacher is not None:
            yield "teacher", str(self.teacher)
        yield "data", f"{samples}; batches of {self.batch_size}{self._drawn}"
        yield "training", f"{counted(self.epochs, 'epoch')}, {counted(self.steps, 'step')}{early}"
        yield from zip_longest(["groups"], group_lines(self.groups), fillvalue="")
        yield "one batch", f"loss {self.loss:.4f}, {self.step_seconds:.3f} s, {self.images_per_second:,.0f} images/s"
        if self.sizes:
            yield "a step", f"{', '.join(map(str, self.sizes))}; above is the mean"
        yield "memory", f"about {self.memory_bytes / 2**20:,.0f} MiB ({self.memory_of})"
        yield "time", f"about {duration(self.total_seconds)}, tests included"
        yield from self.choices.items()


def with_some_lr(checked: Checked) -> Checked:
    """The recipe with some learning rate where a run would find one first: what is timed does not depend on it."""
    return with_lr(checked, PLACEHOLDER_LR) if checked.optimization.finds_lr else checked


def dry_run(recipe: str, options: RunOptions, settle: Settle, note: Say) -> Estimate:
    """Validates, builds, takes a few steps on one batch, makes another, and throws everything away.

    ``note`` is told what the run would say of its data and its weights.
    """
    checked = prepare(recipe, options, settle)
    dataset = open_data(checked.resolved, data_dir=options.data_dir, quiet=options.quiet)
    declared = checked.optimization
    checked = with_some_lr(checked)
    built = build(checked, dataset, options.device)
    for line in built.notes:
        note(line)
    training, settings = built.training, built.training.settings
    with machine_faults(checked.data.batch_size, settings.accumulate), training.runtime.tuned(settings):
        stepper = Stepper(training)
        helped = checked.data.workers > 0 and built.base.train.backend == "albumentations"
        loss, step_seconds, sizes = _all_steps(training, stepper, helped)
        teacher = _teacher_cost(built.base)
        evaluation_seconds = _evaluation_seconds(training, built.base, stepper.forward)
    splits = {"training": dataset.train, "validation": dataset.validation, "test": dataset.test}
    memory, memory_of = _peak_memory(training.runtime.device)
    return Estimate(
        recipe=checked.recipe.name,
        model=built.base.network.name,
        params=sum(parameter.numel() for parameter in training.model.parameters()),
        input_shape=built.base.network.input_shape,
        classes=len(dataset.classes),
        samples={name: len(split) for name, split in splits.items() if split is not None},
        epochs=training.steps.total / training.steps.per_epoch,
        steps=training.steps.total,
        may_stop_early=settings.early_stopping is not None,
        batch_size=checked.data.batch_size,
        sampling=checked.data.sampling,
        repeats=checked.data.repeats,
        batches_per_step=training.batches_per_step,
        loss=loss,
        step_seconds=step_seconds,
        sizes=sizes,
        evaluation_seconds=evaluation_seconds,
        memory_bytes=memory,
        memory_of=memory_of,
        teacher=teacher,
        groups=tuple(listed_groups(declared, built.base.network.untrained.build("meta"), parameter_depths)),
        choices=dict(training.choices),
    )


def _all_steps(training: Training, stepper: Stepper, helped: bool) -> tuple[float, float, tuple[SizeCost, ...]]:
    """The loss of the first batch, the seconds of the mean step, and of one at each size where images are resized."""
    if not training.image_sizes:
        return *_steps(training, stepper, helped), ()
    steps, found = training.steps, {}
    of_size: Counter[Size] = Counter()
    for epoch, size in enumerate(training.image_sizes):
        of_size[size] += min(steps.per_epoch, steps.total - epoch * steps.per_epoch)
        if size not in found:
            found[size] = _steps(training, stepper, helped, size)
    costs = tuple(SizeCost(size, count, found[size][1]) for size, count in of_size.items())
    return next(iter(found.values()))[0], sum(cost.steps * cost.seconds for cost in costs) / steps.total, costs


def _steps(training: Training, stepper: Stepper, helped: bool, size: Size | None = None) -> tuple[float, float]:
    """The loss of the first batch, and the seconds of a step after the first; of its batches one is measured.

    A step waits for its batches, unless it is ``helped``: workers make them while it runs.
    """
    batches = chain.from_iterable(map(training.train.epoch, count(1)))
    batch = next(batches)
    runtime, losses, batch_seconds, update_seconds = training.runtime, [], 0.0, 0.0
    into_training(training.model)
    for step in (1, 2):  # the first warms up, the second is timed
        runtime.synchronize()
        began = time.perf_counter()
        stepper.backward(batch, share=1.0, size=size)
        runtime.synchronize()
        update_began = time.perf_counter()
        stepper.update(step, lr=0.0)  # told where a loss is not finite, which nobody asks here
        runtime.synchronize()
        batch_seconds, update_seconds = update_began - began, time.perf_counter() - update_began
        losses.append(stepper.meter.read()["loss"])
    if not helped:
        batch_seconds += _making_seconds(batches, len(batch.indices), runtime)
    return losses[0], batch_seconds * training.batches_per_step + update_seconds


def _teacher_cost(base: Foundation) -> TeacherCost | None:
    """The teacher, timed on one batch, of which it has seen as many before."""
    teacher, runtime = base.teacher, base.runtime
    if teacher is None:
        return None
    images_BCHW = runtime.images(next(iter(base.train.epoch(1))).images)
    runtime.synchronize()
    began = time.perf_counter()
    teacher.ask(images_BCHW)
    runtime.synchronize()
    return TeacherCost(**teacher.as_facts() | {"run": str(teacher.run.path)}, seconds=time.perf_counter() - began)


def _making_seconds(batches: Iterator[BatchLike], size: int, runtime: Runtime) -> float:
    """The seconds that making a batch of that size takes: the next one's; with the first its epoch was laid out."""
    runtime.synchronize()
    began = time.perf_counter()
    made = next(batches)
    runtime.synchronize()
    return (time.perf_counter() - began) * size / len(made.indices)


def _evaluation_seconds(training: Training, base: Foundation, forward: Forward) -> float:
    """The seconds of all tests and validations that the training would take; each split's first batch is measured."""
    test = _seconds_of(training, base.test, forward)
    apart = None if base.validation is base.test else base.validation  # one split that is both is gone through once
    validation = 0.0 if apart is None else _seconds_of(training, apart, forward)
    views = training.evaluation.tta
    last = test if views == "none" else _seconds_of(training, base.test, forward, views)
    tests = math.ceil(training.steps.epochs / training.evaluation.every)  # the last epoch is always tested
    return tests * (test + validation) + last - test


def _seconds_of(training: Training, batches: Batches, forward: Forward, tta: TTA = "none") -> float:
    """The seconds of a test on these batches, from the first, which this process makes itself."""
    indices = range(min(batches.batch_size, batches.samples))
    began = time.perf_counter()
    first = _OneBatch(batches.batch(1, indices))
    evaluate(training.model, first, training.loss, runtime=training.runtime, tta=tta, forward=forward)
    training.runtime.synchronize()
    return (time.perf_counter() - began) * batches.samples / len(indices)


@dataclass(frozen=True)
class _OneBatch:
    """A split of one batch."""

    batch: Batch
    steps: int = 1

    @property
    def samples(self) -> int:
        return len(self.batch)

    batch_size = samples

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        yield self.batch


def _peak_memory(device: torch.device) -> tuple[int, str]:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), "of the GPU"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024), "of this process, its libraries included"
