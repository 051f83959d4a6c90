"""Every single mutation of the shipped files: a key dropped or mistyped, a value swapped for another.

Files are read and written by zoo's own reader and writer, so a mutation is a file as a user might have typed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from zoo.diagnostics import Diagnostics, Source, Span
from zoo.document import Entry, Mapping, Node, Scalar, Sequence, from_data, read_file
from zoo.document.writer import write

ROOT = Path(__file__).parents[2]
ARCHITECTURES = sorted((ROOT / "zoo" / "architectures").glob("*.yaml"))
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
SHIPPED = [*ARCHITECTURES, *RECIPES]
ODD: tuple[Any, ...] = (0, -1, 1.5, True, 10**12, "x", "", None, [], {}, [1, "x"], {"x": 1}, float("nan"))
HERE = Span(Source("<mutation>"), 1, 1, 1, 1)

Route = tuple[str | int, ...]
Change = Callable[[str | int, Node], list[tuple[str | int, Node]]]


@dataclass(frozen=True)
class Mutation:
    """A shipped file with one thing changed: where, what, and the text that results, written when it is asked for."""

    file: str
    document: Mapping
    route: Route
    what: str
    change: Change

    @property
    def where(self) -> str:
        return ".".join(map(str, self.route))

    @cached_property
    def text(self) -> str:
        return write(changed(self.document, self.route, self.change))

    def __str__(self) -> str:
        return f"{self.file} {self.where}: {self.what}"


def read(path: Path) -> Mapping:
    """The document of a shipped file."""
    diagnostics = Diagnostics()
    document = read_file(path, diagnostics)
    assert document is not None
    return document


def places(node: Node, path: Route = ()) -> Iterator[tuple[Route, Node]]:
    """Every value of a document with its path, the document's own left out."""
    if isinstance(node, Sequence):
        for index, item in enumerate(node):
            yield (*path, index), item
            yield from places(item, (*path, index))
    elif isinstance(node, Mapping):
        for entry in node:
            yield (*path, entry.key), entry.value
            yield from places(entry.value, (*path, entry.key))


def changed(node: Node, path: Route, change: Change) -> Node:
    """The document with the item at ``path`` replaced by what ``change`` makes of its key and value."""
    head, rest = path[0], path[1:]

    def items(key: str | int, value: Node) -> list[tuple[str | int, Node]]:
        if key != head:
            return [(key, value)]
        return [(key, changed(value, rest, change))] if rest else change(key, value)

    if isinstance(node, Sequence):
        return Sequence(tuple(value for at, old in enumerate(node) for _, value in items(at, old)), node.span)
    assert isinstance(node, Mapping)
    entries = [Entry(str(key), HERE, value) for entry in node for key, value in items(entry.key, entry.value)]
    return Mapping(tuple(entries), node.span)


def swapped(node: Node) -> list[Node]:
    """The value as another type: alone in a list, under a key, as text, or its parts in place of the whole."""
    parts: list[Node] = [Sequence((node,), HERE), Mapping((Entry("x", HERE, node),), HERE)]
    if isinstance(node, Scalar):
        parts.append(Scalar(str(node.value), HERE, str(node.value), False))
    elif isinstance(node, Sequence):
        parts += [*node.items[:1], Sequence(node.items + node.items, HERE), Sequence(node.items[::-1], HERE)]
    else:
        parts += [Sequence(tuple(entry.value for entry in node), HERE), from_data(list(node.keys), HERE)]
    return parts


def mutations(path: Path) -> Iterator[Mutation]:
    """Every mutation of a file but the mistyped keys."""
    document = read(path)
    for where, value in places(document):
        for what, change in changes(value):
            yield Mutation(path.name, document, where, what, change)


def changes(value: Node) -> Iterator[tuple[str, Change]]:
    """All that may become of one value, in words and as a function."""
    yield "dropped", lambda key, value: []
    yield "doubled", lambda key, value: [(key, value), (f"{key}_2", value)]
    for odd in ODD:
        yield repr(odd), partial(_replaced, from_data(odd, HERE))
    for other in swapped(value):
        yield "of another type", partial(_replaced, other)


def _replaced(by: Node, key: str | int, value: Node) -> list[tuple[str | int, Node]]:
    return [(key, by)]


def mistyped(path: Path) -> Iterator[tuple[str, Mutation]]:
    """Every key of a file with a letter put behind it, and the key as it was."""
    document = read(path)
    for where, _ in places(document):
        key = where[-1]
        if isinstance(key, str):
            yield key, Mutation(path.name, document, where, "mistyped", lambda key, value: [(f"{key}x", value)])
