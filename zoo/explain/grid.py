"""Grids of explained images as PNG files. Floor 6."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.explain.overlay import enlarge, overlay
from zoo.explain.sheet import MUTED, Sheet

if TYPE_CHECKING:
    from zoo.explain.explanation import Cell

PANEL, GAP = 1.45, 0.3  # inches: one picture with its margin, and what lies between two cells
TOP, REMARK = 0.5, 0.2  # above the first row, and for a remark there
ABOVE, BELOW = 0.35, 0.36  # for the words over and under the pictures of each row
RIGHT, WRONG = "#17643b", "#b3261e"


def draw_grid(cells: Sequence[Cell], path: Path, *, title: str = "", remark: str = "") -> Path:
    """Draws cells (the image, then its maps) into a PNG file, a remark under the title; returns its path."""
    panels = 1 + max((len(cell.maps) for cell in cells), default=1)
    columns = max(1, min(len(cells), 6 // panels))
    width, height = panels * PANEL + GAP, ABOVE + PANEL + BELOW
    rows = -(-len(cells) // columns)
    top = TOP + REMARK * bool(remark)
    sheet = Sheet(max(columns * width, 4.0), rows * height + top, title)
    sheet.words(remark, 0.12, TOP + 0.02, size=8, colour=MUTED)
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        _draw_cell(sheet, cell, left=column * width + GAP / 2, top=top + row * height, width=panels * PANEL)
    return sheet.save(path)


def _draw_cell(sheet: Sheet, cell: Cell, *, left: float, top: float, width: float) -> None:
    colour = MUTED if cell.true is None else WRONG if cell.is_wrong else RIGHT
    predicted, judged = _headlines(cell)
    confidence = f" ({100 * cell.confidence:.0f} %)"
    sheet.words(predicted, left, top + 0.13, size=8.5, colour=colour, width=width, tail=confidence)
    sheet.words(judged, left, top + 0.28, size=8.5, colour=colour, width=width)
    panels = [(cell.name, enlarge(cell.image))]
    panels += [(f"for {name}", overlay(cell.image, found)) for name, found in cell.maps]
    side = PANEL - 0.08
    for place, (label, picture) in enumerate(panels):
        at, under = left + place * PANEL, top + ABOVE + side + 0.13
        sheet.picture(picture, at, top + ABOVE, side)
        is_path = place == 0  # of a long one the end tells most
        sheet.words(label, at + side / 2, under, size=7, colour=MUTED, ha="center", width=side, keep_end=is_path)


def _headlines(cell: Cell) -> tuple[str, str]:
    """What was predicted, and whether that is true: two lines."""
    if cell.is_wrong:
        return f"predicted {cell.predicted}", f"true class {cell.true}"
    return cell.predicted, "" if cell.true is None else "correct"
