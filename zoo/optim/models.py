"""What may stand in an optimizer's mapping and in one of its groups: its own arguments and zoo's keys. Floor 2."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, cast

from pydantic import Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from zoo.optim.catalogue import OptimizerEntry
from zoo.optim.schedules import Interval, ScheduleEntry
from zoo.optim.selection import KINDS
from zoo.schema import ArgsModel

_WHOLE_OPTIMIZER = ("foreach", "fused", "capturable", "differentiable")  # one for all groups
_KINDS = ", ".join(KINDS)
_EPOCHS = Annotated[float, Field(ge=0)]
_DECAY = Annotated[float, Field(gt=0, le=1)]


class SelectorKeys(ArgsModel):
    """Which parameters: by kind, by name pattern, or both at once."""

    match: str | list[str] | None = Field(None, description="glob over the dotted name, or over a module's")
    kind: str | list[str] | None = Field(None, description=f"one of {_KINDS}")

    @model_validator(mode="after")
    def _selects(self) -> SelectorKeys:
        if not self.match and not self.kind:
            raise ValueError("`match` or `kind` is missing: which parameters?")
        return self


class FreezeKeys(ArgsModel):
    """A stretch of the training in which parameters stand still, in epochs."""

    until: _EPOCHS | None = Field(None, description="they train from this epoch on")
    after: Annotated[float, Field(gt=0)] | None = Field(None, description="they train up to this epoch")

    @model_validator(mode="after")
    def _trains_between(self) -> FreezeKeys:
        if self.until is not None and self.after is not None and self.after <= self.until:
            raise PydanticCustomError(
                "order",
                "`until` is when training begins and `after` when it ends: these would never train",
                {"at": "after"},
            )
        return self


class GroupKeys(SelectorKeys):
    """What a group says beside its optimizer's arguments."""

    lr_scale: Annotated[float, Field(ge=0)] | None = Field(None, description="times the optimizer's rate")
    freeze: bool | FreezeKeys | None = Field(None, description="true: these never train; or {until, after} in epochs")
    schedule: Any = Field(None, description="a schedule of its own")

    @model_validator(mode="after")
    def _has_one_rate(self) -> GroupKeys:
        if self.lr_scale is not None and getattr(self, "lr", None) is not None:
            raise PydanticCustomError("two-rates", "a group has `lr` or `lr_scale`, not both", {"at": "lr_scale"})
        return self


@cache
def optimizer_model(entry: OptimizerEntry) -> type[ArgsModel]:
    """The model of an optimizer's whole mapping."""
    keys: dict[str, Any] = {
        "name": (str, Field(..., description="the optimizer's name")),
        "params": (Any, Field(None, description="what it takes: {kind, match}, or `rest`")),
        "groups": (list[Any], Field([], description="parameters with other arguments; the first that fits takes them")),
        "schedule": (Any, Field(None, description="a schedule of its own")),
        "layer_decay": (_DECAY | None, Field(None, description="times the rate for each layer further from the head")),
    }
    return create_model(entry.name, __base__=entry.arguments, __doc__=entry.doc, **cast("Any", keys))


@cache
def group_model(entry: OptimizerEntry) -> type[GroupKeys]:
    """The model of one of an optimizer's groups: its arguments, none required, and the group's own keys."""
    fields: dict[str, Any] = {
        name: (info.annotation if not info.metadata else Annotated[info.annotation, *info.metadata], None)
        for name, info in entry.arguments.model_fields.items()
        if name not in _WHOLE_OPTIMIZER
    }
    return create_model(f"{entry.name} group", __base__=GroupKeys, **cast("Any", fields))


@cache
def schedule_model(entry: ScheduleEntry) -> type[ArgsModel]:
    """The model of a schedule's whole mapping."""
    keys: dict[str, Any] = {
        "name": (str, Field(..., description="the schedule's name")),
        "interval": (Interval, Field("step", description="whether the rate moves by step or by epoch")),
    }
    return create_model(entry.name, __base__=entry.arguments, __doc__=entry.doc, **cast("Any", keys))
