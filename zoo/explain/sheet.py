"""A sheet of paper for pictures and words, measured in inches from its upper left corner. Floor 6.

One matplotlib axes for the whole sheet: an axes for every picture would cost forty milliseconds each.
"""

from __future__ import annotations

import io
from bisect import bisect
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.disk import make_folder, write_atomically

INK, MUTED = "#1b1f24", "#5b6470"


class Sheet:
    """Draws pictures and words and saves them as one PNG file."""

    def __init__(self, width: float, height: float, title: str = "") -> None:
        from matplotlib.figure import Figure

        self._figure = Figure(figsize=(width, height), facecolor="white")
        self._axes: Any = self._figure.add_axes((0, 0, 1, 1))
        self._axes.axis("off")
        self._axes.set(xlim=(0, width), ylim=(height, 0))
        self.words(title, 0.12, 0.3, size=11, weight="bold")

    def picture(self, image: NDArray[np.uint8], left: float, top: float, side: float) -> None:
        """Draws an image into a square, its proportions kept; small images keep their hard pixels."""
        height, width = image.shape[:2]
        across, down = side * width / max(height, width), side * height / max(height, width)
        extent = (left, left + across, top + down, top)
        smoothing = "nearest" if max(height, width) <= 256 else "antialiased"
        self._axes.imshow(image, extent=extent, interpolation=smoothing, aspect="auto", cmap="gray")

    def words(
        self, text: str, x: float, y: float, *, size: float = 7.5, colour: str = INK,
        width: float | None = None, keep_end: bool = False, tail: str = "", **look: Any,
    ) -> None:  # fmt: skip
        """Writes words as they are, formulas are none; ``y`` is their baseline.

        What does not fit into ``width`` is left out at the end, or with ``keep_end`` at the beginning; never the
        ``tail`` that follows.
        """
        if width is not None:
            text = elided(text, width - inches(tail, size), size, keep_end=keep_end)
        self._axes.text(x, y, text + tail, fontsize=size, color=colour, va="baseline", parse_math=False, **look)

    def save(self, path: Path, *, dpi: int = 170) -> Path:
        """Saves the sheet, whole or not at all, and returns its path. Raises EnvironmentFault."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        FigureCanvasAgg(self._figure)
        width, height = self._figure.get_size_inches()
        self._axes.set(xlim=(0, width), ylim=(height, 0))
        content = io.BytesIO()
        self._figure.savefig(content, format="png", dpi=dpi)
        make_folder(path.parent)
        write_atomically(path, content.getvalue())
        return path


def elided(text: str, width: float, size: float, *, keep_end: bool = False) -> str:
    """As much of a text as fits into so many inches at this size in points; an ellipsis stands for the rest."""
    if inches(text, size) <= width:
        return text

    def shown(count: int) -> str:
        return f"…{text[len(text) - count :].lstrip()}" if keep_end else f"{text[:count].rstrip()}…"

    return shown(bisect(range(1, len(text)), width, key=lambda count: inches(shown(count), size)))


def inches(text: str, size: float) -> float:
    """How wide a text of this size in points is."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)
    return float(width) / 72
