"""The recipe with every default written out, each value still knowing where it came from. Floor 7."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from zoo.diagnostics import Source, Span
from zoo.document import Entry, Mapping, Node, Scalar, Sequence, from_data
from zoo.document.writer import escaped, write
from zoo.schema.recipe import NETWORK_KEYS

DEFAULT = Span(Source("default"), 1, 1, 1, 1)


def fill(node: Mapping, model: BaseModel) -> Mapping:
    """The node with the model's defaults added, in the order of the model's fields; further keys come last."""
    entries = []
    for key, field in type(model).model_fields.items():
        name = field.alias or key
        written, value = node.entry(name), getattr(model, key)
        if written is None:
            if not (value is None and name in NETWORK_KEYS):  # a recipe names one; the others stay away
                entries.append(default_entry(name, value))
        elif isinstance(value, BaseModel) and isinstance(written.value, Mapping):
            entries.append(Entry(name, written.key_span, fill(written.value, value)))
        else:
            entries.append(written)
    known = {entry.key for entry in entries}
    return Mapping((*entries, *(entry for entry in node if entry.key not in known)), node.span)


def default_entry(name: str, value: Any) -> Entry:
    """A key that nobody wrote, with its default."""
    data = value.model_dump() if isinstance(value, BaseModel) else value
    return Entry(name, DEFAULT, from_data(data, DEFAULT))


def with_value(node: Mapping, path: tuple[str, ...], value: Any, span: Span = DEFAULT) -> Mapping:
    """The document with another value at a path of keys."""
    head, *rest = path
    below = node.get(head)
    if rest:
        inner = below if isinstance(below, Mapping) else Mapping((), span)
        return node.replacing(head, with_value(inner, tuple(rest), value, span))
    return node.replacing(head, from_data(value, span))


def origin(span: Span) -> str:
    """Where a value comes from, as people read it: ``file:line:column``, ``--set a.b``, ``default``."""
    if span.option:
        return span.file
    return "default" if span == DEFAULT else str(span)


def origins(node: Node, path: str = "") -> dict[str, str]:
    """Every value's dotted path with its origin."""
    if isinstance(node, Mapping) and node.entries:
        return {k: v for e in node for k, v in origins(e.value, f"{path}.{e.key}" if path else e.key).items()}
    if isinstance(node, Sequence) and any(not isinstance(item, Scalar) for item in node):
        return {k: v for i, item in enumerate(node) for k, v in origins(item, f"{path}[{i}]").items()}
    return {path: origin(node.span)}


def annotated(node: Node) -> str:
    """The document as YAML, each value with its origin as a comment."""
    return write(escaped(node), comment=origin)
