"""Conditions on a class's parameters under which one of its steps is there. Floor 6."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from operator import eq, ne
from typing import Any, TypeAlias

from zoo.exchange.eject.solving import Parameter, Solution

Test: TypeAlias = tuple[str, tuple[bool, ...]]

_FACTORS = (2, 4, 6, 8)  # of widths that a condition may compare


def condition(there: tuple[bool, ...], solution: Solution) -> str | None:
    """A text over the parameters that is true just where ``there`` is, the simplest first; None where there is none."""
    flags = [(each.name, each.column) for each in solution.parameters if all(type(v) is bool for v in each.column)]
    unequal, equal = list(_tests(solution, "!=", ne)), list(_tests(solution, "==", eq))
    for text, column in (*flags, *unequal, *equal):
        if column == there:
            return text
    for word, tests, combine in (("or", unequal, any), ("and", equal, all)):
        for (text, column), (second, other) in combinations(tests, 2):
            if tuple(map(combine, zip(column, other, strict=True))) == there:
                return f"{text} {word} {second}"
    return None


def _tests(solution: Solution, sign: str, compare: Callable[[Any, Any], bool]) -> Iterator[Test]:
    """Comparisons of parameters with one another, with multiples of one another, and with numbers."""
    numbers = [each for each in solution.parameters if all(type(value) is int for value in each.column)]
    for one, other in combinations(numbers, 2):
        yield f"{one.name} {sign} {other.name}", tuple(map(compare, one.column, other.column))
    for one in numbers:
        for other in numbers:
            yield from (_multiple(one, sign, factor, other, compare) for factor in _FACTORS)
        for usual in dict.fromkeys(one.column):
            yield f"{one.name} {sign} {usual}", tuple(compare(value, usual) for value in one.column)


def _multiple(one: Parameter, sign: str, factor: int, other: Parameter, compare: Callable[[Any, Any], bool]) -> Test:
    column = tuple(compare(a, factor * b) for a, b in zip(one.column, other.column, strict=True))
    return f"{one.name} {sign} {factor} * {other.name}", column
