"""``extends`` and ``--set``: documents laid over one another, every value keeping its own place. Floor 0."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from zoo.diagnostics import Diagnostics, Note, Span
from zoo.document.nodes import Entry, Mapping, Node, Scalar
from zoo.document.reader import read_file, read_value
from zoo.errors import UsageError

FindParent = Callable[[str, Path], Path | None]


def merge(base: Mapping, over: Mapping) -> Mapping:
    """Lays ``over`` on ``base``: mappings merge key by key, lists and values are replaced, null removes.

    What stays keeps its order; what is new comes last.
    """
    entries = {entry.key: entry for entry in base.entries}
    for entry in over.entries:
        below = entries.get(entry.key)
        if isinstance(entry.value, Scalar) and entry.value.value is None and below is not None:
            del entries[entry.key]
        elif below is not None and isinstance(below.value, Mapping) and isinstance(entry.value, Mapping):
            entries[entry.key] = Entry(entry.key, entry.key_span, merge(below.value, entry.value))
        else:
            entries[entry.key] = entry
    return Mapping(tuple(entries.values()), over.span)


def load(
    path: Path, diagnostics: Diagnostics, *, find_parent: FindParent | None = None, name: str | None = None
) -> Mapping | None:
    """Reads a file and lays it over what it ``extends``, and that over its own parent, and so on.

    ``find_parent`` maps what stands behind ``extends`` and the extending file's folder to a path; by default
    a path relative to that folder. A loop and a missing parent are errors that show the whole chain.
    """
    return _load(path, diagnostics, find_parent or _relative, [], name)


def _relative(written: str, folder: Path) -> Path | None:
    path = folder / written
    return path if path.is_file() else None


def _load(
    path: Path, diagnostics: Diagnostics, find_parent: FindParent, chain: list[tuple[Path, Span]], name: str | None
) -> Mapping | None:
    document = read_file(path, diagnostics, name=name)
    if document is None:
        return None
    written = document.get("extends")
    if written is None:
        return document.without(["extends"])
    if not isinstance(written, Scalar) or not isinstance(written.value, str):
        diagnostics.error("bad-extends", "`extends` takes one path", written.span)
        return None
    chain = [*chain, (path.resolve(), written.span)]
    parent = find_parent(written.value, path.parent)
    if parent is None:
        diagnostics.error(
            "no-such-parent",
            f"there is no {written.value} to extend",
            written.span,
            notes=_chain_notes(chain[:-1]),
            help=f"looked beside {path}",
        )
        return None
    if any(parent.resolve() == seen for seen, _ in chain):
        diagnostics.error(
            "extends-loop", f"{written.value} extends itself in a loop", written.span, notes=_chain_notes(chain)
        )
        return None
    base = _load(parent, diagnostics, find_parent, chain, None)
    if base is None:
        return None
    return merge(base, document.without(["extends"]))


def _chain_notes(chain: Iterable[tuple[Path, Span]]) -> list[Note]:
    return [Note(f"{path.name} extends here", span) for path, span in chain]


def apply_sets(document: Mapping, sets: Iterable[str], diagnostics: Diagnostics) -> Mapping:
    """Applies ``--set PATH=VALUE`` in order. VALUE is YAML and replaces what was there, mappings too; null removes.

    Raises UsageError for a text that is not PATH=VALUE.
    """
    for text in sets:
        path, equals, written = text.partition("=")
        keys = path.split(".")
        if not equals or not all(keys):
            raise UsageError(f"--set wants PATH=VALUE, got {text!r}", help="for example --set train.epochs=3")
        value = read_value(written, diagnostics, name=f"--set {path}")
        if value is not None:
            document = _set(document, keys, value)
    return document


def _set(document: Mapping, keys: list[str], value: Node) -> Mapping:
    head, *rest = keys
    if not rest:
        if isinstance(value, Scalar) and value.value is None:
            return document.without([head])
        return _with(document, head, value)
    below = document.get(head)
    inner = below if isinstance(below, Mapping) else Mapping((), value.span)
    return _with(document, head, _set(inner, rest, value))


def _with(document: Mapping, key: str, value: Node) -> Mapping:
    if key in document:
        return document.replacing(key, value)
    return Mapping((*document.entries, Entry(key, value.span, value)), document.span)
