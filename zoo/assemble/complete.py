"""The whole recipe, every default written out: those of the sections and those of the rooms' arguments. Floor 7.

What comes out is a recipe again, and means the same. A default of null is left out where it stands for "not given".
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from zoo.assemble.check import Checked
from zoo.assemble.defaults import DEFAULT, default_entry, fill, with_value
from zoo.assemble.losses import loss_arguments
from zoo.assemble.networks import architecture_of
from zoo.assemble.teachers import KEY, known_teacher
from zoo.data import settings_of, transforms
from zoo.diagnostics import Diagnostics
from zoo.document import Entry, Mapping, Node, Scalar, Sequence
from zoo.document.writer import escaped
from zoo.layout import ARCHITECTURE
from zoo.optim import find_optimizer
from zoo.optim.parse_parts import named
from zoo.optim.parse_schedule import parse_schedule
from zoo.schema.signature import fields_of

# Arguments whose default holds only where another one was not given.
_GIVEN_ANOTHER_WAY = {"peak_epoch": "pct_start", "annihilation": "final_div_factor"}
_OF_THE_DATA = {"Normalize": ("mean", "std")}  # left out, they are the training images' own


def resolved_document(checked: Checked) -> Mapping:
    """The recipe with every default. An architecture given as a file is the run's own copy: it cannot change.

    A file of weights is named by its whole path: it stays where it is. So is a teacher's run, if it is there.
    """
    document = complete(checked)
    if checked.recipe.model.architecture is not None and isinstance(architecture_of(checked.resolved), Path):
        document = with_value(document, ("model", "architecture"), ARCHITECTURE)
    if checked.network.weights is not None:
        document = with_value(document, ("model", "weights"), str(checked.network.weights.absolute()))
    teacher = known_teacher(checked.resolved)
    if teacher is not None:
        document = with_value(document, tuple(KEY.split(".")), teacher.whole_path)
    kept = escaped(document)
    assert isinstance(kept, Mapping)
    return kept


def complete(checked: Checked) -> Mapping:
    """The recipe's document with every default in it; still a recipe."""
    document = fill(checked.resolved.document, checked.recipe)
    return Mapping(tuple(Entry(e.key, e.key_span, _section(e.key, e.value, checked)) for e in document), document.span)


def _section(key: str, node: Node, checked: Checked) -> Node:
    if key == "optimizer" and isinstance(node, Sequence):
        return Sequence(tuple(_section(key, item, checked) for item in node), node.span)
    if not isinstance(node, Mapping):
        return node
    if key == "model":
        return _model(node, checked)
    if key == "data":
        return with_defaults(node, settings_of(checked.data.source))
    if key == "loss":
        return with_defaults(node, loss_arguments(checked.loss.name))
    if key == "optimizer":
        return _optimizer(node)
    if key == "schedule":
        return _schedule(node)
    return _transforms(node) if key == "transforms" else node


def _model(node: Mapping, checked: Checked) -> Mapping:
    """With the architecture's params that were left at its defaults."""
    params = checked.network.plan.params if checked.network.plan is not None else {}
    missing = [default_entry(name, value) for name, value in params.items() if name not in node]
    return Mapping((*node.entries, *missing), node.span)


def with_defaults(node: Mapping, model: type[BaseModel], leave_out: tuple[str, ...] = ()) -> Mapping:
    """The mapping with the defaults of an arguments model behind what was given."""
    missing = [
        default_entry(name, field.default)
        for name, field in fields_of(model).items()
        if name not in node
        and name not in leave_out
        and field.default is not None
        and field.default is not PydanticUndefined
    ]
    return Mapping((*node.entries, *missing), node.span)


def _optimizer(node: Mapping) -> Mapping:
    """With its arguments' defaults, and its name beside them also where it was written as ``{NAME: {arguments}}``."""
    flat = named(node, "optimizer", Diagnostics())
    assert flat is not None
    name = flat.get("name")
    assert isinstance(name, Scalar)
    entry = find_optimizer(str(name.value))
    assert entry is not None
    own = flat.get("schedule")
    if isinstance(own, Mapping):
        flat = flat.replacing("schedule", _schedule(own))
    return with_defaults(flat, entry.arguments)


def _schedule(node: Mapping) -> Mapping:
    spec, _ = parse_schedule(node, Diagnostics())
    if spec is None or "name" not in node:
        return node
    given = tuple(other for key, other in _GIVEN_ANOTHER_WAY.items() if key in node)
    node = with_defaults(node, spec.entry.arguments, (*given, *_opposites(node)))
    settled = {"mode": spec.arguments.get("mode"), "interval": spec.interval}  # by the rest of what it says
    missing = [default_entry(key, value) for key, value in settled.items() if key not in node and value is not None]
    return Mapping((*node.entries, *missing), node.span)


def _opposites(node: Mapping) -> tuple[str, ...]:
    """zoo's own keys whose default would contradict what was given in torch's words."""
    return tuple(key for key, other in _GIVEN_ANOTHER_WAY.items() if other in node)


def _transforms(node: Mapping) -> Mapping:
    for key in ("train", "eval"):
        listed = node.get(key)
        if isinstance(listed, Sequence):
            node = node.replacing(key, Sequence(tuple(_transform(item) for item in listed), listed.span))
    return node


def _transform(node: Node) -> Node:
    """``NAME`` and ``NAME: {arguments}`` with all arguments; one whose arguments are other transforms stays."""
    if isinstance(node, Scalar):
        entry = Entry(str(node.value), node.span, Mapping((), DEFAULT))
    elif isinstance(node, Mapping) and len(node) == 1:
        (entry,) = node.entries
    else:
        return node
    arguments = entry.value if isinstance(entry.value, Mapping) else Mapping((), entry.value.span)
    filled = with_defaults(arguments, transforms[entry.key].arguments, _OF_THE_DATA.get(entry.key, ()))
    if not len(filled):
        return node
    return Mapping((Entry(entry.key, entry.key_span, filled),), node.span)
