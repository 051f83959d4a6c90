"""Registries: the one way a name in a file becomes a thing in Python. Floor 0."""

from __future__ import annotations

import difflib
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import Generic, TypeVar

from zoo.diagnostics import Diagnostic, Span
from zoo.errors import UsageError

T = TypeVar("T")
Names = Iterable[str]
MOST_NAMES = 2000  # that a name is compared with
OFFERED = 3  # names in a help line
FROM_PLUGINS = ("op", "transform", "data source")  # kinds that one may bring oneself
LISTED = 12  # names that are told in full where none is near
LIKELY = 0.65  # likeness from which a name may be what was meant
LIKELY_KEY = 0.7  # the same of keys: short words of one trade are alike
SURE = 0.8  # the same where the name may well be right in another place
STRANGER = 0.3  # how much less like than the best a name may be, to be offered beside it
SWAPPED = 0.9  # likeness of names in which two letters changed places
SAME_CASE = 0.01  # decides between a module and a function of one name
LONGEST_NAME = 80  # characters of a name that are compared; comparing takes time with their square


def nearest(name: str, names: Names, count: int = OFFERED) -> list[str]:
    """The names most like this one, best first; case is a small difference, not a large one."""
    return [candidate for _, candidate in _ranked(name, names, count)]


def _ranked(name: str, names: Names, count: int = OFFERED) -> list[tuple[float, str]]:
    """The names most like this one with their likeness, best first: 1 is the same but for case, 0 a stranger."""
    folded = name[:LONGEST_NAME].lower().replace("-", "_")
    letters = _letters(folded)

    def contains(other: str) -> float:
        """What is added where one name holds the other; a short one, as `ne`, stands in many by chance."""
        return 0.25 if len(folded) > 1 and (folded in other or (len(other) > 2 and other in folded)) else 0.0

    def at_most(candidate: str) -> float:
        other = candidate.lower()
        there = _letters(other)
        shared = sum(min(number, there.get(letter, 0)) for letter, number in letters.items())
        return 2 * shared / max(len(folded) + len(other), 1) + contains(other) + SAME_CASE

    def likeness(candidate: str) -> float:
        other = candidate.lower()
        starts_alike = SAME_CASE if name[:1].isupper() == candidate[:1].isupper() else 0.0  # relu is not ReLU
        alike = SWAPPED if _is_swap(folded, other) else difflib.SequenceMatcher(None, folded, other).ratio()
        return alike + contains(other) + starts_alike

    found: list[tuple[float, str]] = []
    for bound, candidate in sorted((-at_most(each), each) for each in islice(dict.fromkeys(names), MOST_NAMES)):
        if len(found) >= count and found[count - 1][0] < bound:
            break  # nothing further down can be nearer
        insort(found, (-likeness(candidate), candidate))
    return [(-negative, candidate) for negative, candidate in found[:count]]


@lru_cache(maxsize=4 * MOST_NAMES)
def _letters(text: str) -> dict[str, int]:
    """How often each letter stands in a text; kept, for a file may have many names that are not there."""
    return Counter(text)


def _is_swap(name: str, other: str) -> bool:
    """Whether two letters changed places: one slip, which a common subsequence counts as two."""
    apart = [place for place, (a, b) in enumerate(zip(name, other, strict=False)) if a != b]
    if len(name) != len(other) or len(apart) != 2:
        return False
    first, second = apart
    return name[first] == other[second] and name[second] == other[first]


def offer(names: Names) -> str:
    """The help line that offers what may have been meant."""
    return f"did you mean {listed(names, 'or')}?"


def did_you_mean(name: str, names: Names, least: float = LIKELY) -> str | None:
    """A help line that offers what may have been meant; where nothing is near, all of a few names or the nearest.

    None where there are no names.
    """
    names = list(names)
    return _help(_ranked(name, names), names, least)


def _help(ranked: list[tuple[float, str]], names: Sequence[str], least: float = LIKELY) -> str | None:
    """:func:`did_you_mean` of the names and those of them that are nearest."""
    likely = _likely(ranked, least)
    if likely:
        return offer(likely)
    if len(names) <= LISTED:
        return f"there {'is' if len(names) == 1 else 'are'} {listed(names, 'and')}" if names else None
    return f"the nearest are {listed([candidate for _, candidate in ranked], 'and')}"


def meant(name: str, names: Names, least: float = LIKELY) -> list[str]:
    """The names that may have been meant: at least so like this one, best first; none where all are strangers."""
    return _likely(_ranked(name, names), least)


def _likely(ranked: list[tuple[float, str]], least: float = LIKELY) -> list[str]:
    """Those of the ranked names that may have been meant: near, and not far behind the nearest."""
    return [candidate for likeness, candidate in ranked if likeness >= max(least, ranked[0][0] - STRANGER)]


def unknown(kind: str, name: str, names: Names, span: Span | None = None) -> Diagnostic:
    """The one message about a name that no entry of a catalogue bears, with the three that are nearest.

    ``kind`` is what the entries are, ``data source``; its last word makes the code, ``unknown-source``.
    """
    names = list(names)
    ranked = _ranked(name, names)
    others = [candidate for _, candidate in ranked]
    likely = _likely(ranked)
    help = _help(ranked, names)
    if likely and others[len(likely) :]:
        help = f"{help} Also near: {listed(others[len(likely) :], 'and')}"
    elif kind in FROM_PLUGINS and not likely:
        help = f"{help}; one of your own comes with --plugin FILE.py" if help else None
    message = f"there is no {kind} {name[:LONGEST_NAME]!r}"
    return Diagnostic("error", f"unknown-{kind.split()[-1]}", message, span, help=help)


def listed(words: Iterable[str], last: str) -> str:
    """``a``, ``a or b``, ``a, b or c``, with ``last`` in front of the last."""
    *most, end = words
    return f"{', '.join(most)} {last} {end}" if most else end


class Registry(Generic[T]):
    """Names to entries of one kind (ops, sources, transforms, …).

    ``load`` fills the registry at its first use, so that importing a catalogue costs nothing; where it fails or is
    interrupted, the next use begins again. A name that is registered twice is an error.
    """

    def __init__(self, kind: str, load: Callable[[Registry[T]], None] | None = None) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}
        self._load = load

    def _loaded(self) -> dict[str, T]:
        if self._load is not None:
            load, self._load = self._load, None
            try:
                load(self)
            except BaseException:  # Ctrl-C in a notebook, too: half a catalogue would miss names without a word
                self._load, self._entries = load, {}
                raise
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

    def unknown(self, name: str, span: Span | None = None) -> Diagnostic:
        """The message about a name that is not here."""
        return unknown(self.kind, name, self._loaded(), span)

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
