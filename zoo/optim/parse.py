"""Reads a recipe's `optimizer` and `schedule`: every name and argument checked, each message at its place. Floor 2."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.diagnostics import Diagnostics, Note
from zoo.document import Mapping, Node, Scalar, Sequence, each_of, is_null, plain, text_of
from zoo.optim.catalogue import OptimizerEntry, find_optimizer, unknown_optimizer
from zoo.optim.models import FreezeKeys, SelectorKeys, group_model, optimizer_model
from zoo.optim.optimization import FindRequest, OptimizationSpec
from zoo.optim.parse_parts import FindMark, named, take_find
from zoo.optim.parse_schedule import parse_schedule
from zoo.optim.probe import probe
from zoo.optim.schedules import ScheduleSpec
from zoo.optim.selection import REST, Selector, parse_selector
from zoo.optim.spec import Freeze, GroupSpec, OptimizerSpec
from zoo.schema import given, shown, validate

_OPTIMIZER_KEYS = ("name", "params", "groups", "schedule", "layer_decay")
_GROUP_KEYS = ("match", "kind", "lr", "lr_scale", "freeze", "schedule")


def parse_optimization(optimizer: Node, schedule: Node | None, diagnostics: Diagnostics) -> OptimizationSpec | None:
    """The spec of a recipe's two sections, or None after every error was told.

    ``optimizer`` is a mapping, or a list of mappings of which each has ``params``; ``schedule`` moves every
    optimizer that has none of its own. Expressions are evaluated before.
    """
    before = len(diagnostics.errors)
    shared, mark = _parse_optional(schedule, diagnostics)
    nodes = each_of(optimizer)
    if not nodes:
        diagnostics.error("missing-key", "optimizer: the list is empty", optimizer.span)
    read = [_parse_optimizer(node, shared, diagnostics, alone=len(nodes) == 1) for node in nodes]
    optimizers = tuple(one.spec for one in read if one is not None)
    _tell_second_rest(optimizers, diagnostics)
    find = _find_request(read, mark, shared, diagnostics)
    if len(diagnostics.errors) > before:
        return None
    for spec in optimizers:
        probe(spec, diagnostics)
    return OptimizationSpec(optimizers, find) if len(diagnostics.errors) == before else None


@dataclass(frozen=True, slots=True)
class _Read:
    """An optimizer as read, with what is to be found for it."""

    spec: OptimizerSpec
    own_mark: FindMark | None
    schedule_mark: FindMark | None


def _parse_optional(node: Node | None, diagnostics: Diagnostics) -> tuple[ScheduleSpec | None, FindMark | None]:
    if node is None or is_null(node):
        return None, None
    return parse_schedule(node, diagnostics)


def _parse_optimizer(node: Node, shared: ScheduleSpec | None, diagnostics: Diagnostics, *, alone: bool) -> _Read | None:
    mapping = named(node, "optimizer", diagnostics)
    entry = _entry(mapping, diagnostics) if mapping is not None else None
    if mapping is None or entry is None:
        return None
    mapping, mark = take_find(mapping, "lr", diagnostics, what=entry.name)
    arguments = validate(optimizer_model(entry), mapping, diagnostics, what=entry.name)
    schedule, schedule_mark = _parse_optional(mapping.get("schedule"), diagnostics)
    selector = _parse_params(mapping, entry, diagnostics, alone=alone)
    groups = [_parse_group(item, entry, diagnostics) for item in _groups(mapping)]
    if arguments is None or selector is None or None in groups:
        return None
    own = {key: value for key, value in given(arguments).items() if key not in _OPTIMIZER_KEYS}
    spec = OptimizerSpec(
        entry,
        own,
        selector,
        mapping,
        groups=tuple(group for group in groups if group is not None),
        schedule=schedule or shared,
        layer_decay=given(arguments).get("layer_decay"),
    )
    _check_peak(spec, mark, diagnostics)
    return _Read(spec, mark, schedule_mark)


def _entry(mapping: Mapping, diagnostics: Diagnostics) -> OptimizerEntry | None:
    node = mapping.get("name")
    assert isinstance(node, Scalar)
    entry = find_optimizer(str(node.value))
    if entry is None:
        diagnostics.add(unknown_optimizer(str(node.value), node.span))
    return entry


def _parse_params(mapping: Mapping, entry: OptimizerEntry, diagnostics: Diagnostics, *, alone: bool) -> Selector | None:
    node = mapping.get("params")
    if node is None and alone:
        return REST
    if node is None:
        help = "add params: {kind: conv}, {match: PATTERN} or rest"
        diagnostics.error("missing-key", f"{entry.name}: params is missing", mapping.span, help=help)
        return None
    if text_of(node) == "rest":
        return REST
    if not isinstance(node, Mapping):
        message = f"{entry.name}: params: expected a mapping or rest, got {shown(plain(node))}"
        diagnostics.error("wrong-type", message, node.span, help="write {kind: conv}, {match: PATTERN} or rest")
        return None
    if validate(SelectorKeys, node, diagnostics, what=f"{entry.name}: params") is None:
        return None
    return parse_selector(node, diagnostics, what=f"{entry.name}: params")


def _groups(mapping: Mapping) -> tuple[Node, ...]:
    node = mapping.get("groups")
    return node.items if isinstance(node, Sequence) else ()


def _parse_group(node: Node, entry: OptimizerEntry, diagnostics: Diagnostics) -> GroupSpec | None:
    what = f"{entry.name}: group"
    if not isinstance(node, Mapping):
        diagnostics.error("wrong-type", f"{what}: expected a mapping, got {shown(plain(node))}", node.span)
        return None
    if "layer_decay" in node:
        help = "write it beside groups: the rate of each is multiplied by it"
        diagnostics.error(
            "unknown-key", f"{what}: layer_decay is the whole optimizer's", node.key_span("layer_decay"), help=help
        )
        node = node.without(["layer_decay"])
    keys = validate(group_model(entry), node, diagnostics, what=what)
    selector = parse_selector(node, diagnostics, what=what)
    schedule, mark = _parse_optional(node.get("schedule"), diagnostics)
    if mark is not None:
        diagnostics.error("find-in-group", f"{what}: a group's rate cannot be found on its own", mark.span)
    if keys is None:
        return None
    values = given(keys)
    return GroupSpec(
        selector,
        node,
        arguments={key: value for key, value in values.items() if key not in _GROUP_KEYS},
        lr=values.get("lr"),
        lr_scale=1.0 if keys.lr_scale is None else keys.lr_scale,
        schedule=schedule,
        freeze=_freeze(keys.freeze),
    )


def _freeze(keys: bool | FreezeKeys | None) -> Freeze | None:
    if not keys:
        return None
    if isinstance(keys, FreezeKeys):
        return Freeze(until=keys.until or 0.0, after=float("inf") if keys.after is None else keys.after)
    return Freeze(always=True)


def _check_peak(spec: OptimizerSpec, mark: FindMark | None, diagnostics: Diagnostics) -> None:
    """A cycle climbs to its own max_lr, else to the optimizer's lr: one of them must be there, and count."""
    schedule = spec.schedule
    if schedule is None or "lr" not in spec.entry.arguments.model_fields:
        return
    lr, default = spec.arguments.get("lr"), spec.entry.arguments.model_fields["lr"].default
    if (
        schedule.peak is not None and lr is not None and (mark is not None or lr != default)
    ):  # resolved.yaml has defaults
        tell = diagnostics.error if mark is not None else diagnostics.warning
        tell(
            "unused-lr",
            f"{spec.name}: this lr is never used: {schedule.name} climbs to its own max_lr",
            spec.node.key_span("lr"),
            notes=[Note("the schedule stands here", schedule.node.span)],
            help="leave one of them out",
        )
    elif schedule.entry.traits.cycles and schedule.peak is None and "lr" not in spec.arguments:
        help = "add max_lr: number, or find"
        diagnostics.error("missing-key", f"{schedule.name}: max_lr is missing", schedule.node.span, help=help)


def _tell_second_rest(optimizers: tuple[OptimizerSpec, ...], diagnostics: Diagnostics) -> None:
    rests = [optimizer for optimizer in optimizers if optimizer.selector.is_rest]
    for optimizer in rests[1:]:
        diagnostics.error(
            "owned-twice",
            f"{optimizer.name}: another optimizer takes the rest already",
            optimizer.node.value_span("params"),
            notes=[Note(f"{rests[0].name} takes it", rests[0].node.value_span("params"))],
        )


def _find_request(
    read: list[_Read | None], mark: FindMark | None, shared: ScheduleSpec | None, diagnostics: Diagnostics
) -> FindRequest | None:
    """The one rate that is to be found; a second one is an error."""
    requests: list[FindRequest] = []
    if mark is not None:
        follow = tuple(i for i, one in enumerate(read) if one is not None and one.spec.schedule is shared)
        requests.append(FindRequest(mark.span, mark.settings, follow, in_schedule=True))
    for index, one in enumerate(read):
        for own, in_schedule in ((one.own_mark, False), (one.schedule_mark, True)) if one is not None else ():
            if own is not None:
                requests.append(FindRequest(own.span, own.settings, (index,), in_schedule))
    for second in requests[1:]:
        diagnostics.error(
            "find-twice",
            "only one learning rate can be found",
            second.span,
            notes=[Note("the other one is here", requests[0].span)],
            help="give a number, or relate groups by lr_scale",
        )
    return requests[0] if requests else None
