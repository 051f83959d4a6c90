"""Whole batches on the device, from a split that lies there as uint8. Floor 2."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zoo.data.ahead import Ahead
from zoo.data.dataset import Split
from zoo.data.draws import Integers
from zoo.data.sampling import Sampling
from zoo.data.transforms.batched.forms import Facts, Parameters
from zoo.data.transforms.compositions import Step
from zoo.data.transforms.pipeline import Epoch, Table, draw_tables

# Of images, as float32, that are rendered at once: to start a small batch's kernels takes longer than to run them.
# 21 batches of 512 from CIFAR-10 on a GPU, 13 of 64 on a CPU.
CHUNK_BYTES = {"cuda": 128 * 2**20, "cpu": 16 * 2**20}

_Drawn = tuple[Integers | None, list[Parameters]]  # an epoch's samples, where they are not its images; their parameters


class BatchedRenderer:
    """Renders batches by batched forms.

    On a CPU the split's own array is read; on another device it is uploaded once, as uint8, at the first batch. One
    that would take more than half of a GPU's free memory stays on the CPU, and so do its transforms.
    Parameters are drawn for the whole epoch at its start: some dozens of bytes a sample. Several small batches are
    rendered at once. ``ahead``: the next epoch's parameters are drawn while this one trains.
    """

    def __init__(
        self, split: Split, steps: tuple[Step, ...], facts: Facts, sampling: Sampling, *, device: torch.device,
        ahead: bool,
    ) -> None:  # fmt: skip
        self._split, self._steps, self._facts, self._target = split, steps, facts, device
        self._sampling = sampling

        def draw(epoch: int) -> _Drawn:  # holds no renderer, which would then not end with its last reference
            samples = None if sampling.is_plain else sampling.samples(epoch)
            return samples, _tables_of(steps, sampling, epoch, samples)

        self._drawn: Callable[[int], _Drawn] = Ahead(draw) if ahead else draw

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
        samples, parameters = self._drawn(epoch)
        drawn = self._laid_out(samples, parameters)
        together = self._together(max(map(len, batches), default=1))
        for first in range(start - start % together, len(batches), together):
            several = batches[first : first + together]
            pictures, targets = self._rendered(epoch, drawn, samples, np.concatenate(several))
            sizes = [len(indices) for indices in several]
            rendered = zip(torch.split(pictures, sizes), torch.split(targets, sizes), strict=True)
            for part, labels_B in islice(rendered, max(0, start - first), None):
                yield part.to(self._target), labels_B.to(self._target)

    def _laid_out(self, samples: Integers | None, parameters: Sequence[Parameters]) -> Epoch:
        images, labels = self._source
        image_of = None if samples is None else self._uploaded(samples % len(self._split))
        return Epoch(self._steps, self._tables(parameters), images, labels, self._facts.classes, image_of)

    def _rendered(self, epoch: int, drawn: Epoch, samples: Integers | None, chosen: Integers) -> tuple[Tensor, Tensor]:
        """Images and labels of chosen samples; of one that the epoch has not, as it would come."""
        if samples is None:
            return drawn.batch(self._uploaded(chosen))
        places = np.searchsorted(samples, chosen)
        if not np.array_equal(samples[np.minimum(places, len(samples) - 1)], chosen):
            drawn = drawn.and_then(self._laid_out(chosen, _tables_of(self._steps, self._sampling, epoch, chosen)))
            places = len(samples) + np.arange(len(chosen), dtype=np.int64)
        return drawn.batch(self._uploaded(places))

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

    def _tables(self, parameters: Sequence[Parameters]) -> list[Table]:
        return [{name: self._uploaded(values) for name, values in table.items()} for table in parameters]

    def _uploaded(self, values: npt.NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(values))
        if self._device.type == "cuda":
            return tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor.to(self._device)


def _tables_of(steps: Sequence[Step], sampling: Sampling, epoch: int, samples: Integers | None) -> list[Parameters]:
    """The parameters of an epoch's samples; None: of all its images, each of which comes once."""
    count = len(sampling.labels)
    if samples is None:
        return draw_tables(steps, sampling.seed, epoch, np.arange(count, dtype=np.int64))
    occurrences, images = np.divmod(samples, count)
    return draw_tables(steps, sampling.seed, epoch, images, occurrences)
