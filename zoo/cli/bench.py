"""`zoo bench transforms`, `zoo bench engine`: images a second, side by side in one run. Roof."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from zoo.cli.options import DataDir, Device, RecipeArgument, Sets
from zoo.cli.session import Session


class What(StrEnum):
    """What is measured."""

    transforms = "transforms"
    engine = "engine"


def bench(
    session: Session,
    what: Annotated[
        What,
        typer.Argument(
            metavar="transforms|engine",
            help="Batched transforms beside albumentations', or the engine beside a bare loop.",
        ),
    ],
    recipe: RecipeArgument,
    sets: Sets = None,
    device: Device = "auto",
    data_dir: DataDir = None,
) -> None:
    """Measure images a second of two forms, side by side."""
    from zoo.assemble.benching import bench_recipe_engine, bench_recipe_transforms
    from zoo.assemble.options import RunOptions

    options = RunOptions(sets=tuple(sets or ()), device=device, data_dir=data_dir, quiet=session.quiet)
    measure: Any = bench_recipe_transforms if what is What.transforms else bench_recipe_engine
    found = measure(recipe, options, session.settle)
    session.show(found.as_data(), found.as_text())
