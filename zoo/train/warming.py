"""What only a training's first passes cost, had before its clock runs, and without a trace. Floor 5.

A GPU loads its kernels when they are first used, cuDNN tries its convolutions once for each shape, and
``torch.compile`` compiles for each size of batch and of images, and each set of frozen parameters. Published times of
speedruns leave that out too (Jordan 2024, airbench: a whole run goes first).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from itertools import chain, product

import torch
from torch import Tensor

from zoo.data.progressive import Size, resized
from zoo.launch import part_of
from zoo.optim.undoing import undone
from zoo.train.training import BatchLike, Training


def warm_up(
    training: Training,
    forward: Callable[[Tensor], Tensor],
    batch: BatchLike,
    *,
    steps_done: int = 0,
    on_pass: Callable[[], None] = lambda: None,
) -> float:
    """Passes forward and backward once for each form that the training's steps will have; gives the seconds it took.

    Weights, buffers, gradients, random numbers and what is frozen are afterwards what they were; what a network notes
    elsewhere, a count in Python say, is not. ``on_pass`` is called after each pass and may raise.
    """
    runtime, optimization = training.runtime, training.optimization
    images_BCHW, labels = runtime.images(batch.images), batch.labels.to(runtime.device)
    runtime.synchronize()  # what made the batch is none of it
    began = time.monotonic()
    with undone(training.model, training.loss), closing(optimization.rehearse()) as turns:
        for turn in chain([steps_done], turns if runtime.compiled else ()):  # a frozen parameter is another graph
            if turn >= training.steps.total:
                break
            for count, size in product(_counts(training, turn), _image_sizes(training, turn)):
                images = runtime.images(_rows(images_BCHW, count))
                loss = training.objective(forward(resized(images, size)), _rows(labels, count), images)
                if loss.requires_grad:
                    runtime.fabric.backward(loss)
                    if turn == steps_done:
                        optimization.skip_step(runtime.device)
                optimization.zero_grad()
                on_pass()
        runtime.synchronize()
    return time.monotonic() - began


def _image_sizes(training: Training, steps_done: int) -> list[Size | None]:
    """The sizes of the images that are still to come; None: their own."""
    epochs, begun = training.steps.epochs, steps_done // training.steps.per_epoch
    return list(dict.fromkeys(training.size_of(epoch) for epoch in range(begun + 1, epochs + 1)))


def _counts(training: Training, steps_done: int) -> list[int]:
    """The images of a batch, and those of an epoch's last, smaller one where it is still to come.

    Each of several ranks has its part of them.
    """
    train, ranks, steps = training.train, training.runtime.ranks, training.steps
    full = min(train.batch_size, train.samples)
    last = train.samples - (train.steps - 1) * train.batch_size
    ends = steps.total // steps.per_epoch > steps_done // steps.per_epoch
    sizes = [full, last] if last < full and ends else [full]
    return [part_of(size, ranks.rank, ranks.count) or size for size in sizes]


def _rows(tensor: Tensor, size: int) -> Tensor:
    """A copy of the first so many rows, which a network may write to; of a smaller batch, again from its beginning."""
    return tensor[torch.arange(size, device=tensor.device) % len(tensor)]
