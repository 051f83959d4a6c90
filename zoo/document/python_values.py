"""Values that a caller in Python gives, as YAML has them. Floor 0."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from zoo.document.nodes import DEEPEST_NESTING
from zoo.errors import UsageError

MOST_BITS = 1024  # of a whole number: a double goes as far, and the reader


def in_yaml(value: Any, name: str) -> Any:
    """The value with all in it that YAML has another form for in that form: paths, NumPy's numbers, arrays, tensors.

    ``name`` is what the caller gave it for. Raises UsageError for what YAML has no form for.
    """
    return _in_yaml(value, name, 0)


def _in_yaml(value: Any, name: str, depth: int) -> Any:
    if hasattr(value, "tolist"):  # an array, a tensor, or a number of either
        value = value.tolist()
    if isinstance(value, Mapping | list | tuple):
        if depth == DEEPEST_NESTING:  # or it stands in itself
            raise UsageError(f"the value of {name} is nested more than {DEEPEST_NESTING} levels deep")
        if isinstance(value, Mapping):
            return {str(key): _in_yaml(below, name, depth + 1) for key, below in value.items()}
        return [_in_yaml(item, name, depth + 1) for item in value]
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str | int | float | None):
        raise UsageError(f"the value of {name} is of a kind that YAML has no form for: {type(value).__name__}")
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise UsageError(f"the value of {name} is a whole number of {value.bit_length():,} bits")
    return value
