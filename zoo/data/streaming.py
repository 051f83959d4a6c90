"""Sample by sample: decode, run albumentations, stack; in this process or in a loader's workers. Floor 2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from zoo.data.dataset import Split
from zoo.data.draws import Integers
from zoo.data.samples import SamplePipeline
from zoo.data.transforms.catalogue import TransformSpec
from zoo.data.transforms.forms import Facts


class SampleRenderer:
    """Renders batches by treating their samples one by one."""

    def __init__(
        self, split: Split, specs: Sequence[TransformSpec], facts: Facts, *,
        seed: int, device: torch.device, workers: int,
    ) -> None:  # fmt: skip
        self._pipeline = SamplePipeline(split, tuple(specs), facts, seed)
        self._device, self._workers = device, workers

    def render(self, epoch: int, batches: Sequence[Integers]) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, C, H, W) and labels of each batch."""
        for indices in batches:
            images, labels = self._pipeline.batch(epoch, indices)
            yield images.to(self._device), labels.to(self._device)
