"""Networks with several heads: one gives the logits, the others are trained beside it. Floor 4.

As in GoogLeNet (Szegedy et al. 2015): in training the losses of the auxiliary heads are added to that of the logits,
each with its weight; tests, predictions and explanations see the logits alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Heads:
    """The output that gives the logits, and the weights of the losses of all others."""

    logits: str
    weights: Mapping[str, float]

    @classmethod
    def among(cls, outputs: Mapping[str, Any], weights: Mapping[str, float]) -> Heads | None:
        """The heads of a network with these outputs: the one without a weight is the logits'. None if they differ."""
        left = [name for name in outputs if name not in weights]
        return cls(left[0], dict(weights)) if len(left) == 1 and weights.keys() <= outputs.keys() else None

    def attach(self, module: nn.Module) -> None:
        """Makes a module that gives a dict of outputs (B, K) give one tensor, in its copies too.

        That is the logits (B, K) in ``eval()``, and all heads' (heads, B, K) in training, the logits first.
        """
        module.register_forward_hook(self._chosen)

    def _chosen(self, module: nn.Module, inputs: Any, outputs: Mapping[str, Tensor]) -> Tensor:
        if not module.training:
            return outputs[self.logits]
        return torch.stack([outputs[name] for name in (self.logits, *self.weights)])


class AuxiliaryLoss(nn.Module):
    """A loss of the logits (B, K); of all heads' (heads, B, K) with those of the others, each times its weight."""

    def __init__(self, loss: nn.Module, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.loss = loss
        self.weights = (1.0, *weights.values())
        self.reduction = getattr(loss, "reduction", "mean")

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss, one number, as the loss of one head reduces it."""
        if logits.dim() == 2:
            return self.loss(logits, labels)  # type: ignore[no-any-return]
        losses = [weight * self.loss(head_BK, labels) for weight, head_BK in zip(self.weights, logits, strict=True)]
        return torch.stack(losses).sum()


def logits_of(output: Tensor) -> Tensor:
    """The logits (B, K) among what a network gave: itself, or the first of several heads' (heads, B, K)."""
    return output if output.dim() == 2 else output[0]
