"""Plain scalars after YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema). Floor 0.

YAML 1.1, which PyYAML implements, reads ``no`` as False, ``1e-3`` as text, ``010`` as 8 and ``12:30`` as 750.
"""

from __future__ import annotations

import re

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCT = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NAN = re.compile(r"\.(nan|NaN|NAN)")

LONGEST_NUMBER = 400  # characters; a double has at most some 310 digits before its point


def resolve(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar. Raises ValueError for a number of absurd length."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if text[0] in "+-.0123456789":
        return _number(text)
    return text


def _number(text: str) -> str | int | float:
    integer = _INT.fullmatch(text) or _OCT.fullmatch(text) or _HEX.fullmatch(text)
    real = _FLOAT.fullmatch(text)
    if (integer or real) and len(text) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(text)} characters (at most {LONGEST_NUMBER} are read)")
    if _INT.fullmatch(text):
        return int(text)
    if integer:
        return int(text, 0)
    if real:
        return float(text)
    if _INF.fullmatch(text):
        return float(text.replace(".", ""))
    if _NAN.fullmatch(text):
        return float("nan")
    return text
