"""Text in the columns of a terminal, where a Chinese, Japanese or Korean character takes two. Floor 0; no torch."""

from __future__ import annotations

from collections.abc import Sequence


def cells(text: str) -> int:
    """How many of a terminal's columns a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # only here: most texts need no table of all characters

    return cell_len(text)


def widest(texts: Sequence[str]) -> int:
    """The columns of the widest text; 0 of none."""
    return max(map(cells, texts), default=0)


def padded(text: str, width: int) -> str:
    """The text with blanks behind it up to so many columns."""
    return text + " " * (width - cells(text))


def in_columns(rows: Sequence[Sequence[str]], widths: Sequence[int] | None = None) -> list[str]:
    """Rows of equally many texts as lines, each column as wide as its widest text or as ``widths`` says."""
    if widths is None:
        widths = [widest(column) for column in zip(*rows, strict=True)]
    return ["  ".join(map(padded, row, widths)).rstrip() for row in rows]


def start_of(text: str, width: int) -> str:
    """As much of a text's start as fits into so many columns."""
    text = text[: max(width, 0)]  # no character but takes a column, as a rule
    while cells(text) > width:
        text = text[:-1]
    return text


def shortened(text: str, width: int) -> str:
    """A text of at most so many columns, whole or its start."""
    return text if cells(text) <= width else f"{start_of(text, width - 1)}…"


def shortened_within(text: str, width: int) -> str:
    """A text of at most so many columns, whole or without its middle; a third of what stays is its end."""
    if cells(text) <= width:
        return text
    end = (width - 1) // 3
    return f"{start_of(text, width - 1 - end)}…{end_of(text, end)}"


def end_of(text: str, width: int) -> str:
    """As much of a text's end as fits into so many columns."""
    return start_of(text[::-1], width)[::-1]
