"""Passes through a network that leave no trace in it. Floor 2."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def same_modes(*networks: nn.Module) -> Iterator[None]:
    """Every module is afterwards in the mode that it was in."""
    modes = [(module, module.training) for network in networks for module in network.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def same_randomness(*networks: nn.Module) -> Iterator[None]:
    """Python's, NumPy's and torch's generators, on the networks' GPUs too, are afterwards in the state they were in."""
    gpus = {one.device.index for network in networks for one in network.parameters() if one.is_cuda}
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=gpus):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


@contextmanager
def undone(*networks: nn.Module) -> Iterator[None]:
    """Parameters, gradients, buffers, modes and random numbers are afterwards what they were, bit for bit.

    Inside no gradient is there. What a network notes elsewhere, a count in Python say, stays.
    """
    # By their places, and with those that are empty: a module may put another tensor there in its forward pass.
    buffers = [(module._buffers, dict(module._buffers)) for network in networks for module in network.modules()]
    parameters = [parameter for network in networks for parameter in network.parameters()]
    gradients = [parameter.grad for parameter in parameters]
    tensors = [*parameters, *(one for _, kept in buffers for one in kept.values() if one is not None)]
    copies = [tensor.detach().clone() for tensor in tensors]
    with same_modes(*networks), same_randomness(*networks):
        try:
            _set_gradients(parameters, [None] * len(parameters))
            yield
        finally:
            for present, kept in buffers:
                present.clear()
                present.update(kept)
            with torch.no_grad():
                for tensor, before in zip(tensors, copies, strict=True):
                    tensor.copy_(before)
            _set_gradients(parameters, gradients)


def _set_gradients(parameters: list[nn.Parameter], gradients: Sequence[torch.Tensor | None]) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
