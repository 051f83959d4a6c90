"""Conditions on a class's parameters under which one of its steps is there. Floor 6."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import combinations
from operator import eq, ne
from typing import Any, TypeAlias

from zoo.exchange.eject.solving import Parameter, Solution

Test: TypeAlias = tuple[str, tuple[bool, ...]]

_NAME = re.compile(r"[^\W\d]\w*")
_FACTORS = (2, 4, 6, 8)  # of widths that a condition may compare


def condition(step: str, there: tuple[bool, ...], solution: Solution) -> str | None:
    """A text over the parameters that is true just where ``there`` is; None where there is none.

    The simplest, but for those that name more of the parameters that the step reads: a projection by ``stride`` from
    ``in_channels`` to ``channels`` is not there for one of them alone.
    """
    read = {name for slot, text in solution.texts.items() if slot.step == step for name in _NAME.findall(text)}
    found = list(_conditions(there, solution))
    return max(found, key=lambda text: len(read.intersection(_NAME.findall(text))), default=None)


def _conditions(there: tuple[bool, ...], solution: Solution) -> Iterator[str]:
    """All that are true just where ``there`` is, the simplest first."""
    flags = [(each.name, each.column) for each in solution.parameters if all(type(v) is bool for v in each.column)]
    unequal, equal = list(_tests(solution, "!=", ne)), list(_tests(solution, "==", eq))
    for text, column in (*flags, *unequal, *equal):
        if column == there:
            yield text
    for word, tests, combine in (("or", unequal, any), ("and", equal, all)):
        for (text, column), (second, other) in combinations(tests, 2):
            if tuple(map(combine, zip(column, other, strict=True))) == there:
                yield f"{text} {word} {second}"


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
