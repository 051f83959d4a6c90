"""What a training is made of: built objects only, nothing of YAML. Floor 5.

The protocols say what the engine needs of the catalogues' objects (``zoo.data``, ``zoo.optim``) and no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.data.progressive import Size
from zoo.schema.recipe import EvalSection, TrainSection
from zoo.train.distillation import Distillation
from zoo.train.folder import RunFolder
from zoo.train.runtime import Runtime

if TYPE_CHECKING:
    from zoo.train.evaluation import Evaluation

Objective = Callable[[Tensor, Tensor, Tensor], Tensor]  # a network's output, labels, images BCHW: one number


class BatchLike(Protocol):
    """A batch: images float32 BCHW and labels on the device, the samples' indices on the CPU."""

    @property
    def images(self) -> Tensor:
        """Images, float32, BCHW."""

    @property
    def labels(self) -> Tensor:
        """Classes, int64, B; or their shares, float32, BK (CutMix, MixUp)."""

    @property
    def indices(self) -> Tensor:
        """Which samples these are, int64, B."""

    @property
    def whole(self) -> int:
        """The samples of the whole batch, of which several ranks have a part each."""

    @property
    def weight(self) -> float:
        """The fraction of the whole batch that this part stands for; 0: it is there to keep in step."""


class BatchesLike(Protocol):
    """Batches of a split; an epoch's content is a function of (seed, epoch) alone."""

    @property
    def batch_size(self) -> int:
        """Images of a batch; an epoch's last one may have fewer."""

    @property
    def steps(self) -> int:
        """Batches an epoch."""

    @property
    def samples(self) -> int:
        """Samples an epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[BatchLike]:
        """The batches of an epoch (counted from 1), from batch ``start`` (counted from 0) on."""


class OptimizationLike(Protocol):
    """Optimizers and their schedules as one."""

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """The optimizers, in order."""

    @property
    def lrs(self) -> Mapping[str, float]:
        """The learning rate of each group of parameters, by its label; the first is the one that is told."""

    def step(self, skip: Tensor | None = None) -> None:
        """Updates the parameters, unless the scalar ``skip`` on their device is true."""

    def skip_step(self, device: torch.device) -> None:
        """Runs the kernels of a step that changes nothing, as far as there are such."""

    def zero_grad(self) -> None:
        """Drops the gradients."""

    def after_step(self) -> None:
        """Steps the schedules that go by steps."""

    def after_epoch(self, metrics: Mapping[str, float] | None = None) -> None:
        """Steps the schedules that go by epochs; ``metrics`` is for those that watch a figure."""

    def rehearse(self) -> Generator[int, None, None]:
        """Freezes, one after another, what will be frozen from later steps on; in the end, what is frozen now."""

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs: plain data and tensors."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes such a state back."""


class Averaging(Protocol):
    """Weights averaged over the training (EMA, SWA) or pulled back in it (Lookahead)."""

    def after_step(self, step: int) -> None:
        """Follows optimizer step ``step``, counted from 1."""

    def refresh_statistics(self, images: Iterable[Tensor]) -> None:
        """Comes before a test: statistics that cannot be averaged are taken from batches of training images BCHW."""

    def applied(self) -> AbstractContextManager[None]:
        """Puts the averaged weights into the model for the length of a ``with`` block."""

    def state_dict(self) -> dict[str, Any]:
        """Plain data and tensors."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes such a state back."""


@dataclass(frozen=True, slots=True)
class Steps:
    """How many optimizer steps a training takes. An epoch's last step may gather fewer batches than ``accumulate``."""

    per_epoch: int
    total: int

    @property
    def epochs(self) -> int:
        """Epochs begun; the last may end early."""
        return math.ceil(self.total / self.per_epoch)


def count_steps(batches_per_epoch: int, settings: TrainSection) -> Steps:
    """The steps of a training: ``epochs`` (a fraction ends inside an epoch), or ``max_steps`` where that is fewer."""
    per_epoch = math.ceil(batches_per_epoch / settings.accumulate)
    bounds = [] if settings.max_steps is None else [settings.max_steps]
    if settings.epochs is not None:
        # 9.9 epochs of 97 steps are 961 steps: what floating point adds to a whole number is no step.
        bounds.append(max(1, math.ceil(round(settings.epochs * per_epoch, 6))))
    return Steps(per_epoch, min(bounds))


def objective(loss: nn.Module, distillation: Distillation | None) -> Objective:
    """What a step makes smaller: the loss, or with a teacher the two losses that :class:`Distillation` adds up."""
    return distillation or (lambda output, labels, images_BCHW: loss(output, labels))


@dataclass
class Training:
    """Built objects, ready to train. ``fit`` fills ``final``: the last test with labels and probabilities.

    ``loss`` is what tests tell, and what is trained where there is no ``distillation``. The model is to be placed
    (``runtime.place(model)``) before ``optimization`` is built from it. ``image_sizes`` has the height and width of
    each epoch's training images where they are resized, behind their transforms: only the steps know of it. One split
    may be both ``validation`` and ``test``: where they are one object it is evaluated once, for both.
    """

    model: nn.Module
    loss: nn.Module
    optimization: OptimizationLike
    train: BatchesLike
    test: BatchesLike
    runtime: Runtime
    settings: TrainSection
    evaluation: EvalSection = field(default_factory=EvalSection)
    distillation: Distillation | None = None
    image_sizes: tuple[Size, ...] = ()
    validation: BatchesLike | None = None
    averaging: Sequence[Averaging] = ()
    folder: RunFolder | None = None
    resume: bool = False
    seed: int = 0
    log_every: int | None = None
    choices: Mapping[str, str] = field(default_factory=dict)
    final: Evaluation | None = None

    @property
    def objective(self) -> Objective:
        """What a step makes smaller."""
        return objective(self.loss, self.distillation)

    @property
    def steps(self) -> Steps:
        """How many steps the training takes."""
        return count_steps(self.train.steps, self.settings)

    @property
    def epochs(self) -> float:
        """Passes over the training set, as the recipe has them where it is not `max_steps` that ends the training."""
        epochs, most, steps = self.settings.epochs, self.settings.max_steps, self.steps
        by_epochs = epochs is not None and (most is None or steps.total < most)
        return epochs if epochs is not None and by_epochs else steps.total / steps.per_epoch

    def size_of(self, epoch: int) -> Size | None:
        """Height and width of an epoch's training images (epochs count from 1); None: their own."""
        return self.image_sizes[epoch - 1] if self.image_sizes else None

    def steps_left(self, epoch: int, done: int) -> float:
        """The steps that follow the first ``done``, which ended in this epoch.

        Where images are resized they count by their pixels: so many of the present size take about as long.
        """
        if not self.image_sizes:
            return self.steps.total - done
        per_epoch, total = self.steps.per_epoch, self.steps.total
        pixels = [height * width for height, width in self.image_sizes]
        ends = [min(total, each * per_epoch) for each in range(1, len(pixels) + 1)]
        ahead = [max(0, min(per_epoch, end - done)) for end in ends]
        return sum(steps * each for steps, each in zip(ahead, pixels, strict=True)) / pixels[epoch - 1]

    @property
    def batches_per_step(self) -> int:
        """Batches of an optimizer step, an epoch's last ones aside."""
        return min(self.settings.accumulate, self.train.steps)

    def images_of_step(self, batch: int) -> int:
        """Images in all batches of the step that this batch of an epoch (from 0) is in: the last may have fewer."""
        accumulate, size = self.settings.accumulate, self.train.batch_size
        first = batch // accumulate * accumulate
        last = min(first + accumulate, self.train.steps)
        return min((last - first) * size, self.train.samples - first * size)

    @property
    def logging_steps(self) -> int:
        """Steps between two looks at the device, at most 50: of a CPU ten looks an epoch, of a GPU one.

        A GPU that is looked at stands still until the host has caught up.
        """
        per_epoch = self.steps.per_epoch
        return self.log_every or max(1, min(50, per_epoch if self.runtime.device.type == "cuda" else per_epoch // 10))
