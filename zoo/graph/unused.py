"""Layers and params that nobody uses. Floor 3."""

from __future__ import annotations

import re

from zoo.diagnostics import Diagnostics
from zoo.document import Entry, Mapping, scalars, text_of
from zoo.graph.plan import Block

_WORD = re.compile(r"[A-Za-z]\w*")


def warn_of_unused(block: Block, diagnostics: Diagnostics) -> None:
    """A warning for each step whose value is read by no step and is no output; a shared module is used."""
    used = {ref.name for step in block.steps for ref in step.refs}
    used |= {ref.name for ref in block.output_refs} | {step.share for step in block.steps if step.share}
    for step in block.steps:
        if step.name not in used:
            help = "name it in a `from` or in `output`, or remove it"
            if step.is_tensor:
                help = f"{help}: a layer below a {step.op} reads what stands above it where it has no `from`"
            diagnostics.warning("unused-layer", f"nobody uses {step.name}", step.span, help=help)


def unread_params(block: Mapping) -> list[Entry]:
    """The params of a file or block that no expression in it names; blocks within do not see them."""
    params = block.get("params")
    if not isinstance(params, Mapping):
        return []
    texts = (text_of(scalar) or "" for scalar in scalars(block.without(["blocks"])))
    read = {word for text in texts if "$" in text for word in _WORD.findall(text)}
    return [entry for entry in params if entry.key not in read]


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
