"""What a type asks for and what a value is, in the words of someone who writes YAML. Floor 1."""

from __future__ import annotations

import enum
import inspect
import math
import types
from collections.abc import Sequence as AbstractSequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from zoo.registry import listed

_NAMES: dict[Any, str] = {
    int: "int",
    float: "number",
    str: "text",
    bool: "true or false",
    type(None): "null",
    Path: "a path",
    Any: "any value",
}
_LONGEST_SHOWN = 60  # characters of a value that a message repeats


def bare(annotation: Any) -> Any:
    """The annotation without ``Annotated`` and type aliases around it."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__value__"):  # a `type` statement of Python 3.12
            annotation = annotation.__value__
        else:
            return annotation


def members(annotation: Any) -> list[Any]:
    """The alternatives of a union, None left out; the annotation itself where it is no union."""
    annotation = bare(annotation)
    if get_origin(annotation) not in (Union, types.UnionType):
        return [annotation]
    found: list[Any] = []
    for option in get_args(annotation):
        found += [member for member in members(option) if member is not type(None)]
    return found


def takes_none(annotation: Any) -> bool:
    """Whether null is among the alternatives."""
    annotation = bare(annotation)
    is_union = get_origin(annotation) in (Union, types.UnionType)
    return annotation is type(None) or (is_union and any(takes_none(option) for option in get_args(annotation)))


def choices(annotation: Any) -> list[Any]:
    """The values a ``Literal`` or an enumeration lists, also inside a union; empty where there is none."""
    found: list[Any] = []
    for member in members(annotation):
        if get_origin(member) is Literal:
            found += get_args(member)
        elif inspect.isclass(member) and issubclass(member, enum.Enum):
            found += [item.value for item in member]
    return found


def describe(annotation: Any) -> str:
    """What an annotation asks for: ``int or [int, int]``, ``mean, sum or none``, ``a list of text``."""
    options = members(annotation)
    words = [word for option in options for word in _words(option)]
    if "number" in words:  # an int is one
        words = [word for word in words if word != "int"]
    if takes_none(annotation):
        words.append("null")
    return listed(dict.fromkeys(words), "or")


def shown(value: Any) -> str:
    """A value as YAML has it, cut where it is long: ``'x'``, ``true``, ``[1, 2]``, ``a mapping``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return f".{value}" if value > 0 or math.isnan(value) else "-.inf"
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {int(value.bit_length() * 0.30103) + 1} digits"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return _cut("[" + ", ".join(shown(item) for item in value[:20]) + (", …]" if len(value) > 20 else "]"))
    return _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def _words(annotation: Any) -> list[str]:
    if annotation in _NAMES:
        return [_NAMES[annotation]]
    if choices(annotation):
        return [choice if isinstance(choice, str) else shown(choice) for choice in choices(annotation)]
    return [_collection(annotation)]


def _collection(annotation: Any) -> str:
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is tuple and inside[-1:] != (Ellipsis,):
        return f"[{', '.join(describe(item) for item in inside)}]"
    kind = origin or annotation
    if not inspect.isclass(kind):
        return str(annotation)
    if issubclass(kind, BaseModel | dict) or hasattr(kind, "keys"):
        return "a mapping"
    if issubclass(kind, AbstractSequence | set | frozenset):
        items = describe(inside[0]) if inside else ""
        return f"a list of {'mappings' if items == 'a mapping' else items}" if items else "a list"
    return str(kind.__name__)
