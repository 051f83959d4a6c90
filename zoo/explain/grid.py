"""Grids of explained images as PNG files, drawn by matplotlib without a display. Floor 6."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zoo.explain.overlay import enlarge, overlay

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.explain.explanation import Cell

PANEL_INCHES = 1.45
RIGHT, WRONG, INK, MUTED = "#17643b", "#b3261e", "#1b1f24", "#5b6470"


def draw_grid(cells: Sequence[Cell], path: Path, *, title: str = "", dpi: int = 160) -> Path:
    """Draws cells (the image, then its maps) into a PNG file; returns its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = grid_figure(cells, title=title)
    FigureCanvasAgg(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi, facecolor="white")
    return path


def grid_figure(cells: Sequence[Cell], *, title: str = "") -> Figure:
    """The grid as a figure: two cells a row where each has three panels, three where each has two."""
    from matplotlib.figure import Figure

    panels = 1 + max((len(cell.maps) for cell in cells), default=1)
    columns = max(1, min(len(cells), 6 // panels))
    rows = max(1, -(-len(cells) // columns))
    width, row_height = columns * (panels * PANEL_INCHES + 0.3), PANEL_INCHES + 0.54
    figure = Figure(figsize=(max(width, 3.2), rows * row_height + 0.5), layout=None)
    figure.text(0.02, 1 - 0.3 / figure.get_figheight(), title, fontsize=11, weight="bold", color=INK, va="center")
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        _draw_cell(figure, cell, left=column * (panels * PANEL_INCHES + 0.3) + 0.15, top=0.55 + row * row_height)
    return figure


def _draw_cell(figure: Figure, cell: Cell, *, left: float, top: float) -> None:
    """One cell; ``left`` and ``top`` in inches from the figure's upper left corner."""
    width, height = figure.get_size_inches()
    pictures: list[tuple[str, NDArray[np.uint8]]] = [(cell.name, enlarge(cell.image))]
    pictures += [(f"for {name}", overlay(cell.image, found)) for name, found in cell.maps]
    colour = MUTED if cell.true is None else WRONG if cell.is_wrong else RIGHT
    figure.text(left / width, 1 - (top + 0.06) / height, _headline(cell), fontsize=8.5, color=colour, va="center")
    for place, (label, picture) in enumerate(pictures):
        box = (left + place * PANEL_INCHES, top + 0.18, PANEL_INCHES - 0.08, PANEL_INCHES - 0.08)
        axes = figure.add_axes((box[0] / width, 1 - (box[1] + box[3]) / height, box[2] / width, box[3] / height))
        axes.imshow(picture)
        axes.axis("off")
        label = textwrap.shorten(label, 24, placeholder="…")
        axes.set_title(label, fontsize=7, color=MUTED, pad=-1, y=-0.11)


def _headline(cell: Cell) -> str:
    said = f"{cell.predicted} ({cell.confidence:.0%})"
    if cell.true is None:
        return said
    return f"predicted {said}, truly {cell.true}" if cell.is_wrong else f"{said}, right"
