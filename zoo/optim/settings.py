"""What a recipe can say about the learning rate that is to be found. Floor 2."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from zoo.schema import ArgsModel

Rule = Literal["valley", "steep", "minimum", "slide"]
Rate = Annotated[float, Field(gt=0)]


class FindSettings(ArgsModel):
    """How the LR range test looks for a rate.

    ``minimum`` is the default because it is the steadiest. On digits (small network, SGD and Adam) it came out alike
    from seed to seed, and with 50, 100 and 200 steps. On CIFAR-10 (custom ResNet) it gave 0.0034 for Adam, where
    ``steep`` gave 3e-5: it falls for the first steps of a network whose first logits are large, for noise, and for what
    a loss does once it has diverged. (2026-11-20 and 26.)
    """

    rule: Rule = Field("minimum", description="which suggestion is used")
    start_lr: Rate = Field(1e-6, description="the first rate tried")
    end_lr: Rate = Field(10.0, description="the last one, unless the loss diverges before")
    steps: Annotated[int, Field(ge=10)] = Field(100, description="rates tried, evenly on a log scale")
    smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(0.98, description="of the running mean of the loss")
    diverges_at: Annotated[float, Field(gt=1)] = Field(4.0, description="times the smallest loss: there it stops")

    @model_validator(mode="after")
    def _rises(self) -> FindSettings:
        if self.end_lr <= self.start_lr:
            raise PydanticCustomError("order", "end_lr must be above start_lr", {"at": "end_lr"})
        return self
