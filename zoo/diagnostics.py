"""Diagnostics: what is wrong, where it stands, where the other side came from, and the way out.

Floor 0; knows nothing of torch, files or YAML. A :class:`Span` carries its source text, so a message can be
rendered long after the file has changed or gone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

from zoo.columns import cells

Severity = Literal["error", "warning"]
Say = Callable[[str], None]  # takes a line for people
LONGEST_LINE = 200  # characters of a source line that a message shows
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f]")  # what a terminal may obey; lines and tabs it may have


@lru_cache(maxsize=8)
def _lines(text: str) -> list[str]:
    return text.splitlines()


@dataclass(frozen=True, slots=True)
class Source:
    """A text that spans point into: its name as messages show it, and its lines."""

    name: str
    text: str = field(repr=False, default="")
    option: str = ""  # of the command line, where that gave the text and no file did

    def line(self, number: int) -> str:
        """The line with this number, counted from 1; empty where there is none."""
        lines = _lines(self.text)
        return lines[number - 1] if 0 < number <= len(lines) else ""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of source text. Lines and columns count from 1; ``end_column`` is exclusive."""

    source: Source = field(repr=False)
    line: int
    column: int
    end_line: int
    end_column: int

    @property
    def file(self) -> str:
        """The source's name."""
        return self.source.name

    @property
    def option(self) -> str:
        """The option of the command line that gave the text; empty where a file did."""
        return self.source.option

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Note:
    """A further line under a message, with its own place where it has one."""

    message: str
    span: Span | None = None

    def __str__(self) -> str:
        return f"{self.message} ({self.span})" if self.span else self.message


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One message. ``code`` is a stable slug; ``label`` stands behind the carets."""

    severity: Severity
    code: str
    message: str
    span: Span | None = None
    label: str = ""
    notes: tuple[Note, ...] = ()
    help: str | None = None

    def __str__(self) -> str:
        """The message with its place and the way out, in a line."""
        place = f"{self.span}: " if self.span is not None else ""
        return f"{place}{self.message}" + (f" ({self.help})" if self.help else "")

    def as_data(self) -> dict[str, Any]:
        """The message as plain data, for ``--json``."""
        return {
            "severity": self.severity,
            "code": self.code,
            "message": self.message,
            **_place(self.span),
            "notes": [{"message": note.message, **_place(note.span)} for note in self.notes],
            "help": self.help,
        }


def _place(span: Span | None) -> dict[str, Any]:
    """Where something stands, as plain data."""
    if span is None:
        return {"file": None, "line": None, "column": None}
    return {"file": span.file, "line": span.line, "column": span.column}


class Diagnostics:
    """Collects messages, so that all of a file's errors are told at once, and gives them in the order of the file.

    Messages without a place come first; several files come in the order in which they were first spoken of.
    """

    def __init__(self) -> None:
        self._items: dict[Diagnostic, None] = {}  # a set that keeps the order

    def __iter__(self) -> Iterator[Diagnostic]:
        files = list(dict.fromkeys(item.span.file for item in self._items if item.span))
        places = {
            item: (files.index(item.span.file), item.span.line, item.span.column) if item.span else (-1, 0, 0)
            for item in self._items
        }
        return iter(sorted(self._items, key=places.__getitem__))

    def __len__(self) -> int:
        return len(self._items)

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The errors alone, in the order they were found: planners count them often, so they are not sorted."""
        return tuple(item for item in self._items if item.severity == "error")

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """The warnings alone."""
        return tuple(item for item in self if item.severity == "warning")

    @property
    def all_as_errors(self) -> tuple[Diagnostic, ...]:
        """Every message as an error: what ``--strict`` makes of warnings."""
        return tuple(replace(item, severity="error") for item in self)

    def add(self, diagnostic: Diagnostic) -> None:
        """Takes a message, unless the very same one is there already (a block called twice says a thing once)."""
        self._items.setdefault(diagnostic)

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Takes several messages."""
        for diagnostic in diagnostics:
            self.add(diagnostic)

    def error(
        self,
        code: str,
        message: str,
        span: Span | None = None,
        *,
        notes: Iterable[Note] = (),
        help: str | None = None,
    ) -> None:
        """Takes an error."""
        self.add(Diagnostic("error", code, message, span, notes=tuple(notes), help=help))

    def warning(
        self,
        code: str,
        message: str,
        span: Span | None = None,
        *,
        notes: Iterable[Note] = (),
        help: str | None = None,
    ) -> None:
        """Takes a warning."""
        self.add(Diagnostic("warning", code, message, span, notes=tuple(notes), help=help))


def render(diagnostic: Diagnostic) -> str:
    """The message as text, in the manner of rustc: headline, place, the line with carets, notes, help.

    Control characters, which names in a file may hold, are written as escapes.
    """
    lines = [f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"]
    gutter = " " * 3
    if diagnostic.span is not None:
        span = diagnostic.span
        width = len(str(span.line))
        gutter = " " * (width + 1)
        lines.append(f"{' ' * width}--> {span}")
        text, span = _window(_CONTROL.sub("\ufffd", span.source.line(span.line)), span)  # each as wide as it was
        if text:
            lines += [f"{gutter}|", f"{span.line} | {text}", f"{gutter}| {_carets(diagnostic, text, span)}"]
    lines += [f"{gutter}= note: {note}".replace("\n", f"\n{gutter}        ") for note in diagnostic.notes]
    if diagnostic.help:
        lines.append(f"{gutter}= help: {diagnostic.help}")
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", "\n".join(lines))


def _window(text: str, span: Span) -> tuple[str, Span]:
    """The line; of one too long to show, the part around the span, which moves along."""
    if len(text) <= LONGEST_LINE:
        return text, span
    start = max(0, min(span.column - 1 - LONGEST_LINE // 4, len(text) - LONGEST_LINE))
    moved = replace(span, column=span.column - start, end_column=max(span.end_column - start, 1))
    return text[start : start + LONGEST_LINE], moved


def _carets(diagnostic: Diagnostic, text: str, span: Span) -> str:
    end = span.end_column if span.end_line == span.line else len(text.rstrip()) + 1
    # Tabs keep their width under the line above, and so do wide characters.
    indent = "".join("\t" if char == "\t" else " " * cells(char) for char in text[: span.column - 1])
    carets = "^" * max(1, cells(text[span.column - 1 : end - 1]))
    indent += " " * (span.column - 1 - len(text))
    return f"{indent}{carets} {diagnostic.label}".rstrip()


def counted(number: float, noun: str) -> str:
    """``1 epoch``, ``1.5 epochs``, ``50,000 images``."""
    figure = f"{int(number):,}" if number == int(number) else few_digits(number)
    return f"{figure} {noun}" if number == 1 else f"{figure} {noun}s"


def few_digits(number: float) -> str:
    """``24``, ``1.5``, ``0.87``: two decimals at most, of what is smaller than 1 two digits."""
    return f"{round(number, 2):g}" if abs(number) >= 1 else f"{number:.2g}"


def and_more(first: Sequence[str], count: int) -> list[str]:
    """The first of so many texts, and in the end ``and 7 more``, where there are more."""
    more = count - len(first)
    return [*first, f"and {more} more"] if more > 0 else list(first)


def first_of(first: Sequence[str], count: int) -> str:
    """The first of so many names in one text: ``a, b and 7 more``."""
    more = count - len(first)
    return ", ".join(first) + (f" and {more} more" if more > 0 else "")


def percent(fraction: float | None, unit: str = " %") -> str:
    """A fraction as per cent with two decimals; empty for None."""
    return "" if fraction is None else f"{100 * fraction:.2f}{unit}"


def duration(seconds: float) -> str:
    """Seconds as people say them: ``42 s``, ``3 min 20 s``, ``1 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.3g} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count_line(diagnostics: Iterable[Diagnostic]) -> str:
    """The one line that counts: ``2 errors, 1 warning``."""
    items = list(diagnostics)
    parts = []
    for severity in ("error", "warning"):
        number = sum(item.severity == severity for item in items)
        if number:
            parts.append(counted(number, severity))
    return ", ".join(parts) or "no errors"
