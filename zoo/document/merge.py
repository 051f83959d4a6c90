"""``extends``: documents laid over one another, every value keeping its own place. Floor 0."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from zoo.diagnostics import Diagnostics, Note, Span
from zoo.document.nodes import Entry, Mapping, is_null, text_of
from zoo.document.reader import read_file
from zoo.layout import is_file
from zoo.registry import listed, meant, offer

LONGEST_CHAIN = 64  # files that extend, or use, one another

FindParent = Callable[[str, Path], Path | None]
CheckOver = Callable[[Mapping, Mapping, Diagnostics], Mapping]


def merge(base: Mapping, over: Mapping) -> Mapping:
    """Lays ``over`` on ``base``: mappings merge key by key, lists and values are replaced, null removes.

    What stays keeps its order; what is new comes last.
    """
    entries = {entry.key: entry for entry in base.entries}
    for entry in over.entries:
        below = entries.get(entry.key)
        if is_null(entry.value) and below is not None:
            del entries[entry.key]
        elif below is not None and isinstance(below.value, Mapping) and isinstance(entry.value, Mapping):
            entries[entry.key] = Entry(entry.key, entry.key_span, merge(below.value, entry.value))
        else:
            entries[entry.key] = entry
    return Mapping(tuple(entries.values()), over.span)


def load(
    path: Path,
    diagnostics: Diagnostics,
    *,
    find_parent: FindParent | None = None,
    name: str | None = None,
    shipped: Iterable[str] = (),
    check_over: CheckOver | None = None,
) -> Mapping | None:
    """Reads a file and lays it over what it ``extends``, and that over its own parent, and so on.

    ``find_parent`` maps what stands behind ``extends`` and the extending file's folder to a path; by default
    a path relative to that folder. ``shipped`` are the names that it knows beside paths. ``check_over`` gets each
    parent's document and what is laid over it, tells what makes no sense there, and returns what to lay over it. A
    loop and a missing parent are errors that show the whole chain; one of more than 64 files is an error, too.
    """
    loader = _Loader(diagnostics, find_parent or _relative, tuple(shipped), check_over or (lambda base, over, _: over))
    return loader.load(path, [], name)


def _relative(written: str, folder: Path) -> Path | None:
    path = folder / written
    return path if is_file(path) else None


@dataclass(frozen=True, slots=True)
class _Loader:
    """One reading of a file and its parents."""

    diagnostics: Diagnostics
    find_parent: FindParent
    shipped: tuple[str, ...]
    check_over: CheckOver

    def load(self, path: Path, chain: list[tuple[Path, Span]], name: str | None) -> Mapping | None:
        document = read_file(path, self.diagnostics, name=name)
        if document is None:
            return None
        written = document.get("extends")
        over = document.without(["extends"])
        if written is None:
            return over
        parent_name = text_of(written)
        if parent_name is None:
            self.diagnostics.error("bad-extends", "`extends` takes one path", written.span)
            return None
        chain = [*chain, (path.resolve(), written.span)]
        parent = self._parent(parent_name, path, chain)
        base = self.load(parent, chain, None) if parent is not None else None
        return None if base is None else merge(base, self.check_over(base, over, self.diagnostics))

    def _parent(self, written: str, path: Path, chain: list[tuple[Path, Span]]) -> Path | None:
        """The file that the last of the chain extends; None after telling that there is none, or a loop."""
        parent, span = self.find_parent(written, path.parent), chain[-1][1]
        if parent is None:
            self.diagnostics.error(
                "no-such-parent",
                f"there is no {written} to extend",
                span,
                notes=_chain_notes(chain[:-1]),
                help=other_file(written, path, self.shipped) or f"looked beside {path}",
            )
        elif any(parent.resolve() == seen for seen, _ in chain):
            message = f"{written} extends itself in a loop"
            self.diagnostics.error("extends-loop", message, span, notes=_chain_notes(chain))
            return None
        elif len(chain) == LONGEST_CHAIN:
            message = f"more than {LONGEST_CHAIN} files extend one another"
            self.diagnostics.error("too-deep", message, span, notes=_chain_notes(chain[:1]))
            return None
        return parent


def other_file(written: str, path: Path, shipped: Iterable[str]) -> str | None:
    """The way out where a file names another that is not there: one beside it, or a shipped one."""
    if is_file(path.parent / f"{written}.yaml"):
        return f"{written}.yaml is there"
    shipped = list(shipped)
    beside = sorted(each.name for each in path.parent.glob("*.yaml") if each.name != path.name and is_file(each))
    is_path = written.endswith(".yaml")
    stems = {Path(name).stem: name for name in (*shipped, *beside)}  # a recipe in a folder goes by its bare name too
    names = {**stems, **{name: name for name in shipped}}
    likely = list(dict.fromkeys(names[name] for name in meant(written.removesuffix(".yaml"), names)))
    if likely:
        return offer(likely)
    return None if is_path or not shipped else f"looked beside {path}; shipped are {listed(shipped, 'and')}"


def _chain_notes(chain: Iterable[tuple[Path, Span]]) -> list[Note]:
    return [Note(f"{path.name} extends here", span) for path, span in chain]
