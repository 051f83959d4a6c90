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
TOP, REMARK, BELOW = 0.5, 0.2, 0.56  # above the first row, for a remark there, and for the words of each row
LONGEST_LABEL = 26  # characters
RIGHT, WRONG = "#17643b", "#b3261e"


def draw_grid(cells: Sequence[Cell], path: Path, *, title: str = "", remark: str = "") -> Path:
    """Draws cells (the image, then its maps) into a PNG file, a remark under the title; returns its path."""
    panels = 1 + max((len(cell.maps) for cell in cells), default=1)
    columns = max(1, min(len(cells), 6 // panels))
    width, height = panels * PANEL + GAP, PANEL + BELOW
    rows = -(-len(cells) // columns)
    top = TOP + REMARK * bool(remark)
    sheet = Sheet(max(columns * width, 4.0), rows * height + top, title)
    sheet.words(remark, 0.12, TOP + 0.02, size=8, colour=MUTED)
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        _draw_cell(sheet, cell, left=column * width + GAP / 2, top=top + row * height)
    return sheet.save(path)


def _draw_cell(sheet: Sheet, cell: Cell, *, left: float, top: float) -> None:
    colour = MUTED if cell.true is None else WRONG if cell.is_wrong else RIGHT
    sheet.words(_headline(cell), left, top + 0.13, size=8.5, colour=colour)
    panels = [(cell.name, enlarge(cell.image))]
    panels += [(f"for {name}", overlay(cell.image, found)) for name, found in cell.maps]
    side = PANEL - 0.08
    for place, (label, picture) in enumerate(panels):
        at = left + place * PANEL
        sheet.picture(picture, at, top + 0.2, side)
        sheet.words(_short(label), at + side / 2, top + side + 0.33, size=7, colour=MUTED, ha="center")


def _short(label: str) -> str:
    """A label that fits under a picture; of a long path the end is kept."""
    return label if len(label) <= LONGEST_LABEL else f"…{label[1 - LONGEST_LABEL :]}"


def _headline(cell: Cell) -> str:
    said = f"{cell.predicted} ({100 * cell.confidence:.0f} %)"
    if cell.true is None:
        return said
    return f"predicted {said}, true class {cell.true}" if cell.is_wrong else f"{said}, correct"
