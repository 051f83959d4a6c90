"""The tightest training loop one would write by hand; it imports no zoo, and is what the engine is judged by. Floor 6.

No data work, no metrics, no schedule, nothing that watches: forward, backward, step on one resident batch, in the same
precision and memory format as the engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn


def bare_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    loss_function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    autocast: torch.dtype | None,
    compile_mode: str | None = None,
    batches: int = 1,
) -> Callable[[], None]:
    """One training step as a closure: fp32, or under autocast to a dtype. Images are B x C x H x W on the device.

    ``compile_mode`` is ``torch.compile``'s, None leaves it out. Autocast stands inside what it gets: outside it, that
    was measured 40 % slower.
    ``batches`` is how often the batch goes through before the update: gradients are accumulated.
    """
    device = images.device.type

    def forward(images: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device, dtype=autocast, enabled=autocast is not None):
            logits: torch.Tensor = model(images)
        return logits.float()

    forward_pass = torch.compile(forward, dynamic=False, mode=compile_mode) if compile_mode else forward

    def step() -> None:
        for _ in range(batches):
            loss_function(forward_pass(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def seconds_for(step: Callable[[], None], steps: int, device: torch.device) -> float:
    """Wall-clock seconds that so many steps take, the device's queue emptied before and after."""
    _settle(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    _settle(device)
    return time.perf_counter() - start


def matmul_peak(device: torch.device, dtype: torch.dtype, *, size: int | None = None, repeats: int = 8) -> float:
    """FLOP/s of the best of several square matrix products: what the machine gives at most.

    They are of 2,048 rows on a CPU; of 8,192 on a GPU, where smaller ones take hardly longer than their start.
    """
    size = size or (2048 if device.type == "cpu" else 8192)
    a = torch.randn(size, size, device=device, dtype=dtype)
    b = torch.randn(size, size, device=device, dtype=dtype)

    def product() -> None:
        torch.mm(a, b)

    return 2 * size**3 / min(seconds_for(product, 1, device) for _ in range(repeats))


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
