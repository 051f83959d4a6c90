"""PiecewiseLinear: a schedule drawn by its corners, in epochs and factors of the learning rate. Floor 2.

Triangles (cifar10-fast), warm-up and linear decay (airbench) and "linear to zero" are all of this kind.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from zoo.schema import ArgsModel
from zoo.schema.corners import between_corners, require_corners


class PiecewiseLinearArguments(ArgsModel):
    """The learning rate times a factor that runs straight from corner to corner."""

    epochs: list[float] = Field(..., min_length=1, description="where the corners lie, in epochs; fractions too")
    factors: list[float] = Field(..., min_length=1, description="of the learning rate, one at each corner")

    @model_validator(mode="after")
    def _fits(self) -> PiecewiseLinearArguments:
        require_corners(self.epochs, self.factors, "factors")
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
        return between_corners(self.epochs, self.factors, epoch)

    def get_lr(self) -> list[float | Tensor]:
        """The rate of each group."""
        factor = self.factor(self.last_epoch / self.per_epoch)
        return [rate * factor for rate in self.base_lrs]
