"""Long sequences without an object for each item: of a million texts one piece of memory. Floor 2; no torch.

Processes that are forked share what they do not write to, and Python writes to every object that it looks at: it counts
who refers to it. A list of a million objects is so copied, page by page, into every loader worker; arrays are not.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, Protocol, TypeVar

import numpy as np

from zoo.data.draws import Integers

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Indexed(Protocol[T_co]):
    """Items by their numbers, from 0 on. A list is one too; others make an item when they are asked for it."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> T_co: ...


@dataclass(frozen=True)
class Names:
    """Texts one behind the other, as the file system has them, and where each ends (n)."""

    texts: bytes
    ends: Integers

    @classmethod
    def of(cls, names: Iterable[str]) -> Names:
        """These texts."""
        encoded = [os.fsencode(name) for name in names]
        return cls(b"".join(encoded), np.cumsum([len(name) for name in encoded], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:
        start = int(self.ends[index - 1]) if index else 0
        return os.fsdecode(self.texts[start : int(self.ends[index])])


@dataclass(frozen=True)
class Made(Generic[T]):
    """So many items, each made of its number."""

    make: Callable[[int], T]
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> T:
        return self.make(index)


class Joined(Generic[T]):
    """The items of several sequences, one sequence behind the other."""

    def __init__(self, parts: Sequence[Indexed[T]]) -> None:
        self._parts = parts
        self._starts = [0, *accumulate(map(len, parts))]

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> T:
        part = bisect_right(self._starts, index) - 1
        return self._parts[part][index - self._starts[part]]


@dataclass(frozen=True)
class Picked(Generic[T]):
    """Some items of a sequence, in an order of their own (n)."""

    items: Indexed[T]
    order: Integers

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> T:
        return self.items[int(self.order[index])]
