"""A private copy to explain: whatever the methods do to it, the caller's model stays as it was. Floor 6.

grad-cam switches to ``eval()``, clears gradients, swaps layers and leaves hooks when it is interrupted. A copy
makes all of that harmless at the price of the weights' memory, which is small beside the activations'.
"""

from __future__ import annotations

import copy

import torch
from torch import nn


@torch.inference_mode(mode=False)
def private_copy(model: nn.Module) -> nn.Module:
    """A copy in fp32 and ``eval()``, every parameter with a gradient to come, on the model's device.

    bf16 gradients are too coarse for maps, and a frozen layer has no gradient to show.
    """
    original = getattr(model, "_orig_mod", model)  # torch.compile's wrapper
    twin = copy.deepcopy(original).float().to(memory_format=torch.contiguous_format).eval()
    twin.zero_grad(set_to_none=True)
    for parameter in twin.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)
    return twin
