"""PiecewiseLinear: a schedule drawn by its corners, in epochs and factors of the learning rate. Floor 2.

Triangles (cifar10-fast), warm-up and linear decay (airbench) and "linear to zero" are all of this kind.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from zoo.schema import ArgsModel


class PiecewiseLinearArguments(ArgsModel):
    """The learning rate times a factor that runs straight from corner to corner."""

    epochs: list[float] = Field(..., min_length=1, description="where the corners lie, in epochs; fractions too")
    factors: list[float] = Field(..., min_length=1, description="of the learning rate, one at each corner")

    @model_validator(mode="after")
    def _fits(self) -> PiecewiseLinearArguments:
        if len(self.epochs) != len(self.factors):
            counts = {"epochs": len(self.epochs), "factors": len(self.factors)}
            raise PydanticCustomError(
                "lengths",
                "{factors} factors for {epochs} epochs; each corner has one of both",
                {"at": "factors", **counts},
            )
        if any(late <= early for early, late in pairwise(self.epochs)):
            raise PydanticCustomError("order", "each epoch must come after the one before", {"at": "epochs"})
        if min(self.epochs) < 0:
            raise PydanticCustomError("negative", "no epoch lies before 0", {"at": "epochs"})
        return self


class PiecewiseLinear(LRScheduler):
    """The initial rate of each group times the factor at the present epoch; constant beyond the outer corners.

    Args:
        optimizer: whose groups it moves
        epochs: where the corners lie, rising
        factors: one at each corner
        per_epoch: how many times a schedule is stepped in an epoch
        last_epoch: as in torch: the count of steps done, less one at the start
    """

    def __init__(
        self,
        optimizer: Optimizer,
        epochs: Sequence[float],
        factors: Sequence[float],
        per_epoch: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        self.epochs = list(epochs)
        self.factors = list(factors)
        self.per_epoch = per_epoch
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: float) -> float:
        """The factor at an epoch."""
        after = bisect_right(self.epochs, epoch)
        if after == 0:
            return self.factors[0]
        if after == len(self.epochs):
            return self.factors[-1]
        left, right = self.epochs[after - 1], self.epochs[after]
        low, high = self.factors[after - 1], self.factors[after]
        return low + (high - low) * (epoch - left) / (right - left)

    def get_lr(self) -> list[float | Tensor]:
        """The rate of each group."""
        factor = self.factor(self.last_epoch / self.per_epoch)
        return [rate * factor for rate in self.base_lrs]
