"""Whole batches on the device, from a split that lies there as uint8. Floor 2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from zoo.data.dataset import Split
from zoo.data.draws import Integers
from zoo.data.transforms.forms import Facts
from zoo.data.transforms.pipeline import Epoch, Step, Table, draw_tables


class BatchedRenderer:
    """Renders batches by batched forms.

    On a CPU the split's own array is read; on another device it is uploaded once, as uint8, at the first batch. One
    that would take more than half of a GPU's free memory stays on the CPU, and so do its transforms.
    Parameters are drawn for the whole epoch at its start: some dozens of bytes a sample.
    """

    def __init__(self, split: Split, steps: tuple[Step, ...], facts: Facts, *, seed: int, device: torch.device) -> None:
        self._split, self._steps, self._facts, self._seed, self._target = split, steps, facts, seed, device

    @cached_property
    def _device(self) -> torch.device:
        """Where the split lies and the transforms run."""
        images = self._split.images
        if self._target.type != "cuda" or images is None:
            return self._target
        free, _ = torch.cuda.mem_get_info(self._target)
        return self._target if 2 * images.nbytes < free else torch.device("cpu")

    @cached_property
    def _source(self) -> tuple[Tensor, Tensor]:
        images = self._split.images
        assert images is not None
        if not images.flags.writeable:  # torch warns of arrays it could write to by mistake; it never does here
            images = images.copy()
        pixels = torch.from_numpy(np.ascontiguousarray(images))
        return pixels.to(self._device), torch.from_numpy(self._split.labels).to(self._device)

    def render(self, epoch: int, batches: Sequence[Integers]) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, C, H, W) and labels of each batch."""
        images, labels = self._source
        drawn = Epoch(self._steps, self._tables(epoch), images, labels, self._facts.classes)
        for indices in batches:
            pictures, targets = drawn.batch(self._upload(torch.from_numpy(indices)))
            yield pictures.to(self._target), targets.to(self._target)

    def _tables(self, epoch: int) -> list[Table]:
        everyone = np.arange(len(self._split), dtype=np.int64)
        tables = draw_tables(self._steps, self._seed, epoch, everyone)
        return [
            {name: self._upload(torch.from_numpy(np.ascontiguousarray(values))) for name, values in table.items()}
            for table in tables
        ]

    def _upload(self, tensor: Tensor) -> Tensor:
        if self._device.type == "cuda":
            return tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor.to(self._device)
