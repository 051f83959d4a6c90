"""Layers and params that nobody uses. Floor 3."""

from __future__ import annotations

import re
from collections.abc import Iterator

from zoo.diagnostics import Diagnostics
from zoo.document import Entry, Mapping, Node, Scalar, Sequence
from zoo.graph.plan import Block

_WORD = re.compile(r"[A-Za-z]\w*")


def warn_of_unused(block: Block, diagnostics: Diagnostics) -> None:
    """A warning for each step whose value is read by no step and is no output; a shared module is used."""
    used = {ref.name for step in block.steps for ref in step.refs}
    used |= {ref.name for ref in block.output_refs} | {step.share for step in block.steps if step.share}
    for step in block.steps:
        if step.name not in used:
            help = "name it in a `from` or in `output`, or remove it"
            if step.kind in ("parameter", "buffer"):
                help = f"{help}: a layer below a {step.op} reads what stands above it where it has no `from`"
            diagnostics.warning("unused-layer", f"nobody uses {step.name}", step.span, help=help)


def unread_params(block: Mapping) -> list[Entry]:
    """The params of a file or block that no expression in it names; blocks within do not see them."""
    params = block.get("params")
    if not isinstance(params, Mapping):
        return []
    read = {word for node in block.without(["blocks"]).entries for word in _words(node.value)}
    return [entry for entry in params if entry.key not in read]


def _words(node: Node) -> Iterator[str]:
    """The words of every text below a node that an expression may stand in."""
    if isinstance(node, Scalar):
        if isinstance(node.value, str) and "$" in node.value:
            yield from _WORD.findall(node.value)
    elif isinstance(node, Sequence):
        for item in node:
            yield from _words(item)
    else:
        for entry in node:
            yield from _words(entry.value)


def warn_of_unread(document: Mapping, diagnostics: Diagnostics) -> None:
    """A warning for each param of a file, or of a block in it, that nobody reads."""
    for entry in unread_params(document):
        diagnostics.warning(
            "unread-param", f"nobody reads the param {entry.key}", entry.key_span, help="read it, or remove it"
        )
    blocks = document.get("blocks")
    for entry in blocks if isinstance(blocks, Mapping) else ():
        if isinstance(entry.value, Mapping):
            warn_of_unread(entry.value, diagnostics)
