"""The way out of slips in expressions: arithmetic outside of them, signs of other languages. Floor 0."""

from __future__ import annotations

import re

SIGNS_ELSEWHERE = {  # what stands for it here
    "$": "inside $(…) a name stands without a dollar sign",
    "=": "two values are compared with ==",
    "&": "both together are written: a and b",
    "|": "either is written: a or b",
    "!": "the opposite is written: not a",
    "^": "a power is written: a ** b",
    "?": "a choice is written: a if test else b",
}

_NAME = r"\$[A-Za-z_]\w*(?:\.\w+)*"
_ITEM = r"\[[^][$]*\]"
_TERM = rf"\s*(?:{_NAME}(?:{_ITEM})*|\$\([^()$]*\)|[\d.]+)\s*"
_AROUND = re.compile(rf"{_TERM}(?:[-+*/%]{{1,2}}{_TERM})+|{_NAME}(?:{_ITEM})+")


def around_help(text: str) -> str | None:
    """The way out where arithmetic or an index stands beside names, not in an expression: ``2 * $width``; else None."""
    return f"write $({text.replace('$', '')})" if _AROUND.fullmatch(text) else None
