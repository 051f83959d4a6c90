"""Hands each trainable parameter to exactly one optimizer and at most one of its groups. Floor 2.

Among optimizers nothing may be taken twice; among the groups of one optimizer the first that fits takes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from zoo.diagnostics import Diagnostics, Note, counted, first_of
from zoo.optim.depth import DepthsOf, all_alike, split_by_depth
from zoo.optim.selection import NamedParameter, named_parameters, told_unmatched
from zoo.optim.spec import GroupSpec, OptimizerSpec

_MOST_NAMED = 4  # parameters that one message lists


@dataclass(frozen=True, slots=True)
class Share:
    """The parameters of one group of an optimizer; ``group`` is None for those in no group.

    Under ``layer_decay`` they are those of one ``depth``, and ``scale`` is what their rate is multiplied by.
    """

    group: GroupSpec | None
    parameters: tuple[NamedParameter, ...]
    depth: int | None = None
    scale: float = 1.0

    def label_in(self, optimizer: OptimizerSpec) -> str:
        """What people call these parameters."""
        label = optimizer.label_of(self.group)
        return label if self.depth is None else f"{label} depth {self.depth}"

    @property
    def is_frozen(self) -> bool:
        """Whether these never train."""
        return self.group is not None and self.group.freeze is not None and self.group.freeze.always


def assign(
    optimizers: Sequence[OptimizerSpec], model: nn.Module, diagnostics: Diagnostics, depths: DepthsOf = all_alike
) -> list[tuple[OptimizerSpec, list[Share]]]:
    """Each optimizer with its shares, those in no group first; optimizers and groups that own nothing are left out.

    Frozen parameters (``requires_grad`` false) belong to nobody. Tells of parameters that nobody takes or two
    take, and of selectors that take nothing. ``depths`` is asked where an optimizer has ``layer_decay``.
    """
    everything = list(named_parameters(model))
    owned = _owners(optimizers, everything, diagnostics)
    result = []
    for optimizer, mine in zip(optimizers, owned, strict=True):
        shares = _shares(optimizer, mine, everything, diagnostics)
        if optimizer.decays_layers:
            shares = _by_depth(optimizer, shares, depths(model), diagnostics)
        if shares:
            result.append((optimizer, shares))
    return result


def _owners(
    optimizers: Sequence[OptimizerSpec], everything: list[NamedParameter], diagnostics: Diagnostics
) -> list[list[NamedParameter]]:
    owned: list[list[NamedParameter]] = [[] for _ in optimizers]
    rest = next((index for index, optimizer in enumerate(optimizers) if optimizer.selector.is_rest), None)
    unowned = []
    for parameter in everything:
        if not parameter.tensor.requires_grad:
            continue
        takers = [i for i, o in enumerate(optimizers) if not o.selector.is_rest and o.selector.takes(parameter)]
        if len(takers) > 1:
            _tell_twice(parameter, [optimizers[taker] for taker in takers], diagnostics)
        if takers or rest is not None:
            owned[takers[0] if takers else rest or 0].append(parameter)
        else:
            unowned.append(parameter)
    if unowned:
        _tell_unowned(optimizers, unowned, diagnostics)
    names = [parameter.name for parameter in everything]
    for optimizer, mine in zip(optimizers, owned, strict=True):
        if not mine and not told_unmatched(optimizer.selector, names, diagnostics, what=optimizer.name):
            _tell_empty(optimizer, diagnostics)
    return owned


def _shares(
    optimizer: OptimizerSpec,
    mine: list[NamedParameter],
    everything: list[NamedParameter],
    diagnostics: Diagnostics,
) -> list[Share]:
    names = [parameter.name for parameter in everything]
    taken: dict[int, list[NamedParameter]] = {index: [] for index in range(-1, len(optimizer.groups))}
    for parameter in mine:
        first = next((i for i, group in enumerate(optimizer.groups) if group.selector.takes(parameter)), -1)
        taken[first].append(parameter)
    for index, group in enumerate(optimizer.groups):
        lost = told_unmatched(group.selector, names, diagnostics, what=f"{optimizer.name}: groups[{index}]")
        if not taken[index] and not lost:
            _tell_idle(optimizer, group, index, mine, everything, diagnostics)
        elif group.freeze is not None:
            _tell_missed(optimizer, index, taken, diagnostics)
    groups = (None, *optimizer.groups)
    shares = [Share(group, tuple(taken[index - 1])) for index, group in enumerate(groups)]
    return [share for share in shares if share.parameters]


def _by_depth(
    optimizer: OptimizerSpec, shares: list[Share], depths: Mapping[str, int], diagnostics: Diagnostics
) -> list[Share]:
    """The shares with a share for each depth in place of each that trains; the deepest, at the full rate, first."""
    decay, last = optimizer.layer_decay or 1.0, max(depths.values(), default=0)
    found: list[Share] = []
    for share in shares:
        if share.is_frozen:
            found.append(share)
            continue
        for depth, parameters in split_by_depth(share.parameters, depths):
            found.append(Share(share.group, parameters, depth, decay ** (last - depth)))
    if found and all(share.scale == 1 for share in found):
        diagnostics.warning(
            "idle-layer-decay",
            f"{optimizer.name}: layer_decay changes nothing: all that it trains is as near to the output as the head",
            optimizer.node.key_span("layer_decay"),
            help="leave it out",
        )
    return found


def _tell_twice(parameter: NamedParameter, takers: list[OptimizerSpec], diagnostics: Diagnostics) -> None:
    first, second, *_ = takers
    diagnostics.error(
        "owned-twice",
        f"{first.name} ({first.selector}) and {second.name} ({second.selector}) both take {parameter.name}",
        second.node.value_span("params"),
        notes=[Note(f"{first.name} takes it too", first.node.value_span("params"))],
        help="each parameter belongs to one optimizer; `params: rest` takes what no other does",
    )


def _tell_unowned(optimizers: Sequence[OptimizerSpec], unowned: list[NamedParameter], diagnostics: Diagnostics) -> None:
    names = first_of([parameter.name for parameter in unowned[:_MOST_NAMED]], len(unowned))
    diagnostics.error(
        "unowned-parameters",
        f"no optimizer takes {names}",
        optimizers[-1].node.span,
        help="give one optimizer `params: rest`, or freeze them",
    )


def _tell_empty(optimizer: OptimizerSpec, diagnostics: Diagnostics) -> None:
    if optimizer.selector.is_rest:
        message = f"{optimizer.name}: nothing is left for it to train"
    else:
        message = f"{optimizer.name}: the model has no trainable parameter that is {optimizer.selector}"
    diagnostics.error("owns-nothing", message, optimizer.node.value_span("params"))


def _tell_idle(
    optimizer: OptimizerSpec,
    group: GroupSpec,
    index: int,
    mine: list[NamedParameter],
    everything: list[NamedParameter],
    diagnostics: Diagnostics,
) -> None:
    """Why a group takes nothing although its patterns fit something."""
    fitting = [parameter for parameter in everything if group.selector.takes(parameter)]
    if not fitting:
        reason = "the model has no such parameter"
    elif not any(parameter.tensor.requires_grad for parameter in fitting):
        reason = "all it fits are frozen"
    elif any(parameter in mine for parameter in fitting):
        reason = "groups above it take all it fits"
    else:
        reason = "another optimizer takes all it fits"
    diagnostics.warning(
        "idle-group", f"{optimizer.name}: groups[{index}] ({group.selector}) takes nothing: {reason}", group.node.span
    )


def _tell_missed(
    optimizer: OptimizerSpec, index: int, taken: dict[int, list[NamedParameter]], diagnostics: Diagnostics
) -> None:
    """Warns of what a group fits but does not freeze, since a group above it has it.

    Where that one lies wholly within, as `fc` in `*`, it is an exception that was meant.
    """
    group = optimizer.groups[index]
    for earlier, other in enumerate(optimizer.groups[:index]):
        missed = [parameter for parameter in taken[earlier] if group.selector.takes(parameter)]
        if not missed or len(missed) == len(taken[earlier]) or other.freeze == group.freeze:
            continue
        diagnostics.warning(
            "partly-frozen",
            f"{optimizer.name}: groups[{index}] ({group.selector}) does not freeze {counted(len(missed), 'parameter')} "
            f"that it fits: groups[{earlier}] ({other.selector}) takes them first",
            group.node.span,
            notes=[Note(f"groups[{earlier}] stands here", other.node.span)],
            help="the first group that fits takes a parameter: put the one that freezes first",
        )
