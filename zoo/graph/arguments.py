"""An op's arguments: expressions evaluated, sizes filled in from what comes in, types and values checked. Floor 3."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from zoo.diagnostics import Diagnostics, Note, Span
from zoo.document import Entry, Mapping, Node, Scalar, is_null
from zoo.document.evaluation import names_read, substitute
from zoo.graph.plan import TensorSpec
from zoo.graph.values import Feed, Scope, shown
from zoo.layers import Op
from zoo.schema.check import close, validate
from zoo.schema.signature import fields_of, given
from zoo.schema.wording import shown as shown_plain

_BRACES = re.compile(r"\$\{(\w+)\}")  # as OmegaConf and shells read a name

BATCH_GONE = "the samples of the batch are joined into one row: {op: flatten, start_dim: 1} keeps them apart"


@dataclass(frozen=True, slots=True)
class Arguments:
    """An op's arguments. ``complete`` is false where one depends on something that failed."""

    values: dict[str, Any]
    complete: bool


def op_arguments(
    op: Op, node: Mapping, first: Feed | None, scope: Scope, span: Span, diagnostics: Diagnostics
) -> Arguments | None:
    """The arguments of an op at one place, or None after telling what is wrong with them."""
    known = fields_of(op.arguments)
    own = Diagnostics()
    entries: list[Entry] = []
    holes: list[Span] = []
    for entry in node:
        if entry.key in known:
            value = substitute(entry.value, scope, own)
            value = value if value is not None else _hole(entry.value.span, holes)
            entries.append(Entry(entry.key, entry.key_span, value))
        else:  # told of by the check of names; what it was meant to be is not missing
            meant = close(known, entry.key)
            if meant is not None and meant not in node and known[meant].is_required():
                entries.append(Entry(meant, entry.key_span, _hole(entry.value.span, holes)))
    filled = _inferred(op, entries, first, span, own, holes)
    model = validate(op.arguments, Mapping((*entries, *filled), node.span), own, what=op.name)
    _pass_on(own, diagnostics, holes, node, scope)
    if model is None:
        return Arguments({}, False) if holes and not own.errors else None
    values = given(model)
    if holes:
        return Arguments(values, False)
    return Arguments(values, True) if _passes(op, values, node, span, diagnostics) else None


def _hole(span: Span, holes: list[Span]) -> Scalar:
    """Stands for a value that is not known; what validation says of it is dropped.

    It bears a copy of the span, and is recognised by that very object: another value may stand at the same place.
    """
    holes.append(replace(span))
    return Scalar(1, holes[-1])


def _inferred(
    op: Op, entries: list[Entry], first: Feed | None, span: Span, diagnostics: Diagnostics, holes: list[Span]
) -> list[Entry]:
    """The sizes that the incoming shape gives, where the file leaves them out."""
    given_keys = {entry.key for entry in entries}
    found = []
    for name, dimension in op.infers.items():
        if name in given_keys or first is None:
            continue
        if not isinstance(first.value, TensorSpec):
            found.append(Entry(name, span, _hole(span, holes)))
            continue
        axis = 1 if dimension == "channels" else len(first.value.shape) - 1
        size = first.value.shape[axis] if axis < len(first.value.shape) else -1
        if size > 0:
            found.append(Entry(name, span, Scalar(size, span, str(size))))
            continue
        found.append(Entry(name, span, _hole(span, holes)))
        what = "the channels (dimension 1)" if dimension == "channels" else "the last dimension"
        diagnostics.error(
            "shape-mismatch",
            f"{op.name}: {name} cannot be filled in: {first.name} is {shown(first.value)}",
            span,
            help=f"{what} of the incoming tensor would be {name}" if len(first.value.shape) > 1 else BATCH_GONE,
        )
    return found


def _pass_on(own: Diagnostics, diagnostics: Diagnostics, holes: Sequence[Span], node: Mapping, scope: Scope) -> None:
    for item in own:
        if not any(item.span is hole for hole in holes):
            help = item.help or _param_help(item.span, node, scope)
            diagnostics.add(replace(item, notes=(*item.notes, *_origins(item.span, node, scope)), help=help))


def _param_help(span: Span | None, node: Mapping, scope: Scope) -> str | None:
    """The way out for a text that is a param's bare name."""
    texts = [entry.value.value for entry in node if isinstance(entry.value, Scalar) and entry.value.span == span]
    bare = [_BRACES.sub(r"\1", text) for text in texts if isinstance(text, str)]
    name = next((text for text in bare if text in scope.params), None)
    return f"the param is read as ${name}" if name else None


def _origins(span: Span | None, node: Mapping, scope: Scope) -> list[Note]:
    """Where the params in a faulty value were given."""
    value = next((entry.value for entry in node if entry.value.span == span), None)
    notes: dict[str, Note] = {}
    for path, _ in names_read(value) if value is not None else ():
        param = scope.params.get(path.name)
        if param is not None and not path.parts and param.span != span:
            notes[path.name] = Note(f"{path.name} is {shown_plain(param.value)}", param.span)
    return list(notes.values())


def _passes(op: Op, values: dict[str, Any], node: Mapping, span: Span, diagnostics: Diagnostics) -> bool:
    fault = op.check(values)
    if fault is None:
        return True
    place = node.get(fault.argument)
    message = f"{op.name}: {fault.argument}: {fault.message}"
    diagnostics.error("bad-value", message, place.span if place else span, help=fault.help)
    return False


def call_keywords(op: Op, node: Node | None, scope: Scope, diagnostics: Diagnostics) -> dict[str, Any] | None:
    """The keywords of a module's forward call, checked; None after telling what is wrong."""
    if node is None or is_null(node):
        return {}
    if op.call is None:
        diagnostics.error("unknown-key", f"{op.name} takes no keywords in its call", node.span)
        return None
    value = substitute(node, scope, diagnostics)
    if not isinstance(value, Mapping):
        return None
    model = validate(op.call, value, diagnostics, what=f"{op.name}: call")
    return None if model is None else given(model)
