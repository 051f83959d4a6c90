"""Images a second of training steps at several image sizes, as `train.progressive_resizing` has them.

The engine's own steps, resizing included, on one resident batch of noise, fp32, one thread. The sizes take turns in one
process, and what counts is the thread's CPU time, so that other work on the machine falls on all alike::

    python tests/benchmarks/image_sizes.py ARCHITECTURE… [--sizes 32 24 16] [--batch 32] [--rounds 9]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from zoo.data.progressive import Size
from zoo.diagnostics import Diagnostics
from zoo.graph import compile_plan
from zoo.models import load_plan
from zoo.optim import Optimization
from zoo.schema.recipe import TrainSection
from zoo.train import Runtime, Training
from zoo.train.step import Stepper


@dataclass
class OneBatch:
    """Batches of a split that has one; the engine asks no more of them for a step."""

    images: Tensor
    labels: Tensor
    weight: float = 1.0

    @property
    def whole(self) -> int:
        return len(self.labels)

    batch_size = samples = whole
    steps = 1

    @property
    def indices(self) -> Tensor:
        return torch.arange(self.whole)


def stepper_of(architecture: str, batch: OneBatch) -> Stepper:
    """The engine's steps with SGD, fused, on a shipped network."""
    torch.manual_seed(0)
    plan = load_plan(architecture, Diagnostics(), None, tuple(batch.images.shape[1:]))
    assert plan is not None
    runtime = Runtime.choose("cpu", "fp32")
    model = runtime.place(compile_plan(plan))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, fused=True)
    training = Training(
        model, nn.CrossEntropyLoss(), Optimization([optimizer], []), batch, batch, runtime, TrainSection(max_steps=1)
    )
    return Stepper(training)


def seconds(stepper: Stepper, batch: OneBatch, size: Size, step: int) -> float:
    """CPU seconds of a step at a size."""
    began = time.thread_time()
    stepper.backward(batch, 1.0, size)
    stepper.update(step, lr=0.0)
    return time.thread_time() - began


def images_per_second(architecture: str, sizes: Sequence[int], count: int, rounds: int) -> dict[int, float]:
    """By size, the median of so many rounds after one that warms up."""
    full = max(sizes)
    batch = OneBatch(torch.randn(count, 3, full, full), torch.arange(count) % 10)
    stepper = stepper_of(architecture, batch)
    taken = [{size: seconds(stepper, batch, (size, size), step) for size in sizes} for step in range(1, rounds + 2)]
    return {size: count / median(one[size] for one in taken[1:]) for size in sizes}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architectures", nargs="+")
    parser.add_argument("--sizes", nargs="+", type=int, default=[32, 24, 16])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    said = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for architecture in said.architectures:
        found = images_per_second(architecture, said.sizes, said.batch, said.rounds)
        first = found[said.sizes[0]]
        for size, rate in found.items():
            print(f"{architecture:<16} {size} x {size}  {rate:9,.1f} images/s  {rate / first:5.2f} times", flush=True)


if __name__ == "__main__":
    main()
