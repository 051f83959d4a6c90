"""A step that happens or does not, as a tensor on the device says, without asking the device. Floor 2."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

_STEPPED = "_parameters_that_stepped"  # an attribute of the optimizer's, which is in no state dict


def stepped_unless(skip: Tensor, optimizer: Optimizer) -> None:
    """Steps the optimizer; where the scalar tensor ``skip`` is true, parameters and its state's tensors there stay.

    What it counts on the host goes on: steps as plain numbers (some of timm's) or in a tensor of the CPU's. Fused
    kernels and Muon take the decision themselves. For the others the old values are kept and selected afterwards,
    which costs a copy of parameters and state. A parameter's first step makes its state out of nothing, which cannot
    be undone: there, once, the device is asked.
    """
    if decides_itself(optimizer):
        _told(skip, optimizer)
        return
    moving = _moving(optimizer)
    stepped: set[int] = optimizer.__dict__.setdefault(_STEPPED, set())
    new = {id(parameter) for parameter in moving} - stepped
    if new:
        if not bool(skip):
            optimizer.step()
            stepped |= new
        return
    before = {place: tensor.clone() for place, tensor in _tensors(optimizer, moving, skip)}
    optimizer.step()
    with torch.no_grad():
        for place, tensor in _tensors(optimizer, moving, skip):
            if place in before:
                tensor.copy_(torch.where(skip.bool(), before[place], tensor))


def decides_itself(optimizer: Optimizer) -> bool:
    """Whether its kernels leave all as it is where they are told so, on the device: fused ones, and Muon's."""
    return bool(getattr(optimizer, "_step_supports_amp_scaling", False))


def _told(skip: Tensor, optimizer: Optimizer) -> None:
    # The attributes through which torch.amp.GradScaler speaks to such optimizers.
    optimizer.found_inf = skip.float()  # type: ignore[attr-defined]  # no public name for it
    optimizer.grad_scale = None  # type: ignore[attr-defined]  # likewise
    optimizer.step()
    del optimizer.found_inf, optimizer.grad_scale  # type: ignore[attr-defined]  # likewise


def _moving(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]


def _tensors(optimizer: Optimizer, moving: list[Tensor], skip: Tensor) -> Iterator[tuple[tuple[Hashable, ...], Tensor]]:
    """Parameters that move, and their state, each with its place; step counters kept on the host stay out."""
    for number, parameter in enumerate(moving):
        yield (number,), parameter
        for place, tensor in _leaves(optimizer.state.get(parameter, {}), (number,)):
            if tensor.device == skip.device:
                yield place, tensor


def _leaves(value: Any, place: tuple[Hashable, ...]) -> Iterator[tuple[tuple[Hashable, ...], Tensor]]:
    if isinstance(value, Tensor):
        yield place, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, (*place, key))
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _leaves(item, (*place, number))
