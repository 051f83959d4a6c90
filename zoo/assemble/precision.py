"""The precision of a network, where the network has a say in it. Floor 7."""

from __future__ import annotations

import torch
from torch import nn

from zoo.assemble.networks import Network
from zoo.train import Runtime
from zoo.train.misread import misread_layer
from zoo.train.runtime import Choice


def settle_precision(runtime: Runtime, requested: str, module: nn.Module, network: Network) -> tuple[str, ...]:
    """Leaves bf16 where PyTorch's gradient of a layer is wrong in it, or warns where bf16 was asked for."""
    if runtime.device.type != "cpu" or runtime.precision != "bf16":
        return ()
    layer = misread_layer(module, torch.zeros(1, *network.input_shape))
    if layer is None:
        return ()
    reason = f"the stride of {layer} exceeds its map, where PyTorch's bf16 gradient is wrong on a CPU"
    if requested != "auto":
        return (f"warning: {reason}; train.precision: fp32 is right",)
    runtime.change_precision(Choice("fp32", reason))
    return ()
