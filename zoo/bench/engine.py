"""The engine against a bare loop that imports no zoo, taking turns in one process. Floor 6."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import nn

from zoo.bench.bare_loop import bare_step, matmul_peak, seconds_for
from zoo.events import EpochFinished, StepLogged
from zoo.train import Training, fit

BACKWARD = 2  # a backward pass takes the operations of two forward passes


@dataclass(frozen=True)
class EngineBench:
    """Medians over the rounds. ``ratio`` is the engine's speed as a share of the bare loop's."""

    engine_images_per_second: float
    bare_images_per_second: float
    rounds: int
    batch_size: int
    matmul_flops_per_second: float
    flops_per_image: int
    device: str
    precision: str

    @property
    def ratio(self) -> float:
        """1 where the engine costs nothing over the bare loop, data work included."""
        return self.engine_images_per_second / self.bare_images_per_second

    @property
    def share_of_peak(self) -> float:
        """What the engine's convolutions and matrix products make of the machine's matmul peak."""
        return self.engine_images_per_second * self.flops_per_image * (1 + BACKWARD) / self.matmul_flops_per_second

    def as_data(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        return {
            "engine": {"images_per_second": self.engine_images_per_second},
            "bare": {"images_per_second": self.bare_images_per_second},
            "ratio": self.ratio,
            "share_of_matmul_peak": self.share_of_peak,
            "matmul_flops_per_second": self.matmul_flops_per_second,
            "rounds": self.rounds,
            "batch_size": self.batch_size,
            "device": self.device,
            "precision": self.precision,
        }

    def as_text(self) -> str:
        """What people read."""
        return "\n".join(
            [
                f"engine     {self.engine_images_per_second:,.1f} images/s, data and metrics included",
                f"bare loop  {self.bare_images_per_second:,.1f} images/s, one resident batch",
                f"ratio      {self.ratio:.3f} (medians of {self.rounds} rounds, in turns)",
                f"peak       {self.share_of_peak:.0%} of the {self.matmul_flops_per_second / 1e9:,.0f} GFLOP/s that a "
                f"{self.precision} matrix product reaches here",
                f"on         {self.device}, {self.precision}, batches of {self.batch_size}",
            ]
        )


def bench_engine(training: Training, network: nn.Module, *, flops_per_image: int, rounds: int = 6) -> EngineBench:
    """Lets the engine and a bare loop take turns, a log interval each, and compares their medians.

    Args:
        training: A training as a run would have it, without a folder; it is used up.
        network: The same network, for the bare loop: ordinary PyTorch code without zoo in it.
        flops_per_image: Of one forward pass.
        rounds: Turns that count; one more of each goes first to warm up.
    """
    runtime = training.runtime
    training.log_every = training.log_every or 2
    steps = training.log_every
    batch = next(iter(training.train.epoch(1)))
    images = runtime.images(batch.images).clone(memory_format=torch.preserve_format)
    runtime.place(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True, fused=True)
    autocast = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(runtime.precision)
    step = bare_step(network, optimizer, images, batch.labels.to(images.device), autocast=autocast)

    engine_seconds: list[float] = []
    bare_seconds: list[float] = []
    events = fit(training)
    began = time.perf_counter()
    for event in events:
        if isinstance(event, StepLogged):
            engine_seconds.append(time.perf_counter() - began)
            bare_seconds.append(seconds_for(step, steps, images.device))
        if len(engine_seconds) > rounds or isinstance(event, EpochFinished):
            break
        began = time.perf_counter()
    events.close()
    size = steps * len(images)
    return EngineBench(
        engine_images_per_second=size / median(engine_seconds[1:]),
        bare_images_per_second=size / median(bare_seconds[1:]),
        rounds=len(engine_seconds) - 1,
        batch_size=len(images),
        matmul_flops_per_second=matmul_peak(images.device, autocast or torch.float32),
        flops_per_image=flops_per_image,
        device=str(images.device),
        precision=runtime.precision,
    )
