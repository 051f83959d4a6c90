"""The batched transforms against albumentations per sample, on one thread, taking turns. Floor 6."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count
from statistics import median
from typing import Any

import torch

from zoo.data import Batch, Batches


@dataclass(frozen=True)
class TransformsBench:
    """Images a second of either form, medians over the rounds."""

    batched: float
    albumentations: float
    rounds: int

    @property
    def ratio(self) -> float:
        """How many times faster the batched form is."""
        return self.batched / self.albumentations

    def as_data(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        return {
            "batched": {"images_per_second": self.batched},
            "albumentations": {"images_per_second": self.albumentations},
            "ratio": self.ratio,
            "rounds": self.rounds,
        }

    def as_text(self) -> str:
        """What people read."""
        return "\n".join(
            [
                f"batched         {self.batched:>10,.0f} images/s",
                f"albumentations  {self.albumentations:>10,.0f} images/s",
                f"ratio           {self.ratio:>10.2f} (one thread, medians of {self.rounds} rounds, in turns)",
            ]
        )


def bench_transforms(batched: Batches, albumentations: Batches, *, rounds: int = 7) -> TransformsBench:
    """Draws batches from both in turns, on one thread. A round of each goes first to warm up."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        sources = [chain.from_iterable(map(one.epoch, count(1))) for one in (batched, albumentations)]
        rates: list[list[float]] = [[], []]
        for _ in range(rounds + 1):
            for source, found in zip(sources, rates, strict=True):
                found.append(_images_per_second(source))
    finally:
        torch.set_num_threads(threads)
    return TransformsBench(median(rates[0][1:]), median(rates[1][1:]), rounds)


def _images_per_second(source: Iterator[Batch], least_seconds: float = 0.25) -> float:
    images, seconds = 0, 0.0
    while seconds < least_seconds:
        began = time.perf_counter()
        batch = next(source)
        seconds += time.perf_counter() - began
        images += len(batch.images)
    return images / seconds
