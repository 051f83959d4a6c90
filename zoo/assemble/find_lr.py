"""`zoo find-lr`: the LR range test by itself. Floor 7."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.assemble.build import open_data
from zoo.assemble.finding import Found, run_range_test
from zoo.assemble.options import RunOptions, Settle
from zoo.assemble.run import prepare
from zoo.report import draw_range_test


@dataclass(frozen=True)
class FoundRate:
    """The curve, what every rule suggests, and the rate a run would use."""

    found: Found
    figure: Path | None = None

    def as_data(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        test = self.found.range_test
        return {
            "lrs": list(test.lrs),
            "losses": list(test.losses),
            "suggestions": dict(test.suggestions),
            "chosen": self.found.lr,
            "figure": str(self.figure) if self.figure else None,
        }

    def as_text(self) -> str:
        """What people read."""
        suggestions = self.found.range_test.suggestions
        width = max(map(len, suggestions))
        lines = [
            f"{name:<{width}}  {rate:.4g}" if rate is not None else f"{name:<{width}}  none"
            for name, rate in suggestions.items()
        ]
        lines.append(f"a run would use {self.found.lr!r}")
        lines.append(str(self.figure) if self.figure else "--out DIR draws the curve")
        return "\n".join(lines)


def find_learning_rate(recipe: str, options: RunOptions, settle: Settle, *, out: Path | None = None) -> FoundRate:
    """Runs the LR range test of a recipe, whether or not it says `find`; ``out`` is a folder for the figure."""
    resolved, parts = prepare(recipe, options, settle)
    dataset = open_data(resolved, options)
    found = run_range_test(resolved, parts, dataset, options)
    if out is None:
        return FoundRate(found)
    out.mkdir(parents=True, exist_ok=True)
    figure = out / "lr_find.png"
    draw_range_test(found.range_test, figure)
    return FoundRate(found, figure)
