"""`zoo find-lr`: the LR range test by itself. Floor 7."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from zoo.assemble.build import open_data
from zoo.assemble.max_lr import Found, run_range_test
from zoo.assemble.options import RunOptions, Settle
from zoo.assemble.run import prepare
from zoo.diagnostics import Say
from zoo.disk import make_folder
from zoo.report import draw_range_test


@dataclass(frozen=True)
class FoundRate:
    """The curve, what every rule suggests, and the rate that `find` takes."""

    found: Found
    figure: Path | None = None

    def as_data(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        test = self.found.range_test
        return {
            "lrs": list(test.lrs),
            "losses": list(test.losses),
            "suggestions": dict(test.suggestions),
            "rule": test.rule,
            "chosen": self.found.lr,
            "ran_now": self.found.is_new,
            "kept": str(self.found.kept) if self.found.kept else None,
            "figure": str(self.figure) if self.figure else None,
        }

    def as_text(self) -> str:
        """What people read."""
        test = self.found.range_test
        width = max(map(len, test.suggestions))
        lines = [*curve(test.lrs, test.losses, width=64, height=12), ""]
        lines += [f"{name:<{width}}  {rate:.4g}" for name, rate in test.suggestions.items()]
        lines.append(f"find takes {self.found.lr!r} ({test.rule})")
        if self.found.kept is not None:
            lines.append(f"{'kept' if self.found.is_new else 'run before and kept'} in {self.found.kept}")
        lines.append(str(self.figure) if self.figure else "--out DIR draws the curve")
        return "\n".join(lines)


def curve(lrs: Sequence[float], losses: Sequence[float], *, width: int, height: int) -> list[str]:
    """The curve in letters: the loss against the rate on a log scale, each column the mean of what falls into it.

    What is higher than the curve was on its way down, where the loss diverges, is drawn at the top.
    """
    top = max(losses[: 1 + losses.index(min(losses))])
    losses = [min(loss, top) for loss in losses]
    places = _spread([math.log(lr) for lr in lrs], width)
    columns = {place: fmean(loss for at, loss in zip(places, losses, strict=True) if at == place) for place in places}
    rows = [[" "] * width for _ in range(height)]
    for column, row in zip(columns, _spread(list(columns.values()), height), strict=True):
        rows[height - 1 - row][column] = "*"
    labels = [f"{max(columns.values()):.4f}", *[""] * (height - 2), f"{min(columns.values()):.4f}"]
    margin = max(map(len, labels))
    first, last = f"{lrs[0]:.4g}", f"{lrs[-1]:.4g}"
    return [
        f"{'loss':>{margin}}",
        *(f"{label:>{margin}} |{''.join(row).rstrip()}" for label, row in zip(labels, rows, strict=True)),
        f"{'':>{margin}} +{'-' * width}",
        f"{'lr':>{margin}}  {first}{last:>{width - len(first)}}",
    ]


def _spread(values: Sequence[float], size: int) -> list[int]:
    """Where each value lies among so many evenly spaced places from the smallest to the largest."""
    low, high = min(values), max(values)
    return [round((value - low) / ((high - low) or 1) * (size - 1)) for value in values]


def find_learning_rate(
    recipe: str, options: RunOptions, settle: Settle, note: Say, *, out: Path | None = None
) -> FoundRate:
    """Runs the LR range test of a recipe, whether or not it says `find`; ``out`` is a folder for the figure."""
    checked = prepare(recipe, options, settle)
    if out is not None:
        make_folder(out)
    dataset = open_data(checked.resolved, data_dir=options.data_dir, quiet=options.quiet)
    found = run_range_test(checked, dataset, options.device, note, cache=options.cache, tell_of=note)
    if out is None:
        return FoundRate(found)
    figure = out / f"lr_find_{checked.recipe.name}.png"
    draw_range_test(found.range_test, figure)
    return FoundRate(found, figure)
