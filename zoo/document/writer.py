"""The document tree, or plain data, as YAML text that the reader reads back equal. Floor 0.

PyYAML's own writer follows YAML 1.1 and leaves text such as ``1e-3`` without quotes, which YAML 1.2 reads as a
number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from zoo.diagnostics import Source, Span
from zoo.document.nodes import Entry, Mapping, Node, Scalar, Sequence, from_data
from zoo.document.scalars import resolve

_PLAIN = re.compile(r"(?!\.\.\.)[A-Za-z0-9_./][A-Za-z0-9_./+ -]*")  # three dots end a document
# What the reader refuses, or YAML 1.1 takes for the end of a line.
_ODD = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")

Comment = Callable[[Span], str]


def write(node: Node, *, comment: Comment | None = None) -> str:
    """The node as YAML in block style. ``comment`` gives the text behind each value from its place."""
    lines: list[str] = []
    _write(node, 0, "", lines, comment)
    return "\n".join(lines) + "\n"


def escaped(node: Node) -> Node:
    """The node with the dollar signs of its texts doubled, as a file has those that begin no expression."""
    if isinstance(node, Sequence):
        return Sequence(tuple(map(escaped, node)), node.span)
    if isinstance(node, Mapping):
        return Mapping(tuple(Entry(e.key, e.key_span, escaped(e.value)) for e in node), node.span)
    return replace(node, value=node.value.replace("$", "$$")) if isinstance(node.value, str) else node


def write_data(data: Any) -> str:
    """Plain data as YAML in block style."""
    return write(from_data(data, Span(Source("<data>"), 1, 1, 1, 1)))


def _write(node: Node, depth: int, lead: str, lines: list[str], comment: Comment | None) -> None:
    """Appends the node's lines; ``lead`` stands in front of the first (``key:`` or ``-``)."""
    pad = "  " * depth
    if isinstance(node, Mapping) and node.entries:
        if lead:
            lines.append(lead)
        for entry in node.entries:
            _write(entry.value, depth + 1, f"{pad}{_text(entry.key)}:", lines, comment)
    elif isinstance(node, Sequence) and any(not isinstance(item, Scalar) for item in node):
        if lead:
            lines.append(lead)
        for item in node:
            _write_item(item, depth, lines, comment)
    else:
        note = f"  # {comment(node.span)}" if comment else ""
        lines.append(f"{lead} {_flow(node)}{note}" if lead else f"{_flow(node)}{note}")


def _write_item(item: Node, depth: int, lines: list[str], comment: Comment | None) -> None:
    """One item of a list; a mapping's first key stands behind the dash."""
    pad = "  " * depth
    inner: list[str] = []
    _write(item, depth + 1, "", inner, comment)
    first, *rest = inner
    lines.append(f"{pad}- {first.lstrip()}")
    lines.extend(rest)


def flow_text(data: Any) -> str:
    """Plain data as YAML on one line."""
    return _flow(from_data(data, Span(Source("<data>"), 1, 1, 1, 1)))


def _flow(node: Node) -> str:
    if isinstance(node, Sequence):
        return f"[{', '.join(map(_flow, node))}]"
    if isinstance(node, Mapping):
        return f"{{{', '.join(f'{_text(entry.key)}: {_flow(entry.value)}' for entry in node)}}}"
    # A reference to output 10 is written 0.10: a number's digits are kept as they were.
    is_number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
    as_written = is_number and node.plain and resolve(node.text) == node.value
    return node.text if as_written else scalar_text(node.value)


def scalar_text(value: Any) -> str:
    """One value as YAML 1.2's core schema writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    return _text(value) if isinstance(value, str) else str(value)


def _float_text(value: float) -> str:
    if value != value:
        return ".nan"
    if value in (float("inf"), float("-inf")):
        return ".inf" if value > 0 else "-.inf"
    return repr(value)


def _text(value: str) -> str:
    """Text, quoted where it would be read as something else."""
    if _PLAIN.fullmatch(value) and value == value.strip() and _reads_as_text(value):
        return value
    return _ODD.sub(lambda odd: f"\\u{ord(odd[0]):04x}", json.dumps(value, ensure_ascii=False))


def _reads_as_text(value: str) -> bool:
    try:
        return resolve(value) == value
    except ValueError:  # a number too long to be read as one
        return False
