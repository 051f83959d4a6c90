"""What only a training's first passes cost, had before its clock runs, and without a trace. Floor 5.

A GPU loads its kernels when they are first used, cuDNN tries its convolutions once for each shape, and
``torch.compile`` compiles for each size of batch and each set of frozen parameters. Published times of speedruns leave
that out too (Jordan 2024, airbench: a whole run goes first).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from zoo.train import state
from zoo.train.training import BatchLike, Training


def warm_up(training: Training, forward: Callable[[Tensor], Tensor], batch: BatchLike) -> float:
    """Passes forward and backward once for each form that the training's steps will have; gives the seconds it took.

    Weights, buffers, gradients, random numbers and what is frozen are afterwards what they were.
    """
    runtime = training.runtime
    began = time.monotonic()
    images_BCHW = runtime.images(batch.images)
    labels = batch.labels.to(runtime.device)
    with _without_a_trace(training):
        for size in _sizes(training, len(images_BCHW)):
            _pass(training, forward, runtime.images(images_BCHW[:size]), labels[:size], steps=True)
        if runtime.compiled:  # a frozen parameter is another graph
            for _ in training.optimization.rehearse():
                for size in _sizes(training, len(images_BCHW)):
                    _pass(training, forward, runtime.images(images_BCHW[:size]), labels[:size])
        runtime.synchronize()
    return time.monotonic() - began


def _sizes(training: Training, present: int) -> list[int]:
    """The present batch's images; those of an epoch's last, smaller batch too."""
    train, ranks = training.train, training.runtime.ranks
    last = train.samples - (train.steps - 1) * train.batch_size
    return [present, last] if ranks.is_alone and last < present else [present]


def _pass(
    training: Training, forward: Callable[[Tensor], Tensor], images_BCHW: Tensor, labels: Tensor, steps: bool = False
) -> None:
    loss = training.loss(forward(images_BCHW), labels)
    if loss.requires_grad:
        training.runtime.fabric.backward(loss)
        if steps:
            training.optimization.skip_step(images_BCHW.device)
    training.optimization.zero_grad()


@contextmanager
def _without_a_trace(training: Training) -> Iterator[None]:
    buffers = [(buffer, buffer.clone()) for buffer in training.model.buffers()]
    device = training.runtime.device
    random_state = state.random_state(device)
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        state.set_random_state(random_state, device)
