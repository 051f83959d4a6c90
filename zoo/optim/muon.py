"""Muon in the form of airbench94_muon: momentum, orthogonalised, for convolution filters. Floor 2.

Source: Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024), and
KellerJordan/cifar10-airbench. torch.optim has a Muon for matrices with weight decay; ask for it as ``torch:Muon``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

AT_ONCE = 2**23  # numbers that are updated together: 32 MiB of each copy
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic: the steepest at zero, not the most exact


def orthogonalise(matrix: Tensor, steps: int = 3, eps: float = 1e-7) -> Tensor:
    """The matrix with its singular values pushed towards one, by Newton-Schulz iteration in bfloat16.

    Takes and gives a matrix of shape (rows, columns), or several (n, rows, columns); the result is bfloat16, its
    singular values lie roughly within 0.5 and 1.5. ``eps`` keeps a zero matrix zero.
    """
    a, b, c = COEFFICIENTS
    x: Tensor = matrix.bfloat16()
    # The iteration converges for a spectral norm of at most one.
    x = x / (torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True) + eps)
    is_tall = x.size(-2) > x.size(-1)
    if is_tall:
        x = x.mT
    for _ in range(steps):
        gram = x @ x.mT
        x = _plus_product(x, _plus_product(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x


def _plus_product(base: Tensor, left: Tensor, right: Tensor, *, beta: float, alpha: float = 1.0) -> Tensor:
    """beta x base + alpha x left @ right, in one kernel."""
    form = torch.addmm if base.dim() == 2 else torch.baddbmm
    return form(base, left, right, beta=beta, alpha=alpha)


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
            moving = [parameter for parameter in group["params"] if parameter.grad is not None]
            for alike in _of_one_shape(moving):
                self._update(alike, group)
        return loss

    def _update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """Updates parameters of one shape, together: a GPU takes as long to start a small kernel as to run it."""
        weights = _flat(parameters)
        gradients = _flat([parameter.grad for parameter in parameters if parameter.grad is not None])
        buffers = [self._momentum_buffer(parameter) for parameter in parameters]
        averages = _flat(buffers)
        skip, scale = getattr(self, "found_inf", None), getattr(self, "grad_scale", None)
        gradients = gradients if scale is None else gradients / scale
        moved = averages.mul(group["momentum"]).add_(gradients)
        directions = gradients.add(moved, alpha=group["momentum"]) if group["nesterov"] else moved
        updates = orthogonalise(directions, group["steps"], group["eps"])
        if group["normalize"]:  # filters that begin at zero have no size to keep
            norms = torch.linalg.vector_norm(weights, dim=(1, 2), keepdim=True).clamp_min_(group["eps"])
            stepped = (weights * (weights.size(1) ** 0.5 / norms)).add_(updates, alpha=-group["lr"])
        else:
            stepped = weights.add(updates, alpha=-group["lr"])
        if skip is not None:
            moved = torch.where(skip.bool(), averages, moved)
            stepped = torch.where(skip.bool(), weights, stepped)
        _write(moved, buffers)
        _write(stepped, parameters)

    def _momentum_buffer(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer: Tensor = state["momentum_buffer"]
        return buffer


def _of_one_shape(parameters: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Parameters of one kind, so many at once that their copies stay small; large ones fill a GPU by themselves."""
    alike: dict[tuple[Any, ...], list[Tensor]] = {}
    for parameter in parameters:
        alike.setdefault((parameter.shape, parameter.dtype, parameter.device), []).append(parameter)
    for several in alike.values():
        together = max(1, AT_ONCE // several[0].numel())
        yield from (several[start : start + together] for start in range(0, len(several), together))


def _flat(tensors: list[Tensor]) -> Tensor:
    """Tensors of one shape as matrices (n, rows, columns): all but the first dimension are flattened."""
    return torch.stack([tensor.reshape(len(tensor), -1) for tensor in tensors])


def _write(matrices: Tensor, tensors: list[Tensor]) -> None:
    torch._foreach_copy_(tensors, [matrix.view(tensors[0].shape) for matrix in matrices])
