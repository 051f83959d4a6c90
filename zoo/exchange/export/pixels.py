"""A network that takes images as they are decoded. Floor 6."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class OfPixels(nn.Module):
    """A network behind Normalize: takes uint8 images (B, H, W, C), gives what it gives for them.

    ``mean`` and ``std``, one number or one a channel, are shares of ``largest``, the value of a white pixel.
    """

    mean: Tensor
    factor: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float], largest: float) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32) * largest)
        self.register_buffer("factor", 1 / (torch.tensor(std, dtype=torch.float32) * largest))

    def forward(self, images_BHWC: Tensor) -> Any:
        """The network's output."""
        normalized_BHWC = (images_BHWC.to(torch.float32) - self.mean) * self.factor
        return self.network(normalized_BHWC.permute(0, 3, 1, 2))
