"""One recipe trained with several seeds: mean and spread. Floor 7."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from zoo.assemble.options import RunOptions, Say, Settle
from zoo.assemble.run import run_recipe
from zoo.train import RunFolder


def run_seeds(recipe: str, options: RunOptions, seeds: Sequence[int], settle: Settle, note: Say) -> dict[str, Any]:
    """Trains once per seed. ``spread`` is the sample standard deviation; figures are the last epoch's."""
    runs: list[dict[str, Any]] = []
    each = options.for_seeds(seeds)
    for one in each:  # a folder that cannot be had is told before the first training, not after it
        if one.run_dir is not None:
            RunFolder.planned(one.run_dir, resume=one.resume)
    for seed, one in zip(seeds, each, strict=True):
        note(f"seed {seed} ({len(runs) + 1} of {len(seeds)})")
        runs.append(run_recipe(recipe, one, settle, note))
    figures: dict[str, Any] = {
        "seeds": list(seeds),
        "test_accuracy": _spread([run["test"]["accuracy"] for run in runs]),
    }
    with_tta = [run["test"].get("accuracy_tta") for run in runs]
    if None not in with_tta:
        figures["test_accuracy_tta"] = _spread(with_tta)
    return {**figures, "runs": runs}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "mean": statistics.fmean(values),
        "spread": statistics.stdev(values) if len(values) > 1 else 0.0,
        "min": min(values),
        "max": max(values),
    }
