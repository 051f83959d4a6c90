"""A sheet of paper for pictures and words, measured in inches from its upper left corner. Floor 6.

One matplotlib axes for the whole sheet: an axes for every picture would cost forty milliseconds each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    def words(self, text: str, x: float, y: float, *, size: float = 7.5, colour: str = INK, **look: Any) -> None:
        """Writes words; ``y`` is their baseline."""
        self._axes.text(x, y, text, fontsize=size, color=colour, va="baseline", **look)

    def save(self, path: Path, *, dpi: int = 170) -> Path:
        """Saves the sheet and returns its path."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        FigureCanvasAgg(self._figure)
        path.parent.mkdir(parents=True, exist_ok=True)
        width, height = self._figure.get_size_inches()
        self._axes.set(xlim=(0, width), ylim=(height, 0))
        self._figure.savefig(path, dpi=dpi)
        return path
