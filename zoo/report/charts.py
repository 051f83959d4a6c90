"""Charts of the training: loss and accuracy, the learning rate, the LR range test. Floor 6.

Each function gives a ``Draw``: the same chart in any theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zoo.report.folder import Run
from zoo.report.theme import Draw, Theme, blank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPLITS = {"train": "--", "test": "-", "validation": "-."}  # told apart without colours, too
RULES = {  # of the range test: what a reader calls it, and what it takes
    "valley": ("valley", "the middle of the longest fall"),
    "steep": ("steepest", "where the loss falls fastest"),
    "minimum": ("minimum / 10", "a tenth of where the loss is lowest"),
    "slide": ("slide", "the last steep stretch before the loss rises"),
}


def loss_and_accuracy(run: Run) -> Draw:
    """Both side by side, for the file."""

    def draw(theme: Theme) -> Figure:
        figure, axes = blank(theme, columns=2)
        _curve(axes[0], run, "loss", theme)
        _curve(axes[1], run, "accuracy", theme)
        return figure

    return draw


def curve(run: Run, figure_of: str) -> Draw:
    """``loss`` or ``accuracy`` over the epochs."""

    def draw(theme: Theme) -> Figure:
        figure, axes = blank(theme)
        _curve(axes[0], run, figure_of, theme)
        return figure

    return draw


def points(run: Run, split: str, figure_of: str) -> tuple[list[float], list[float]]:
    """Epochs and values of a split, where it was measured."""
    lines = [(line["epoch"], (line.get(split) or {}).get(figure_of)) for line in run.epochs]
    found = [(float(epoch), float(value)) for epoch, value in lines if value is not None]
    return [epoch for epoch, _ in found], [value for _, value in found]


def _curve(axes: Axes, run: Run, figure_of: str, theme: Theme) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    for split, dashes in SPLITS.items():
        epochs, values = points(run, split, figure_of)
        if values:
            marker = "o" if len(values) < 3 else None
            axes.plot(epochs, values, dashes, color=getattr(theme, split), label=split, marker=marker, markersize=4)
            if split == "test":
                axes.plot(epochs[-1], values[-1], "o", color=theme.test, markersize=5)
    target = (run.result.get("target") or {}).get("test_accuracy") if figure_of == "accuracy" else None
    if target is not None:
        axes.axhline(target, color=theme.ink, linewidth=1, linestyle=(0, (1, 2)), label=f"target {100 * target:g} %")
    if figure_of == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None, symbol=" %"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))
    axes.set_title(figure_of)
    axes.set_xlabel("epoch")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", handlelength=2.2)


def lr_find(test: dict[str, Any]) -> Draw:
    """The LR range test: loss over learning rate, and what every rule suggests."""

    def draw(theme: Theme) -> Figure:
        figure, (axes,) = blank(theme)
        lrs, losses = test["lrs"], test["losses"]
        axes.plot(lrs, test["raw_losses"], color=theme.train, linewidth=0.9, alpha=0.35)
        axes.plot(lrs, losses, color=theme.train)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")  # matplotlib's own are formulas
        axes.xaxis.set_minor_formatter("")
        low, high = min([*losses, *test["raw_losses"]]), losses[0]
        axes.set_ylim(low - 0.1 * (high - low), high + 0.3 * (high - low) if high > low else None)
        _suggestions(axes, test, theme)
        axes.set_title("smoothed loss")
        axes.set_xlabel("learning rate")
        return figure

    return draw


def _suggestions(axes: Axes, test: dict[str, Any], theme: Theme) -> None:
    shapes = dict(zip(RULES, "osD^", strict=True))
    for rule, lr in test["suggestions"].items():
        loss = _interpolated(test["lrs"], test["losses"], lr)
        name, _ = RULES.get(rule, (rule, ""))
        axes.plot(lr, loss, shapes.get(rule, "v"), color=theme.test, markersize=7, label=f"{name}: {lr:.3g}")
    chosen = test["chosen"]
    axes.axvline(chosen, color=theme.ink, linewidth=1, linestyle=(0, (1, 2)), label=f"taken: {chosen:.4g}")
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0, handlelength=1.6)


def _interpolated(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    import numpy as np

    return float(np.interp(x, xs, ys))
