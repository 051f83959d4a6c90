"""Says in our words why a layer does not fit what comes in. Floor 3."""

from __future__ import annotations

import re

from zoo.diagnostics import Diagnostic, Span
from zoo.document import Mapping
from zoo.graph.shapes import BATCH, OTHER_BATCH, Request
from zoo.graph.values import shown
from zoo.graph.wiring import Wires


def explain(request: Request, wires: Wires, span: Span, node: Mapping, words: str) -> Diagnostic:
    """The message for a layer that torch refuses, ``words`` being torch's."""
    gets = ", ".join(f"{wire.feed.name} is {shown(wire.feed.value)}" for wire in wires.all)
    message = f"{request.op.name}: {terse(words)}" + (f"; {gets}" if gets else "")
    return Diagnostic("error", "shape-mismatch", message, span)


def terse(words: str) -> str:
    """Torch's first sentence, the large batch in it called by its name."""
    first = re.split(r"\n|\. |\.$", words.strip(), maxsplit=1)[0]
    return re.sub(r"\d+", lambda match: _named(int(match[0])), first)[:200]


def _named(number: int) -> str:
    for prime in (BATCH, OTHER_BATCH):
        if number and number % prime == 0:
            return "batch" if number == prime else f"{number // prime} * batch"
    return str(number)
