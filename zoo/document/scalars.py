"""Plain scalars after YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema). Floor 0.

YAML 1.1, which PyYAML implements, reads ``no`` as False, ``1e-3`` as text, ``010`` as 8 and ``12:30`` as 750.
"""

from __future__ import annotations

import re

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?[0-9]+")
_OCT = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NAN = re.compile(r"\.(nan|NaN|NAN)")

LONGEST_NUMBER = 400  # characters; a double has at most some 310 digits before its point


def resolve(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar. Raises ValueError for a number of absurd length."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "+-.0123456789":
        return _number(text)
    return text


def _number(text: str) -> str | int | float:
    if len(text) > LONGEST_NUMBER and any(form.fullmatch(text) for form in (_INT, _OCT, _HEX, _FLOAT)):
        raise ValueError(f"a number of {len(text)} characters (at most {LONGEST_NUMBER} are read)")
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _OCT.fullmatch(text) or _HEX.fullmatch(text):
        return int(text, 0)
    if _INF.fullmatch(text):
        return float(text.replace(".", ""))
    if _NAN.fullmatch(text):
        return float("nan")
    return text
