"""Registries: the one way a name in a file becomes a thing in Python. Floor 0."""

from __future__ import annotations

import difflib
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Generic, TypeVar

from zoo.errors import UsageError

T = TypeVar("T")
MOST_NAMES = 2000  # that a name is compared with
SAME_CASE = 0.01  # decides between a module and a function of one name
LONGEST_NAME = 80  # characters of a name that are compared; comparing takes time with their square


def nearest(name: str, names: Iterator[str] | list[str] | tuple[str, ...], count: int = 3) -> list[str]:
    """The names most like this one, best first; case is a small difference, not a large one."""
    folded = name[:LONGEST_NAME].lower().replace("-", "_")
    letters = Counter(folded)

    def contains(other: str) -> float:
        return 0.25 if folded and (folded in other or other in folded) else 0.0

    def at_most(candidate: str) -> float:
        other = candidate.lower()
        shared = sum((letters & Counter(other)).values())
        return 2 * shared / max(len(folded) + len(other), 1) + contains(other) + SAME_CASE

    def likeness(candidate: str) -> float:
        other = candidate.lower()
        starts_alike = SAME_CASE if name[:1].isupper() == candidate[:1].isupper() else 0.0  # relu is not ReLU
        return difflib.SequenceMatcher(None, folded, other).ratio() + contains(other) + starts_alike

    found: list[tuple[float, str]] = []
    for bound, candidate in sorted((-at_most(each), each) for each in islice(dict.fromkeys(names), MOST_NAMES)):
        if len(found) >= count and found[count - 1][0] < bound:
            break  # nothing further down can be nearer
        insort(found, (-likeness(candidate), candidate))
    return [candidate for _, candidate in found[:count]]


def did_you_mean(name: str, names: Iterator[str] | list[str] | tuple[str, ...], count: int = 3) -> str | None:
    """A help line that offers the nearest names, or None where there are no names."""
    found = nearest(name, names, count)
    if not found:
        return None
    if len(found) == 1:
        return f"did you mean {found[0]}?"
    return f"did you mean {', '.join(found[:-1])} or {found[-1]}?"


class Registry(Generic[T]):
    """Names to entries of one kind (ops, sources, transforms, …).

    ``load`` fills the registry at its first use, so that importing a catalogue costs nothing. A name that is
    registered twice is an error.
    """

    def __init__(self, kind: str, load: Callable[[Registry[T]], None] | None = None) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}
        self._load = load

    def _loaded(self) -> dict[str, T]:
        if self._load is not None:
            load, self._load = self._load, None
            load(self)
        return self._entries

    def add(self, name: str, entry: T) -> T:
        """Registers an entry. Raises UsageError where the name is taken."""
        entries = self._loaded()
        if name in entries:
            raise UsageError(
                f"{self.kind} {name!r} is registered twice", help="choose another name for the one you register"
            )
        entries[name] = entry
        return entry

    def __contains__(self, name: object) -> bool:
        return name in self._loaded()

    def __getitem__(self, name: str) -> T:
        return self._loaded()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded())

    def __len__(self) -> int:
        return len(self._loaded())

    def get(self, name: str) -> T | None:
        """The entry, or None."""
        return self._loaded().get(name)

    def nearest(self, name: str, count: int = 3) -> list[str]:
        """The names most like this one."""
        return nearest(name, list(self._loaded()), count)

    @contextmanager
    def temporarily(self, **entries: T) -> Iterator[None]:
        """Registers entries for the length of a ``with`` block (for tests and plugins' tests)."""
        before = dict(self._loaded())
        try:
            for name, entry in entries.items():
                self.add(name, entry)
            yield
        finally:
            self._entries = before
