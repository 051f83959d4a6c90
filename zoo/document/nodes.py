"""The document tree: scalars, sequences and mappings, each with its span; immutable. Floor 0."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from zoo.diagnostics import Span
from zoo.layout import is_file

ScalarValue: TypeAlias = str | int | float | bool | None

DEEPEST_NESTING = 64  # levels of a file, aliases followed, and of a computed list


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value. ``plain`` tells whether it was written without quotes, ``text`` how it was written."""

    value: ScalarValue
    span: Span
    text: str = ""
    plain: bool = True
    depth: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list of nodes. ``depth`` counts the levels of collections, its own among them."""

    items: tuple[Node, ...]
    span: Span
    depth: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", 1 + max((item.depth for item in self.items), default=0))

    def __iter__(self) -> Iterator[Node]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __bool__(self) -> bool:
        """An empty list is a value that stands there: only None is none."""
        return True


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping with its place, and its value."""

    key: str
    key_span: Span
    value: Node


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys (always text) to nodes, in the order of the file. ``depth`` as in a list."""

    entries: tuple[Entry, ...]
    span: Span
    depth: int = field(init=False, repr=False, compare=False)
    _index: dict[str, Entry] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", 1 + max((entry.value.depth for entry in self.entries), default=0))
        object.__setattr__(self, "_index", {entry.key: entry for entry in self.entries})

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __bool__(self) -> bool:
        """An empty mapping is a value that stands there: only None is none."""
        return True

    def __contains__(self, key: object) -> bool:
        return key in self._index

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys, in order."""
        return tuple(entry.key for entry in self.entries)

    def entry(self, key: str) -> Entry | None:
        """The entry of a key, or None."""
        return self._index.get(key)

    def get(self, key: str) -> Node | None:
        """The value of a key, or None."""
        entry = self._index.get(key)
        return entry.value if entry else None

    def key_span(self, key: str) -> Span:
        """The place of a key; the mapping's own where it is not there."""
        entry = self._index.get(key)
        return entry.key_span if entry else self.span

    def value_span(self, key: str) -> Span:
        """The place of a key's value; the mapping's own where it is not there."""
        entry = self._index.get(key)
        return entry.value.span if entry else self.span

    def without(self, keys: Iterable[str]) -> Mapping:
        """A copy that lacks these keys."""
        drop = set(keys)
        return Mapping(tuple(entry for entry in self.entries if entry.key not in drop), self.span)

    def only(self, keys: Iterable[str]) -> Mapping:
        """A copy that has these keys alone."""
        keep = set(keys)
        return Mapping(tuple(entry for entry in self.entries if entry.key in keep), self.span)

    def replacing(self, key: str, value: Node) -> Mapping:
        """A copy with another value under a key; the key is added at the end where it is missing."""
        if key not in self._index:
            return Mapping((*self.entries, Entry(key, value.span, value)), self.span)
        return Mapping(tuple(Entry(e.key, e.key_span, value) if e.key == key else e for e in self.entries), self.span)


Node: TypeAlias = Scalar | Sequence | Mapping


def plain(node: Node) -> Any:
    """The node as plain Python data, places dropped."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {entry.key: plain(entry.value) for entry in node.entries}


def from_data(data: Any, span: Span) -> Node:
    """Plain Python data as a node, every part of which bears the one span (for calls from Python)."""
    if isinstance(data, AbstractMapping):
        return Mapping(tuple(Entry(str(key), span, from_data(value, span)) for key, value in data.items()), span)
    if isinstance(data, list | tuple):
        return Sequence(tuple(from_data(item, span) for item in data), span)
    return Scalar(data, span, str(data), plain=not isinstance(data, str))


def is_null(node: Node | None) -> bool:
    """Whether a null stands there; where nothing stands, none does."""
    return isinstance(node, Scalar) and node.value is None


def text_of(node: Node | None) -> str | None:
    """The text that stands there; None for any other value."""
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else None


def each_of(node: Node | None) -> tuple[Node, ...]:
    """The items of a list, or the one value that stands in a list's place."""
    if node is None:
        return ()
    return node.items if isinstance(node, Sequence) else (node,)


def scalars(node: Node | None) -> Iterator[Scalar]:
    """Every single value below a node, in the order of the file."""
    if isinstance(node, Scalar):
        yield node
    elif isinstance(node, Sequence):
        for item in node:
            yield from scalars(item)
    elif isinstance(node, Mapping):
        for entry in node:
            yield from scalars(entry.value)


def folder_of(node: Node | None) -> Path | None:
    """The folder of the file that a value stands in; None where it stands in none, as on the command line."""
    file = Path(node.span.file) if node is not None else None
    return file.parent if file is not None and is_file(file) else None


def written(value: Any) -> str:
    """A value for a message, null and booleans as YAML writes them."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else repr(value)
