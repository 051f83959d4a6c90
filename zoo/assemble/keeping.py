"""What a run's recipe left to defaults, kept as it was when the run began. Floor 7.

A default may change from one version to the next. A run that goes on keeps those it began with: they are in its
`resolved.yaml`, and `env.json` says which values were written, in the recipe, in what it extends or by `--set`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from zoo.assemble.defaults import DEFAULT, origins
from zoo.assemble.environment import read_environment
from zoo.assemble.shipped import find_parent
from zoo.diagnostics import Diagnostics
from zoo.document import Entry, Mapping, Node, Sequence, from_data, load, plain, read_file
from zoo.layout import RECIPE

IsWritten = Callable[[str], bool]  # of a value's path: keys and indices with dots between


def written_paths(document: Mapping) -> list[str]:
    """The paths of all values that somebody wrote."""
    places = origins(document)
    return [re.sub(r"\[(\d+)\]", r".\1", path) for path in places if places[path] != "default"]


def written_in(folder: Path) -> IsWritten:
    """What was written of a run's recipe; of a run that did not record it, what its recipe's file says."""
    paths = _recorded(folder)
    if paths is None:
        file = folder / RECIPE
        document = load(file, Diagnostics(), find_parent=find_parent) or read_file(file, Diagnostics())
        paths = written_paths(document) if document is not None else []
    known = frozenset(paths)
    return lambda path: path in known or any(one.startswith(f"{path}.") for one in known)


def _recorded(folder: Path) -> Iterable[str] | None:
    found = read_environment(folder).get("written")
    return found if isinstance(found, list) else None


def with_own_defaults(now: Mapping, stored: Mapping, is_written: IsWritten, *, but: Iterable[str] = ()) -> Mapping:
    """The complete recipe ``now`` with a run's ``stored`` defaults for its own, in all sections ``but`` some."""
    return _kept_mapping(now, stored.without(but), is_written, "")


def _kept(now: Node, stored: Node, is_written: IsWritten, path: str) -> Node:
    if isinstance(now, Mapping) and isinstance(stored, Mapping):
        return _kept_mapping(now, stored, is_written, f"{path}.")
    if now.span == DEFAULT:
        return now if is_written(path) else from_data(plain(stored), DEFAULT)
    if isinstance(now, Sequence) and isinstance(stored, Sequence) and len(now) == len(stored):
        pairs = enumerate(zip(now.items, stored.items, strict=True))
        return Sequence(tuple(_kept(a, b, is_written, f"{path}.{i}") for i, (a, b) in pairs), now.span)
    return now


def _kept_mapping(now: Mapping, stored: Mapping, is_written: IsWritten, prefix: str) -> Mapping:
    entries = []
    for entry in now:
        own = stored.get(entry.key)
        value = entry.value if own is None else _kept(entry.value, own, is_written, f"{prefix}{entry.key}")
        entries.append(Entry(entry.key, entry.key_span, value))
    return Mapping(tuple(entries), now.span)
