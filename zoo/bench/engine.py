"""The engine against a bare loop that imports no zoo, taking turns in one process. Floor 6."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from zoo.bench.bare_loop import bare_step, matmul_peak, seconds_for
from zoo.data.progressive import by, resized
from zoo.errors import UsageError
from zoo.events import EpochFinished, StepLogged
from zoo.train import Training, fit
from zoo.train.training import BatchesLike, BatchLike

BACKWARD = 2  # a backward pass takes the operations of two forward passes
TURN_SECONDS = 0.25  # at least: shorter ones measure the clock
MOST_STEPS = 50
DATA_SECONDS = 1.0  # of making batches, where an epoch takes longer


@dataclass(frozen=True)
class Turn:
    """One round: the seconds of a step of each, taken right after each other.

    ``waited``: the part of the engine's in which it waited for its batches. Several may be made at once, for this turn
    or by an earlier one.
    """

    engine: float
    bare: float
    waited: float


@dataclass(frozen=True)
class EngineBench:
    """What the rounds measured. Ratios are taken within a round; all figures are medians over the rounds.

    ``data``: the seconds a step that it takes to make its batches, measured by itself; ``waited``: those that the
    engine waited for them, the mean over all steps, which every turn is charged with in place of its own.
    """

    turns: tuple[Turn, ...]
    data: float
    waited: float
    steps: int
    batch_size: int
    matmul_flops_per_second: float
    flops_per_image: int
    device: str
    precision: str
    batches_per_step: int = 1  # train.accumulate's; the bare loop steps as often
    image_size: tuple[int, int] | None = None  # where the training resizes its images: the first epoch's
    teacher_flops_per_image: int = 0  # of a forward pass; both loops ask the teacher

    @property
    def images_per_step(self) -> int:
        """Of both."""
        return self.batch_size * self.batches_per_step

    @property
    def engine_images_per_second(self) -> float:
        """The engine's, data and metrics included."""
        return self.images_per_step / median(map(self._step, self.turns))

    @property
    def bare_images_per_second(self) -> float:
        """The bare loop's, on one resident batch."""
        return self.images_per_step / median(turn.bare for turn in self.turns)

    @property
    def ratio(self) -> float:
        """1 where the engine costs nothing over the bare loop, data work and the recipe's own optimizer included."""
        return median(turn.bare / self._step(turn) for turn in self.turns)

    @property
    def data_share(self) -> float:
        """The share of the engine's step that makes the batch."""
        return median(self.data / self._step(turn) for turn in self.turns)

    @property
    def share_of_peak(self) -> float:
        """What the engine's convolutions and matrix products make of the machine's matmul peak."""
        flops_per_image = self.flops_per_image * (1 + BACKWARD) + self.teacher_flops_per_image
        return self.engine_images_per_second * flops_per_image / self.matmul_flops_per_second

    def _step(self, turn: Turn) -> float:
        return turn.engine - turn.waited + self.waited

    def as_data(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        return {
            "engine": {"images_per_second": self.engine_images_per_second},
            "bare": {"images_per_second": self.bare_images_per_second},
            "ratio": self.ratio,
            "data_share": self.data_share,
            "share_of_matmul_peak": self.share_of_peak,
            "matmul_flops_per_second": self.matmul_flops_per_second,
            "rounds": len(self.turns),
            "steps": self.steps,
            "batch_size": self.batch_size,
            "batches_per_step": self.batches_per_step,
            "device": self.device,
            "precision": self.precision,
            "image_size": self.image_size and list(self.image_size),
        }

    def as_text(self) -> str:
        """What people read."""
        size = f", images resized to {by(self.image_size)} as in the first epoch" if self.image_size else ""
        rounds = f"median of {len(self.turns)} rounds of {self.steps} steps, in turns"
        return "\n".join(
            [
                f"engine     {self.engine_images_per_second:,.1f} images/s, data and metrics included",
                f"bare loop  {self.bare_images_per_second:,.1f} images/s, one resident batch, fused SGD",
                f"ratio      {self.ratio:.3f} ({rounds}); {self.data_share:.1%} of the engine's step makes the batch",
                f"peak       {self.share_of_peak:.0%} of the {self.matmul_flops_per_second / 1e9:,.0f} GFLOP/s that a "
                f"{self.precision} matrix product reaches here",
                f"on         {self.device}, {self.precision}, batches of {self.batch_size}{size}",
            ]
        )


def bench_engine(
    training: Training,
    network: nn.Module,
    *,
    flops_per_image: int,
    teacher_flops_per_image: int = 0,
    rounds: int = 12,
) -> EngineBench:
    """Lets the engine and a bare loop take turns, a log interval each.

    Args:
        training: A training as a run would have it, without a folder; it is used up.
        network: The same network, for the bare loop: ordinary PyTorch code without zoo in it.
        flops_per_image: Of one forward pass; where the training resizes its images, at the size of its first epoch,
            which all epochs have here.
        teacher_flops_per_image: Of a teacher's, where the training has one: the bare loop asks it too.
        rounds: Turns that count; one more of each goes first to warm up.

    Raises UsageError where the training is too short for a turn.
    """
    _require_length(training)
    runtime = training.runtime
    training.image_sizes = training.image_sizes[:1] * len(training.image_sizes)
    full, images, labels = _resident(training)
    runtime.place(network)
    batches = training.batches_per_step
    step = bare_step(
        network,
        torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True, fused=True),
        images,
        labels,
        loss_function=lambda output, labels: training.objective(output, labels, full),
        autocast=_autocast(runtime.precision),
        compile_mode=runtime.compile_mode,
        batches=batches,
    )
    seconds_for(step, 1, images.device)  # warms up
    steps = math.ceil(TURN_SECONDS / seconds_for(step, 1, images.device))
    training.log_every = steps = min(steps, MOST_STEPS, max(1, _in_a_row(training) // 3))
    data = _data_seconds(training)
    training.train = watched = WatchedBatches(training.train)
    turns = []
    for seconds, waited in islice(_engine(training, watched), rounds + 1):
        bare_seconds = seconds_for(step, steps, images.device)
        turns.append(Turn(seconds / steps, bare_seconds / steps, waited / steps))
    return EngineBench(
        turns=tuple(turns[1:]),
        data=data * batches,
        waited=watched.seconds / watched.taken * batches,
        steps=steps,
        batch_size=len(images),
        matmul_flops_per_second=matmul_peak(images.device, _autocast(runtime.precision) or torch.float32),
        flops_per_image=flops_per_image,
        device=str(images.device),
        precision=runtime.precision,
        batches_per_step=batches,
        image_size=training.size_of(1),
        teacher_flops_per_image=teacher_flops_per_image,
    )


def _resident(training: Training) -> tuple[Tensor, Tensor, Tensor]:
    """A batch that stays on the device: images BCHW in their own size, as the network sees them, and labels."""
    batch = next(iter(training.train.epoch(1)))
    full = training.runtime.images(batch.images).clone(memory_format=torch.preserve_format)
    return full, resized(full, training.size_of(1)), batch.labels.to(full.device)


def _in_a_row(training: Training) -> int:
    """How many steps no epoch's end falls between."""
    return min(training.steps.per_epoch, training.steps.total)


def _require_length(training: Training) -> None:
    """Two turns must fit into an epoch: one to warm up, and one that counts."""
    if _in_a_row(training) < 2:
        raise UsageError(
            "this training is too short to measure: it needs at least 2 steps in an epoch",
            code="too-short",
            help="lower data.batch_size or train.accumulate, or raise train.max_steps",
        )


def _autocast(precision: str) -> torch.dtype | None:
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)


class WatchedBatches:
    """A split's batches; what was taken of them so far, and the seconds that it was waited for."""

    def __init__(self, batches: BatchesLike) -> None:
        self._batches = batches
        self.batch_size, self.steps, self.samples = batches.batch_size, batches.steps, batches.samples
        self.taken, self.seconds = 0, 0.0

    def epoch(self, epoch: int, start: int = 0) -> Iterator[BatchLike]:
        """The batches of an epoch, from the one numbered ``start`` on."""
        began = time.perf_counter()
        for batch in self._batches.epoch(epoch, start):
            self.seconds += time.perf_counter() - began
            self.taken += 1
            yield batch
            began = time.perf_counter()


def _engine(training: Training, watched: WatchedBatches) -> Iterator[tuple[float, float]]:
    """Seconds of every whole log interval but those that an epoch's end falls into, and those spent waiting."""
    began, waited, is_whole, before = time.perf_counter(), 0.0, True, 0
    for event in fit(training):
        if isinstance(event, EpochFinished):
            is_whole = False
        elif isinstance(event, StepLogged):
            if is_whole and event.step - before == training.log_every:  # the training's last one may be shorter
                yield time.perf_counter() - began, watched.seconds - waited
            before = event.step
            began, waited, is_whole = time.perf_counter(), watched.seconds, True


def _data_seconds(training: Training) -> float:
    """Seconds that it takes to make a batch, over an epoch or the part of it that takes a second."""
    began = time.perf_counter()
    made = 0
    for _ in training.train.epoch(1):
        made += 1
        if time.perf_counter() - began > DATA_SECONDS:
            break
    training.runtime.synchronize()
    return (time.perf_counter() - began) / made
