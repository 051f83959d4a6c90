"""Class by class: accuracy as text and as a chart, and what is taken for what. Floor 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zoo.report.theme import Draw, Theme, blank, short_name
from zoo.train.scores import ByClass

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WRITTEN_CELLS = 20  # up to this many classes the confusion matrix has its numbers written in
NAMED_BARS = 1000  # with more names the chart would be taller than the 65,536 pixels that can be drawn
NO_IMAGES = "no images"  # instead of an accuracy


@dataclass(frozen=True, slots=True)
class ClassRow:
    """How one class fared; ``taken_for`` are the classes it was mistaken for, most often first.

    ``precision`` is a fraction, None where no image was taken for the class.
    """

    name: str
    hits: int
    total: int
    taken_for: tuple[tuple[str, int], ...]
    precision: float | None = None

    @property
    def accuracy(self) -> float | None:
        """A fraction; None where the split has no image of the class."""
        return self.hits / self.total if self.total else None


def tint(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """How strongly each cell of the matrix is coloured, 0..1, KK, by its share of the true class.

    Few are mistaken where many are right, so that mistakes go by the square root. From a half on a cell is nearly
    full: between the two no ink, dark or light, could be read.
    """
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    right = np.eye(len(counts), dtype=bool)
    faint = 0.6 * np.where(right, 2 * shares, np.sqrt(2 * shares))
    strength: NDArray[np.float64] = np.where(shares < 0.5, faint, 0.88 + 0.12 * shares)
    return strength


def class_rows(counts: NDArray[np.int64], names: Sequence[str]) -> list[ClassRow]:
    """A row for every class, in their order."""
    rows, precision = [], ByClass.of(counts).precision
    for index, name in enumerate(names):
        others = [(names[other], int(counts[index, other])) for other in np.argsort(-counts[index], kind="stable")]
        taken_for = tuple((other, count) for other, count in others if count and other != name)
        called = None if np.isnan(precision[index]) else float(precision[index])
        rows.append(ClassRow(name, int(counts[index, index]), int(counts[index].sum()), taken_for, called))
    return rows


def accuracy_text(rows: Sequence[ClassRow]) -> str:
    """One line a class: ``Accuracy of airplanes : 94 %``, whole per cents, never rounded up."""
    return "\n".join(f"Accuracy of {row.name:>5} : {_whole_percent(row)}" for row in rows)


def _whole_percent(row: ClassRow) -> str:
    return f"{100 * row.hits // row.total:2d} %" if row.total else NO_IMAGES


def class_accuracy(rows: Sequence[ClassRow]) -> Draw:
    """Bars, one a class, with the mean; of very many classes every so many-th is named."""
    step = max(1, -(-len(rows) // NAMED_BARS))

    def draw(theme: Theme) -> Figure:
        figure, (axes,) = blank(theme, width=6.4, height=0.9 + 0.27 * len(rows) / step)
        values = [100 * (row.accuracy or 0.0) for row in rows]
        axes.barh(range(len(rows)), values, color=theme.train, height=0.72)
        for place in range(0, len(rows), step):
            row, value = rows[place], values[place]
            said = f"{value:.1f}" if row.total else NO_IMAGES
            axes.text(value + 0.8, place, said, va="center", color=theme.ink, fontsize=9)
        mean = 100 * sum(row.hits for row in rows) / max(1, sum(row.total for row in rows))
        axes.axvline(mean, color=theme.test, linewidth=1.4, linestyle=(0, (3, 2)))
        axes.set_title(f"accuracy by class (all: {mean:.2f} %)")
        axes.set_yticks(range(0, len(rows), step), [short_name(row.name) for row in rows[::step]])
        axes.set_xlim(0, 108)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("per cent")
        return figure

    return draw


def confusion_chart(counts: NDArray[np.int64], names: Sequence[str]) -> Draw:
    """The confusion matrix; the stronger a colour, the larger the share of the true class."""

    def draw(theme: Theme) -> Figure:
        size = 3.0 + 0.38 * min(len(names), 24)
        figure, (axes,) = blank(theme, width=size, height=size)
        strength = tint(counts)
        axes.imshow(_coloured(strength, theme))
        axes.grid(visible=False)
        step = max(1, -(-len(names) // 50))
        ticks = range(0, len(names), step)
        labels = [short_name(names[tick]) for tick in ticks]
        axes.set_xticks(ticks, labels, rotation=90, fontsize=9 if step == 1 else 6)
        axes.set_yticks(ticks, labels, fontsize=9 if step == 1 else 6)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_title("confusion")
        if len(names) <= WRITTEN_CELLS:
            _write_cells(axes, counts, strength, theme)
        return figure

    return draw


def _coloured(strength: NDArray[np.float64], theme: Theme) -> NDArray[np.float64]:
    """The cells' colours, RGB in 0..1, KK3: what is right in the one, mistakes in the other."""
    from matplotlib.colors import to_rgb

    right = np.eye(len(strength), dtype=bool)[:, :, None]
    inks = np.where(right, to_rgb(theme.train), to_rgb(theme.test))
    alpha = strength[:, :, None]
    return alpha * inks + (1 - alpha)


def _write_cells(axes: Axes, counts: NDArray[np.int64], strength: NDArray[np.float64], theme: Theme) -> None:
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if strength[row, column] > 0.8 else theme.ink
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour, fontsize=8.5)
