"""The page's section about confidence: how often the network is right when it is so sure. Floor 6."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.diagnostics import percent
from zoo.report.folder import Run
from zoo.report.sections import Section, chart, recorded
from zoo.report.theme import Draw, Theme, blank, save_png
from zoo.train.scores import BINS, Reliability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEW = 10  # images in a bin: of fewer the accuracy says little, and its mark is hollow


def calibration(run: Run, figures: Path) -> Section | None:
    """The reliability diagram, and the expected calibration error."""
    found = run.predictions
    if found is None or not len(found["labels"]):
        return None
    hits = found["labels"] == found["predictions"]
    reliability = Reliability.of(found["confidence"], hits)
    draw = diagram(reliability)
    save_png(draw, figures / "calibration.png")
    sure, right = float(found["confidence"].mean()), float(hits.mean())
    rows = [
        {
            "range": f"{100 * at / BINS:.0f} to {100 * (at + 1) / BINS:.0f} %",
            "count": f"{reliability.counts[at]:,}",
            "confidence": percent(reliability.confidence[at]),
            "accuracy": percent(reliability.accuracy[at]),
        }
        for at in np.flatnonzero(reliability.counts).tolist()
    ]
    data = {
        "chart": chart(draw, "calibration", "accuracy over confidence; the table has the numbers"),
        "said": _in_words(sure, right),
        "error": percent(reliability.error),
        "rows": rows,
    }
    lead = "Where the dots lie on the diagonal, a confidence is the chance of being right."
    return recorded("calibration", data, lead, ("figures/calibration.png",))


def _in_words(sure: float, right: float) -> str:
    verdict = "too sure" if sure > right else "not sure enough"
    distance = f"{100 * abs(sure - right):.2f}"
    by = f": {verdict} by {distance} points" if distance != "0.00" else ""
    return f"The mean confidence is {percent(sure)}, the accuracy {percent(right)}{by}."


def diagram(reliability: Reliability) -> Draw:
    """Accuracy over confidence with the diagonal, a dot a bin, the larger the more images it has."""

    def draw(theme: Theme) -> Figure:
        figure, (axes,) = blank(theme, width=4.2, height=3.9)
        axes.plot([0, 100], [0, 100], color=theme.ink, linewidth=1, linestyle=(0, (1, 2)))
        filled = reliability.counts > 0
        counts, sure = reliability.counts[filled], 100 * reliability.confidence[filled]
        right = 100 * reliability.accuracy[filled]
        axes.vlines(sure, np.minimum(sure, right), np.maximum(sure, right), color=theme.muted, linewidth=1.2)
        areas = 12 + 150 * counts / counts.max()
        faces = np.where(counts < FEW, theme.ground, theme.test)
        axes.scatter(sure, right, s=areas, c=faces.tolist(), edgecolors=theme.test, zorder=3)
        axes.set_title("accuracy over confidence")
        axes.set_xlabel("confidence, per cent")
        axes.set_ylabel("right, per cent")
        axes.set_xlim(-3, 103)
        axes.set_ylim(-3, 103)
        return figure

    return draw
