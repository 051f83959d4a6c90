"""What a recipe's `optimizer` says, checked: optimizers, their groups, what they take. Plain data. Floor 2."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from zoo.diagnostics import Diagnostics
from zoo.document import Mapping
from zoo.optim.catalogue import OptimizerEntry
from zoo.optim.schedules import ScheduleSpec
from zoo.optim.selection import Selector


@dataclass(frozen=True, slots=True)
class Freeze:
    """When parameters stand still, in epochs: always, up to ``until``, or from ``after`` on."""

    always: bool = False
    until: float = 0.0
    after: float = float("inf")


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """Parameters of one optimizer that differ in some arguments. ``lr_scale`` multiplies the optimizer's rate."""

    selector: Selector
    node: Mapping
    arguments: dict[str, Any] = field(default_factory=dict)
    lr: float | None = None
    lr_scale: float = 1.0
    schedule: ScheduleSpec | None = None
    freeze: Freeze | None = None

    def check(self, epochs: float, diagnostics: Diagnostics) -> None:
        """Warns of a freeze that outlasts a training of this many epochs."""
        if self.freeze is not None and not self.freeze.always and self.freeze.until >= epochs:
            diagnostics.warning(
                "never-thawed",
                f"{self.selector}: frozen until epoch {self.freeze.until:g}, in a training of {epochs:g} epochs",
                self.node.span,
                help="freeze: true says so; else let it thaw earlier, or train for longer",
            )


@dataclass(frozen=True, slots=True)
class OptimizerSpec:
    """One optimizer: its own arguments as far as they were given, the parameters it takes, its groups."""

    entry: OptimizerEntry
    arguments: dict[str, Any]
    selector: Selector
    node: Mapping
    groups: tuple[GroupSpec, ...] = ()
    schedule: ScheduleSpec | None = None
    layer_decay: float | None = None

    @property
    def name(self) -> str:
        """The optimizer's name."""
        return self.entry.name

    @property
    def lr(self) -> float:
        """The rate it was given, else the one its signature has."""
        default = self.entry.arguments.model_fields["lr"].default if "lr" in self.entry.arguments.model_fields else 0.0
        return float(self.arguments.get("lr", default) or 0.0)

    @property
    def decays_layers(self) -> bool:
        """Whether the rate falls from layer to layer, seen from the head."""
        return self.layer_decay not in (None, 1.0)

    def label_of(self, group: GroupSpec | None) -> str:
        """What people call a group's parameters, or with None those in no group."""
        return self.name if group is None else f"{self.name} {group.selector}"

    def schedule_of(self, group: GroupSpec | None) -> ScheduleSpec | None:
        """The schedule that moves a group; None stands for the parameters in no group."""
        return group.schedule if group is not None and group.schedule is not None else self.schedule

    def lr_of(self, group: GroupSpec | None) -> float:
        """The rate that a group starts from, or climbs to where its schedule has a peak of its own."""
        if group is not None and group.lr is not None:
            return group.lr
        schedule = self.schedule_of(group)
        rate = self.lr if schedule is None or schedule.peak is None else schedule.peak
        return rate if group is None else rate * group.lr_scale

    def with_arguments(self, **arguments: Any) -> OptimizerSpec:
        """A copy with some arguments set."""
        return replace(self, arguments={**self.arguments, **arguments})
