"""What may be laid over an architecture: no param that nobody knows, no null where nothing is. Floor 3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zoo.diagnostics import Diagnostics
from zoo.document import Entry, Mapping, is_null, merge
from zoo.graph.unused import unread_params
from zoo.registry import did_you_mean

Deeper = Callable[[Mapping, Mapping], Mapping]


def check_over(base: Mapping, over: Mapping, diagnostics: Diagnostics) -> Mapping:
    """What is to be laid over an architecture, less what makes no sense there, which is told.

    That is a null where there is nothing to remove, and a param that is neither one of the parent's nor read.
    """
    check = _Check(diagnostics)
    over = check.block(base, over)
    given, declared = over.get("params"), base.get("params")
    if not isinstance(given, Mapping):
        return over
    known = declared.keys if isinstance(declared, Mapping) else ()
    strange = [entry for entry in unread_params(merge(base, over)) if entry.key in given and entry.key not in known]
    for entry in strange:
        if is_null(entry.value):
            check.nothing_to_remove("params", entry, known)
            continue
        diagnostics.error(
            "unknown-key",
            f"params: unknown key {entry.key!r}: what is extended has no such param, and nobody reads it",
            entry.key_span,
            help=did_you_mean(entry.key, known) or "what is extended has no params",
        )
    return over.replacing("params", given.without(entry.key for entry in strange))


@dataclass(frozen=True, slots=True)
class _Check:
    """Follows two documents side by side, where both have layers or blocks of one name."""

    diagnostics: Diagnostics

    def block(self, base: Mapping, over: Mapping) -> Mapping:
        """A file, or a block."""
        return self._inside(base, self._inside(base, over, "layers", self._layer), "blocks", self.block)

    def _layer(self, base: Mapping, over: Mapping) -> Mapping:
        return self._inside(base, over, "layers", self._layer)

    def _inside(self, base: Mapping, over: Mapping, key: str, deeper: Deeper) -> Mapping:
        below, above = base.get(key), over.get(key)
        if not isinstance(below, Mapping) or not isinstance(above, Mapping):
            return over
        entries: list[Entry] = []
        for entry in above:
            under, value = below.get(entry.key), entry.value
            if under is None and is_null(value):
                self.nothing_to_remove(key, entry, below.keys)
                continue
            if isinstance(under, Mapping) and isinstance(value, Mapping):
                value = deeper(under, value)
            entries.append(Entry(entry.key, entry.key_span, value))
        return over.replacing(key, Mapping(tuple(entries), above.span))

    def nothing_to_remove(self, where: str, entry: Entry, known: tuple[str, ...]) -> None:
        """Tells of a null that removes nothing."""
        message = f"{where}: there is no {entry.key!r} to remove"
        self.diagnostics.error("unknown-key", message, entry.key_span, help=did_you_mean(entry.key, known))
