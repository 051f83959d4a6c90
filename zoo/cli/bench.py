"""`zoo bench`: images a second, two ways side by side in one run. Roof."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from zoo.cli.options import DataDir, Device, RecipeArgument, Sets
from zoo.cli.output import print_json, print_text
from zoo.cli.session import Session, command


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this family."""
    command(app, "bench")(bench)


class What(StrEnum):
    """What is measured."""

    transforms = "transforms"
    engine = "engine"


def bench(
    session: Session,
    what: Annotated[What, typer.Argument(metavar="transforms|engine", help="What to measure.")],
    recipe: RecipeArgument,
    sets: Sets = None,
    device: Device = "auto",
    data_dir: DataDir = None,
) -> None:
    """Measure transforms (batched against per sample) or the engine (against a bare loop)."""
    from zoo.assemble.benching import bench as measure
    from zoo.assemble.options import RunOptions

    options = RunOptions(sets=tuple(sets or ()), device=device, data_dir=data_dir, quiet=session.quiet)
    found = measure(what.value, recipe, options, session.settle)
    if session.as_json:
        print_json(found)
        return
    width = max(map(len, found))
    rates = {name: figures["images_per_second"] for name, figures in found.items() if isinstance(figures, dict)}
    print_text("\n".join(f"{name:<{width}}  {rate:>10,.0f} images/s" for name, rate in rates.items()))
