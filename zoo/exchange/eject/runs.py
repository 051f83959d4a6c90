"""Like modules in a row: which items of a list a person would write as a loop. Floor 6."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

SHORTEST_PROGRESSION = 3  # items; any two numbers are a progression

Item: TypeAlias = tuple[Any, list[Any]]  # its form and its constants


def run_length(items: Sequence[Item]) -> int:
    """How many items, from the first, are alike, or differ by numbers that grow evenly."""
    same = _stretch(items, lambda first, item, index: item == first)
    if same > 1 or len(items) < SHORTEST_PROGRESSION:
        return same
    steps = increments(items)

    def grows(first: list[Any], item: list[Any], index: int) -> bool:
        return item == [value + index * by if by else value for value, by in zip(first, steps, strict=True)]

    length = _stretch(items, grows)
    return length if length >= SHORTEST_PROGRESSION else 1


def increments(items: Sequence[Item]) -> list[int]:
    """By how much each constant grows from the first item to the second; 0 where it is no integer."""
    if len(items) < SHORTEST_PROGRESSION or len(items[0][1]) != len(items[1][1]):
        return [0] * len(items[0][1])
    return [
        other - one if type(one) is int and type(other) is int else 0
        for one, other in zip(items[0][1], items[1][1], strict=True)
    ]


def _stretch(items: Sequence[Item], fits: Callable[[list[Any], list[Any], int], bool]) -> int:
    form, first = items[0]
    for index, (other, values) in enumerate(items):
        if other != form or not fits(first, values, index):
            return index
    return len(items)
