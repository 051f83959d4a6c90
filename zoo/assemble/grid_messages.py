"""Messages about the values of a grid, which are set as ``--set`` sets them, name ``--grid``. Floor 7; no torch."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from zoo.diagnostics import Diagnostic, Diagnostics, Note, Source, Span
from zoo.errors import ConfigError, ZooError

_SET = re.compile(r"--set ([\w.]+)=(\S+)")


@contextmanager
def naming_the_grid(paths: Collection[str]) -> Iterator[None]:
    """Has what is wrong with a value of these axes name the grid. Raises what it is left with."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(of_grid(error.diagnostics, paths)) from None
    except ZooError as error:
        (item,) = of_grid(error.diagnostics, paths)
        error.message, error.span, error.notes, error.help = item.message, item.span, item.notes, item.help
        raise


def of_grid(items: Iterable[Diagnostic], paths: Collection[str]) -> Diagnostics:
    """The messages, those about a value of these axes with ``--grid`` for ``--set``."""
    found = Diagnostics()
    found.extend(_of_grid(item, paths) for item in items)
    return found


def _of_grid(item: Diagnostic, paths: Collection[str]) -> Diagnostic:
    notes = tuple(Note(note.message, _place(note.span, paths)) for note in item.notes)
    is_told = any(item.message.startswith(f"--set {path}:") for path in paths)
    place = _place(item.span, paths)
    if place == item.span and not is_told:
        return replace(item, notes=notes)
    help = None if item.help is None else _SET.sub(_as_axis, item.help)
    return replace(item, span=place, notes=notes, help=help, message=item.message.replace("--set", "--grid"))


def _place(span: Span | None, paths: Collection[str]) -> Span | None:
    if span is None or span.file.removeprefix("--set ") not in paths:
        return span
    return replace(span, source=Source(span.file.replace("--set", "--grid", 1), span.source.text))


def _as_axis(found: re.Match[str]) -> str:
    """``--set a.b=1`` as an axis of which this is one value."""
    values = "…" if found[2] == "…" else f"{found[2]}, …"
    return f"--grid '{found[1]}=[{values}]'"
