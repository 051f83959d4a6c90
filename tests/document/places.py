"""Where a value stands, for tests."""

from __future__ import annotations

from collections.abc import Iterable

from zoo.diagnostics import Span
from zoo.document import Mapping, Node, Sequence


def node_at(node: Node, path: Iterable[str | int]) -> tuple[Node, Span, Span | None]:
    """What keys and indices lead to: the node, its span, and the span of the last key (None for an index)."""
    key_span: Span | None = None
    for part in path:
        if isinstance(node, Mapping):
            entry = node.entry(str(part))
            assert entry is not None
            node, key_span = entry.value, entry.key_span
        else:
            assert isinstance(node, Sequence)
            node, key_span = node.items[int(part)], None
    return node, node.span, key_span
