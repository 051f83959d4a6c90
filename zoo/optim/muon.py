"""Muon in the form of airbench94_muon: momentum, orthogonalised, for convolution filters. Floor 2.

Source: Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024), and
KellerJordan/cifar10-airbench. torch.optim has a Muon for matrices with weight decay; ask for it as ``torch:Muon``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic: the steepest at zero, not the most exact


def orthogonalise(matrix: Tensor, steps: int = 3, eps: float = 1e-7) -> Tensor:
    """The matrix with its singular values pushed towards one, by Newton-Schulz iteration in bfloat16.

    Takes and gives a matrix of shape (rows, columns); the result is bfloat16, its singular values lie roughly
    within 0.5 and 1.5. ``eps`` keeps a zero matrix zero.
    """
    a, b, c = COEFFICIENTS
    x: Tensor = matrix.bfloat16()
    x = x / (x.norm() + eps)  # the iteration converges for a spectral norm of at most one
    is_tall = x.size(0) > x.size(1)
    if is_tall:
        x = x.mT
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if is_tall else x


class Muon(Optimizer):
    """Orthogonalised momentum for tensors of two and more dimensions (filters are flattened to one row each).

    Before each step the tensor is scaled to the norm sqrt(rows), so its scale carries no information and no
    weight decay is needed. No host sync. Like torch's fused optimizers it obeys ``found_inf`` and ``grad_scale``
    (scalar tensors, set from outside for one step): where ``found_inf`` is true, nothing changes.

    Args:
        params: parameters or groups of them, each of two or more dimensions
        lr: learning rate; the update has unit singular values, so this is the step in spectral norm
        momentum: share of the gradient average that is kept
        nesterov: look ahead by one momentum step
        steps: Newton-Schulz steps
        eps: added to the norm of the update before it is divided by it
        normalize: scale each tensor to the norm sqrt(rows) before its step
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.24,
        momentum: float = 0.6,
        nesterov: bool = True,
        steps: int = 3,
        eps: float = 1e-7,
        normalize: bool = True,
    ) -> None:
        if lr < 0:
            raise ValueError(f"lr must be at least 0, got {lr}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
        if nesterov and momentum == 0:
            raise ValueError("nesterov needs a momentum")
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "steps": steps,
            "eps": eps,
            "normalize": normalize,
        }
        super().__init__(params, defaults)
        self._step_supports_amp_scaling = True  # where torch.amp.GradScaler looks
        flat = [p for group in self.param_groups for p in group["params"] if p.ndim < 2]
        if flat:
            raise ValueError(f"Muon takes tensors of two and more dimensions, got shape {list(flat[0].shape)}")

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step for every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        average, skip = state["momentum_buffer"], getattr(self, "found_inf", None)
        scale = getattr(self, "grad_scale", None)
        gradient = gradient if scale is None else gradient / scale
        moved = average.mul(group["momentum"]).add_(gradient)
        direction = gradient.add(moved, alpha=group["momentum"]) if group["nesterov"] else moved
        # filters that begin at zero have no size to keep
        size = len(parameter) ** 0.5 / parameter.norm().clamp_min(group["eps"]) if group["normalize"] else 1.0
        update = orthogonalise(direction.reshape(len(direction), -1), group["steps"], group["eps"])
        stepped = parameter.mul(size).add_(update.view(direction.shape), alpha=-group["lr"])
        average.copy_(moved if skip is None else torch.where(skip.bool(), average, moved))
        parameter.copy_(stepped if skip is None else torch.where(skip.bool(), parameter, stepped))
