"""Whole batches on the device, from a split that lies there as uint8. Floor 2."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from zoo.data.ahead import Ahead
from zoo.data.dataset import Split
from zoo.data.draws import Integers
from zoo.data.transforms.batched.forms import Facts, Parameters
from zoo.data.transforms.compositions import Step
from zoo.data.transforms.pipeline import Epoch, Table, draw_tables

# Of images, as float32, that are rendered at once: to start a small batch's kernels takes longer than to run them.
# 21 batches of 512 from CIFAR-10 on a GPU, 13 of 64 on a CPU.
CHUNK_BYTES = {"cuda": 128 * 2**20, "cpu": 16 * 2**20}


class BatchedRenderer:
    """Renders batches by batched forms.

    On a CPU the split's own array is read; on another device it is uploaded once, as uint8, at the first batch. One
    that would take more than half of a GPU's free memory stays on the CPU, and so do its transforms.
    Parameters are drawn for the whole epoch at its start: some dozens of bytes a sample. Several small batches are
    rendered at once. ``ahead``: the next epoch's parameters are drawn while this one trains.
    """

    def __init__(
        self, split: Split, steps: tuple[Step, ...], facts: Facts, *, seed: int, device: torch.device, ahead: bool
    ) -> None:
        self._split, self._steps, self._facts, self._target = split, steps, facts, device
        draw = partial(draw_tables, steps, seed, indices=np.arange(len(split), dtype=np.int64))
        self._drawn: Callable[[int], list[Parameters]] = Ahead(draw) if ahead else draw

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

    def render(self, epoch: int, batches: Sequence[Integers], start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, C, H, W) and labels of each batch from ``start`` on.

        Which batches are rendered at once does not depend on ``start``: kernels may round by the size of what they get.
        """
        images, labels = self._source
        drawn = Epoch(self._steps, self._tables(epoch), images, labels, self._facts.classes)
        together = self._together(max(map(len, batches), default=1))
        for first in range(start - start % together, len(batches), together):
            several = batches[first : first + together]
            pictures, targets = drawn.batch(self._upload(torch.from_numpy(np.concatenate(several))))
            sizes = [len(indices) for indices in several]
            rendered = zip(torch.split(pictures, sizes), torch.split(targets, sizes), strict=True)
            for part, labels_B in islice(rendered, max(0, start - first), None):
                yield part.to(self._target), labels_B.to(self._target)

    def _together(self, batch_size: int) -> int:
        """How many batches are rendered at once."""
        images = self._split.images
        if images is None:
            return 1
        shapes = [
            images.shape[1:],
            *((s.form.after.height, s.form.after.width, s.form.after.channels) for s in self._steps),
        ]
        image_bytes = max(map(math.prod, shapes)) * torch.float32.itemsize
        return max(1, CHUNK_BYTES.get(self._device.type, 0) // (batch_size * image_bytes))

    def _tables(self, epoch: int) -> list[Table]:
        return [
            {name: self._upload(torch.from_numpy(np.ascontiguousarray(values))) for name, values in table.items()}
            for table in self._drawn(epoch)
        ]

    def _upload(self, tensor: Tensor) -> Tensor:
        if self._device.type == "cuda":
            return tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor.to(self._device)
