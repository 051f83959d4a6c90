"""What an optimization makes of a model's parameters, one line a group, before anything is built of it. Floor 2."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from zoo.columns import in_columns
from zoo.diagnostics import Diagnostics, counted
from zoo.optim.assign import Share, assign
from zoo.optim.depth import DepthsOf, all_alike
from zoo.optim.optimization import OptimizationSpec
from zoo.optim.selection import named_parameters
from zoo.optim.spec import Freeze, OptimizerSpec

_WIDEST_NAME = 40


@dataclass(frozen=True, slots=True)
class ListedGroup:
    """Parameters that are trained alike. ``lr`` is None where it is to be found; ``frozen`` says when, if ever."""

    name: str
    tensors: int
    values: int
    lr: float | None
    weight_decay: float | None
    frozen: str | None


def listed_groups(spec: OptimizationSpec, model: nn.Module, depths: DepthsOf = all_alike) -> list[ListedGroup]:
    """Every group that owns a parameter, in the recipe's order, and what the architecture itself has frozen.

    The rate is the one that a group starts from, or climbs to. The model is as before; it may be on ``meta``.
    """
    found = []
    once, twice = spec.with_found(1.0).optimizers, spec.with_found(2.0).optimizers  # a rate that differs is to be found
    others = {id(optimizer): other for optimizer, other in zip(once, twice, strict=True)}
    for optimizer, shares in assign(once, model, Diagnostics(), depths):
        found += [_listed(optimizer, others[id(optimizer)], share) for share in shares]
    fixed = [each.tensor for each in named_parameters(model) if not each.tensor.requires_grad]
    if fixed:
        found.append(ListedGroup("the architecture's", len(fixed), _values(fixed), None, None, "always"))
    return found


def _listed(optimizer: OptimizerSpec, other: OptimizerSpec, share: Share) -> ListedGroup:
    group, tensors = share.group, [parameter.tensor for parameter in share.parameters]
    rate = optimizer.lr_of(group)
    field = optimizer.entry.arguments.model_fields.get("weight_decay")
    decay = optimizer.arguments.get("weight_decay", field.default if field is not None else None)
    return ListedGroup(
        share.label_in(optimizer),
        len(tensors),
        _values(tensors),
        rate * share.scale if rate == other.lr_of(group) else None,
        decay if group is None else group.arguments.get("weight_decay", decay),
        _when(group.freeze) if group is not None and group.freeze is not None else None,
    )


def _values(tensors: Iterable[nn.Parameter]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _when(freeze: Freeze) -> str:
    if freeze.always:
        return "always"
    until = [f"until epoch {freeze.until:g}"] if freeze.until else []
    after = [f"from epoch {freeze.after:g} on"] if freeze.after < float("inf") else []
    return " and ".join([*until, *after])


def group_lines(groups: Sequence[ListedGroup]) -> list[str]:
    """The groups as people read them, in columns."""
    return in_columns([_row(group) for group in groups])


def _row(group: ListedGroup) -> tuple[str, ...]:
    name = group.name if len(group.name) <= _WIDEST_NAME else f"{group.name[: _WIDEST_NAME - 1]}…"
    sizes = (name, counted(group.tensors, "tensor"), counted(group.values, "value"))
    if group.frozen == "always":
        return (*sizes, "frozen", "", "")
    rate = "lr to be found" if group.lr is None else f"lr {group.lr:g}"
    decay = "" if group.weight_decay is None else f"weight decay {group.weight_decay:g}"
    return (*sizes, rate, decay, "" if group.frozen is None else f"frozen {group.frozen}")
