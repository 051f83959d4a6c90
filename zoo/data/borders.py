"""Border modes and interpolations by their names; what lies beyond an image's edge, as positions in it. Floor 2.

albumentations takes OpenCV's numbers. Names are accepted beside them: PyTorch's and NumPy's words (``reflect`` does not
repeat the edge, as in ``torch.nn.functional.pad``; ``symmetric`` does), and OpenCV's own enum names, in which
``BORDER_REFLECT`` repeats the edge and ``BORDER_REFLECT_101`` does not.
"""

from __future__ import annotations

import torch
from torch import Tensor

CONSTANT, REPLICATE, REFLECT, WRAP, REFLECT_101 = 0, 1, 2, 3, 4

BORDER_MODES = {
    "constant": CONSTANT,
    "replicate": REPLICATE,
    "edge": REPLICATE,
    "symmetric": REFLECT,
    "reflect": REFLECT_101,
    "reflect_101": REFLECT_101,
    "wrap": WRAP,
    "circular": WRAP,
    "BORDER_CONSTANT": CONSTANT,
    "BORDER_REPLICATE": REPLICATE,
    "BORDER_REFLECT": REFLECT,
    "BORDER_WRAP": WRAP,
    "BORDER_REFLECT_101": REFLECT_101,
}

NEAREST, LINEAR = 0, 1

INTERPOLATIONS = {
    "nearest": NEAREST,
    "linear": LINEAR,
    "bilinear": LINEAR,
    "cubic": 2,
    "bicubic": 2,
    "area": 3,
    "lanczos": 4,
    "INTER_NEAREST": NEAREST,
    "INTER_LINEAR": LINEAR,
    "INTER_CUBIC": 2,
    "INTER_AREA": 3,
    "INTER_LANCZOS4": 4,
}


def inside(positions: Tensor, size: int, mode: int) -> Tensor:
    """Positions, which may lie outside [0, size), as positions inside; -1 where the border is constant."""
    if mode == CONSTANT:
        return torch.where((positions >= 0) & (positions < size), positions, -1)
    if mode == REPLICATE:
        return positions.clamp(0, size - 1)
    if mode == WRAP:
        return positions.remainder(size)
    if mode == REFLECT:
        folded = positions.remainder(2 * size)
        return torch.minimum(folded, 2 * size - 1 - folded)
    if size == 1:
        return torch.zeros_like(positions)
    folded = positions.remainder(2 * size - 2)
    return torch.minimum(folded, 2 * size - 2 - folded)
