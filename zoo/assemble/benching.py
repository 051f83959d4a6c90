"""`zoo bench`: a recipe's transforms or its engine, built and handed to the measuring tools. Floor 7."""

from __future__ import annotations

from typing import Any

from zoo.assemble.build import build, open_data
from zoo.assemble.check import recheck
from zoo.assemble.dry_run import PLACEHOLDER_LR
from zoo.assemble.finding import with_lr
from zoo.assemble.options import RunOptions, Settle
from zoo.assemble.run import prepare


def bench(what: str, recipe: str, options: RunOptions, settle: Settle) -> dict[str, Any]:
    """Images a second of each way, by its name; nothing is written."""
    resolved, parts = prepare(recipe, options, settle)
    dataset = open_data(resolved, options)
    if what == "transforms":
        from zoo.bench.transforms import bench_transforms

        return bench_transforms(dataset, parts.train_transforms, batch_size=parts.data.batch_size)
    from zoo.bench.engine import bench_engine

    if parts.optimization.finds_lr:
        resolved = with_lr(resolved, PLACEHOLDER_LR)
        parts = recheck(resolved)
    return bench_engine(build(resolved, parts, dataset, options).training)
