"""What the machine gives at most: the speed of a large matrix product, by the clock the loops are measured with."""

from __future__ import annotations

import torch

from loops.task import Task
from loops.turns import CLOCKS


def matmul_peak(task: Task, *, size: int | None = None, repeats: int = 8) -> float:
    """FLOP/s of the best of several square products in the task's precision."""
    size = size or (8192 if task.on_gpu else 2048)  # a GPU hardly notices the smaller one
    dtype = torch.bfloat16 if task.precision == "bf16" else torch.float32
    a, b = torch.randn(2, size, size, device=task.device).to(dtype)
    now, best = CLOCKS[task.clock], float("inf")
    for _ in range(repeats + 1):  # the first one warms up, and is never the best
        began = now()
        product = a @ b
        if task.on_gpu:
            torch.cuda.synchronize(task.device)
        best = min(best, now() - began)
        del product
    return 2 * size**3 / best
