"""A step that happens or does not, as a tensor on the device says, without asking the device. Floor 2."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import Optimizer


def stepped_unless(skip: Tensor, optimizer: Optimizer) -> None:
    """Steps the optimizer; where the scalar tensor ``skip`` is true, parameters and state stay as they were.

    Fused kernels and Muon take the decision themselves. For the others the old values are kept and selected
    afterwards, which costs a copy of parameters and state.
    """
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        _told(skip, optimizer)
        return
    before = {id(tensor): tensor.clone() for tensor in _tensors(optimizer, skip)}
    optimizer.step()
    with torch.no_grad():
        for tensor in _tensors(optimizer, skip):
            old = before.get(id(tensor))  # state made by this very step starts from zero
            tensor.copy_(torch.where(skip.bool(), torch.zeros_like(tensor) if old is None else old, tensor))


def _told(skip: Tensor, optimizer: Optimizer) -> None:
    # The attributes through which torch.amp.GradScaler speaks to such optimizers.
    optimizer.found_inf = skip.float()  # type: ignore[attr-defined]  # no public name for it
    optimizer.grad_scale = None  # type: ignore[attr-defined]  # likewise
    optimizer.step()
    del optimizer.found_inf, optimizer.grad_scale  # type: ignore[attr-defined]  # likewise


def _tensors(optimizer: Optimizer, skip: Tensor) -> list[Tensor]:
    """Parameters that are about to move, and their state; step counters kept on the host stay out."""
    moving = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    states = [value for p in moving for value in optimizer.state.get(p, {}).values() if isinstance(value, Tensor)]
    return [*moving, *(value for value in states if value.device == skip.device)]
