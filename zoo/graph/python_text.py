"""Names and literals of generated Python. Floor 3."""

from __future__ import annotations

import ast
import builtins
import json
import keyword
import re
from collections.abc import Mapping
from functools import cache
from math import isfinite
from typing import Any

_RESERVED = frozenset(
    {"self", "torch", "nn", "F", "Tensor", "math", "timm", "torchvision", *keyword.kwlist, *dir(builtins)}
)


def literal(value: Any) -> str:
    """A plain value as Python text, strings in double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple):
        inner = ", ".join(literal(item) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, list):
        return f"[{', '.join(literal(item) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, float) and not isfinite(value):
        return f'float("{value}")'
    return repr(value)


def is_attribute(name: str) -> bool:
    """Whether ``self.NAME`` is Python."""
    return name.isidentifier() and not keyword.iskeyword(name)


def attribute(name: str) -> str:
    """How a module's forward reaches its submodule or parameter of this name."""
    return f"self.{name}" if is_attribute(name) else f"getattr(self, {literal(name)})"


def class_identifier(name: str, prefix: str = "Net") -> str:
    """A name in the manner of a class: ``custom_resnet`` gives ``CustomResnet``; a class's name stays as it is.

    A name that generated Python reads as something else (``F``, ``Tensor``) gets the prefix behind it: ``TensorNet``.
    """
    text = "".join(part[0].upper() + part[1:] for part in re.findall(r"[A-Za-z0-9]+", name))
    if not text or text[0].isdigit():
        text = f"{prefix}{text}"
    return f"{text}{prefix}" if text in _RESERVED else text


def fresh(name: str, taken: set[str]) -> str:
    """An identifier made from a name, none of those taken; it is taken from then on."""
    text = re.sub(r"\W", "_", name)
    if not text or text[0].isdigit():
        text = f"x{text}"
    if text in _RESERVED:
        text += "_"
    while text in taken:
        text += "_"
    taken.add(text)
    return text


@cache
def imported(line: str) -> tuple[ast.alias, ...]:
    """What one import names."""
    node = ast.parse(line).body[0]
    assert isinstance(node, ast.Import | ast.ImportFrom)
    return tuple(node.names)


def bound(alias: ast.alias) -> str:
    """The name by which a file reads what it imports."""
    return alias.asname or alias.name.partition(".")[0]
