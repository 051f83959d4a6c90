"""Columns: the constants at one place over all instances of a class; and how one follows from another. Floor 6."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

Column: TypeAlias = tuple[Any, ...]
Rule: TypeAlias = tuple[str, Callable[[int], int | None]]  # text with {0} for the base, and what it computes

ABSENT = object()  # an optional step's constant in an instance that lacks the step
LARGEST_FACTOR = 16
LARGEST_OFFSET = 4


def key(column: Iterable[Any]) -> tuple[Any, ...]:
    """A column for comparison: 1 is not True, and what is made of other values is told by its text."""
    return tuple((type(value), repr(value) if isinstance(value, list | tuple | dict) else value) for value in column)


def is_constant(column: Sequence[Any]) -> bool:
    """Whether it is one value throughout."""
    return len(set(key(column))) <= 1


def is_scalar(column: Column) -> bool:
    """Whether no value in it is made of others."""
    return not any(isinstance(value, list | tuple | dict) for value in column)


def agree(one: Column, other: Column) -> bool:
    """Whether two columns are equal wherever both are there."""
    pairs = _pairs(one, other)
    return bool(pairs) and all(type(a) is type(b) and a == b for a, b in pairs)


def relation(base: Column, column: Column, name: str = "") -> str | None:
    """How ``column`` follows from ``base``, as a text with ``{0}`` for the base; None where it does not.

    A fixed multiple or part; for a ``depth`` also so many more or fewer, for a ``padding`` half, rounded down.
    """
    pairs = _pairs(base, column)
    if not pairs or not all(type(a) is int and type(b) is int for a, b in pairs):
        return None
    rules = _rules(*pairs[0], name)
    return next((text for text, compute in rules if all(compute(a) == b for a, b in pairs)), None)


def offset(base: Column, column: Column) -> str | None:
    """``column`` as ``base`` and a fixed number more or fewer; two values are too few to tell."""
    pairs = _pairs(base, column)
    differences = {b - a for a, b in pairs if type(a) is int and type(b) is int}
    if len(differences) != 1 or len(set(pairs)) < 3:
        return None
    return _offset(differences.pop())[0]


def _pairs(one: Column, other: Column) -> list[tuple[Any, Any]]:
    return [(a, b) for a, b in zip(one, other, strict=True) if a is not ABSENT and b is not ABSENT]


def _rules(a: int, b: int, name: str) -> Iterator[Rule]:
    """The rules that lead from one number to the other."""
    if a > 0 and b > 0 and b % a == 0 and 1 < b // a <= LARGEST_FACTOR:
        yield _multiple(b // a)
    if a > 0 and b > 0 and a % b == 0 and 1 < a // b <= LARGEST_FACTOR:
        yield _part(a // b)
    if name == "depth" and 0 < abs(b - a) <= LARGEST_OFFSET:
        yield _offset(b - a)
    if name.startswith("padding") and b == a // 2:
        yield "{0} // 2", lambda value: value // 2


def _multiple(factor: int) -> Rule:
    return f"{factor} * {{0}}", lambda value: factor * value


def _part(divisor: int) -> Rule:
    return f"{{0}} // {divisor}", lambda value: value // divisor if value % divisor == 0 else None


def _offset(by: int) -> Rule:
    return f"{{0}} {'+' if by > 0 else '-'} {abs(by)}", lambda value: value + by
