"""What the functions compute that expressions may call; the parser knows their names and how many values each takes.

Floor 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from zoo.document.expressions import ExpressionError
from zoo.document.nodes import written
from zoo.document.scalars import LONGEST_NUMBER, resolve

MOST_DIGITS = 400  # that `round` keeps or drops: a double has none beyond, and Python takes hours over a billion


def number_of(value: Any, sign: str) -> int | float:
    """The value, where it is a number; ``sign`` is what wants one. Raises ExpressionError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        help = f"in quotes {value} is a text, without them a number" if _is_quoted_number(value) else None
        raise ExpressionError(f"{sign} wants numbers, the value is {written(value)}", help=help)
    return value


def _is_quoted_number(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_NUMBER and type(resolve(value)) in (int, float)


def _flat(name: str, arguments: tuple[Any, ...]) -> list[int | float]:
    """``max(a, b)`` and ``max([a, b])`` alike."""
    items = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], list) else list(arguments)
    if not items:
        raise ExpressionError("at least one value is expected")
    return [number_of(item, name) for item in items]


def _of_number(name: str, function: Callable[[Any], int]) -> Callable[[Any], int]:
    return lambda value: function(number_of(value, name))


def _round(value: Any, digits: Any = None) -> int | float:
    number = number_of(value, "round")
    if digits is None:
        return round(number)
    if isinstance(digits, bool) or not isinstance(digits, int) or abs(digits) > MOST_DIGITS:
        raise ExpressionError(f"round takes a whole number of at most {MOST_DIGITS} digits, not {written(digits)}")
    return round(number, digits)


def _length(value: Any) -> int:
    if not isinstance(value, list | str):
        raise ExpressionError(f"len wants a list, the value is {written(value)}")
    return len(value)


def _sum(*arguments: Any) -> int | float:
    return 0 if arguments == ([],) else sum(_flat("sum", arguments))


FUNCTION_VALUES: dict[str, Callable[..., int | float]] = {
    "min": lambda *arguments: min(_flat("min", arguments)),
    "max": lambda *arguments: max(_flat("max", arguments)),
    "sum": _sum,
    "len": _length,
    "round": _round,
    "int": _of_number("int", int),
    "ceil": _of_number("ceil", math.ceil),
    "floor": _of_number("floor", math.floor),
}
