"""Norm layers whose running statistics stand still while the network trains. Floor 2.

They normalise by what they have, as in a test, and do not learn from the batches: what torchvision's
``FrozenBatchNorm2d``, mmpretrain's ``norm_eval`` and Keras's ``training=False`` are for. Their weights and biases train
as any others. A layer bears a mark, which goes with it into copies; :func:`into_training` heeds it.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from zoo.optim.selection import fits

_MARK = "zoo_statistics_stand"
_STATISTICS = ("running_mean", "running_var")


def layers_with_statistics(model: nn.Module) -> dict[str, nn.Module]:
    """The layers that keep running statistics, by dotted name: batch norms, and whatever else calls them so."""
    return {
        name: module
        for name, module in model.named_modules()
        if any(module._buffers.get(buffer) is not None for buffer in _STATISTICS)
    }


def freeze_statistics(model: nn.Module, patterns: Sequence[str]) -> None:
    """Marks the layers that a pattern fits: by their own names, or those of modules around them."""
    for name, module in layers_with_statistics(model).items():
        if any(fits(name, pattern) for pattern in patterns):
            object.__setattr__(module, _MARK, True)
            module.training = False


def has_frozen_statistics(module: nn.Module) -> bool:
    """Whether this layer's statistics stand still."""
    return bool(module.__dict__.get(_MARK))


def into_training(model: nn.Module) -> nn.Module:
    """``model.train()``, but for layers whose statistics stand still."""
    model.train()
    for module in model.modules():
        if has_frozen_statistics(module):
            module.training = False  # not eval(): a norm of timm's may hold a dropout, which goes on
    return model
