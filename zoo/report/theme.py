"""One look for all charts: as PNG files on white, and as SVG that follows the page's light or dark colours. Floor 6.

For the page a chart is drawn in marker colours, which are then replaced by the page's CSS variables; its text
stays text, in the page's own font.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.disk import make_folder, write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def short_name(name: str) -> str:
    """A name that leaves a chart its room: its middle is left out, for names often differ at their ends."""
    if len(name) <= LONGEST_NAME:
        return name
    tail = LONGEST_NAME // 3
    return f"{name[: LONGEST_NAME - 1 - tail].rstrip()}…{name[-tail:].strip()}"


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of a chart."""

    ink: str
    muted: str
    grid: str
    train: str
    test: str
    validation: str
    ground: str


LONGEST_NAME = 24  # characters beside a chart

PAPER = Theme("#1b1f24", "#5b6470", "#e3e6ea", "#2458c5", "#b4420f", "#0b7365", "#ffffff")
MARKERS = Theme("#010101", "#020202", "#030303", "#040404", "#050505", "#060606", "#070707")

Draw = Callable[[Theme], "Figure"]

_STYLE = {
    "font.size": 10.5,
    "font.family": "sans-serif",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.9,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.borderpad": 0.2,
    "legend.fontsize": 10,
    "text.parse_math": False,  # a dollar sign in a name begins no formula
    "svg.fonttype": "none",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.09,
    "figure.constrained_layout.h_pad": 0.09,
}


def blank(theme: Theme, *, columns: int = 1, width: float = 4.7, height: float = 2.9) -> tuple[Figure, list[Axes]]:
    """A figure with that many charts side by side; ``width`` and ``height`` of one, in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height), facecolor=theme.ground)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for chart in axes:
        chart.tick_params(length=0)
    return figure, list(axes)


def _styled(theme: Theme) -> AbstractContextManager[None]:
    """matplotlib's settings in these colours, for the length of a ``with`` block: they count while drawing, too."""
    from matplotlib import rc_context

    colours = {
        "text.color": theme.ink,
        "axes.titlecolor": theme.ink,
        "axes.labelcolor": theme.muted,
        "axes.edgecolor": theme.grid,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "grid.color": theme.grid,
        "legend.labelcolor": theme.ink,
        "axes.facecolor": "none",
    }
    return rc_context(_STYLE | colours)  # type: ignore[arg-type]  # the stubs want every key by name


def save_png(draw: Draw, path: Path, *, dpi: int = 200) -> Path:
    """Draws a chart into a PNG file, whole or not at all, at twice a screen's resolution; returns its path.

    Raises EnvironmentFault.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    content = io.BytesIO()
    with _styled(PAPER):
        figure = draw(PAPER)
        FigureCanvasAgg(figure)
        figure.savefig(content, format="png", dpi=dpi)
    make_folder(path.parent)
    write_atomically(path, content.getvalue())
    return path


def inline_svg(draw: Draw, *, name: str, description: str) -> str:
    """Draws a chart as an ``<svg>`` element for the page; ``name`` keeps ids apart, ``description`` is its alt text."""
    from html import escape

    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    with _styled(MARKERS), rc_context({"svg.hashsalt": name}):
        figure = draw(MARKERS)
        FigureCanvasSVG(figure)
        figure.savefig(buffer, format="svg", facecolor="none", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="(figure|axes|patch|text|line2d|legend|matplotlib\.axis|xtick|ytick)_\d+"', "", text)
    for role in Theme.__dataclass_fields__:
        text = text.replace(getattr(MARKERS, role), f"var(--chart-{role})")
    box = re.search(r'viewBox="[^"]*"', text)
    head = f'<svg class="chart" {box.group(0) if box else ""} role="img" aria-label="{escape(description)}">'
    return re.sub(r"<svg[^>]*>", lambda _: head, text, count=1)
