"""`zoo run`, `zoo find-lr`: training. Roof."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.options import DataDir, Device, Out, RecipeArgument, Sets
from zoo.cli.ranks import start_ranks
from zoo.cli.session import Session
from zoo.diagnostics import percent
from zoo.errors import UsageError
from zoo.launch import announced

RunDir = Annotated[
    Path | None, typer.Option("--run-dir", metavar="DIR", help="The run folder itself (default: the next free one).")
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Run the LR range test even where its outcome is kept.")]
Seeds = Annotated[
    str | None, typer.Option("--seeds", metavar="0,1,2", help="Train once per seed; tell mean and spread.")
]
Grid = Annotated[
    list[str] | None,
    typer.Option("--grid", metavar="PATH=[A,B]", help="Train once per value; of several, once per combination."),
]


def run(
    session: Session,
    recipe: RecipeArgument,
    sets: Sets = None,
    run_dir: RunDir = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Validate, try one batch, estimate memory, time.")] = False,
    epochs: Annotated[
        float | None,
        typer.Option("--epochs", metavar="N", help="As --set train.epochs=N; may grow on --resume."),
    ] = None,
    seeds: Seeds = None,
    grid: Grid = None,
    device: Device = "auto",
    devices: Annotated[
        int,
        typer.Option("--devices", metavar="N", min=1, help="How many GPUs share each batch (on a CPU: processes)."),
    ] = 1,
    data_dir: DataDir = None,
    no_cache: NoCache = False,
) -> None:
    """Train a recipe, test it, write the reports."""
    numbers = _seed_list(seeds) if seeds is not None else None
    _refuse_twice(sets or [], grid or [], epochs is not None, seeds is not None)
    if dry_run:
        _refuse_beside_dry_run("--seeds" if seeds else "--grid" if grid else None, resume, devices, run_dir)
    elif devices > 1 and not announced().is_alone:
        _refuse_other_ranks(devices)
    elif devices > 1:
        raise typer.Exit(start_ranks(devices, as_json=session.as_json))
    session.speaks = announced().is_first
    from zoo.assemble.options import RunOptions

    options = RunOptions(
        sets=tuple(sets or ()),
        run_dir=run_dir,
        resume=resume,
        epochs=epochs,
        device=device,
        data_dir=data_dir,
        cache=not no_cache,
        quiet=session.quiet or not session.speaks,
    )
    if dry_run:
        _dry_run(session, recipe, options)
    elif numbers is not None or grid:
        _run_several(session, recipe, options, grid or [], numbers or [])
    else:
        _run_once(session, recipe, options)


def _run_once(session: Session, recipe: str, options: Any) -> None:
    from zoo.assemble.run import run_recipe

    result = run_recipe(recipe, options, session.settle, session.note)
    session.show(result, lambda: _outcome(result))


def _run_several(session: Session, recipe: str, options: Any, grid: list[str], seeds: list[int]) -> None:
    from zoo.assemble.grid_table import as_table, spread_in_words
    from zoo.assemble.several import parse_grid, run_several

    def text(found: dict[str, Any]) -> str:
        if grid:
            return as_table(found, shutil.get_terminal_size().columns)
        lines = [f"seed {run['seed']}: {percent(run['test']['accuracy'])}  {run['run_dir']}" for run in found["runs"]]
        return "\n".join([*lines, spread_in_words(found, "test_accuracy", "seed")])

    def show_done(found: dict[str, Any]) -> None:
        if not session.as_json:  # there the error that follows is the one document
            session.show(found, text(found))

    result = run_several(recipe, options, parse_grid(grid), seeds, session.settle, session.note, show_done)
    session.show(result, text(result))


def _refuse_twice(sets: list[str], grid: list[str], epochs: bool, seeds: bool) -> None:
    """Raises UsageError for a value that two options give, one of which would be lost."""
    said = {path: f"--set {path}" for path in map(_path, sets)}
    own = {"train.epochs": "--epochs"} if epochs else {}
    own |= {"seed": "--seeds"} if seeds else {}
    for path in said.keys() & own.keys():
        raise UsageError(f"{said[path]} and {own[path]} say the same", help="leave one of them out")
    for path in map(_path, grid):
        if other := own.get(path) or said.get(path):
            raise UsageError(f"--grid {path} and {other} say the same", help="leave one of them out")
    _refuse_to_replace(own | said, map(_path, grid))


def _refuse_to_replace(said: dict[str, str], grid: Iterable[str]) -> None:
    """Raises UsageError for an axis that replaces a whole of which another option gave a part."""
    for path in grid:
        for part, other in said.items():
            if part.startswith(f"{path}."):
                first = f"--grid {path} in front of it" if other.startswith("--grid") else "write it into each value"
                raise UsageError(f"--grid {path} and {other} say the same: the one replaces the other", help=first)
        said = {**said, path: f"--grid {path}"}


def _path(text: str) -> str:
    """The path of PATH=VALUE."""
    return text.partition("=")[0].strip()


def _refuse_beside_dry_run(several: str | None, resume: bool, devices: int, run_dir: Path | None) -> None:
    """Raises UsageError for the options that a dry run would have to ignore."""
    if several is not None:
        one = "leave --seeds out, or --set seed=N" if several == "--seeds" else "leave --grid out"
        raise UsageError(f"--dry-run tries one run, {several} names several", help=one)
    if resume:
        raise UsageError("--dry-run begins no run and goes on with none", help="leave --resume out")
    if devices > 1:
        raise UsageError("--dry-run tries one device", help="leave --devices out")
    if run_dir is not None:
        raise UsageError("--dry-run writes no run folder", help="leave --run-dir out")


def _refuse_other_ranks(devices: int) -> None:
    """Raises UsageError where another number of ranks was started by another program."""
    if devices != announced().count:
        raise UsageError(f"--devices {devices} in one of {announced().count} processes", help="leave --devices out")


def _dry_run(session: Session, recipe: str, options: Any) -> None:
    from zoo.assemble.dry_run import dry_run

    found = dry_run(recipe, options, session.settle, session.note)
    session.show(found.as_data(), found.as_text())


def _seed_list(text: str) -> list[int]:
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds wants different whole numbers such as 0,1,2, got {text!r}")
    return seeds


def _outcome(result: dict[str, Any]) -> str:
    """The lines that end a run."""
    from zoo.train.result import verdicts

    test, target = result.get("test") or {}, result.get("target") or {}
    lines = []
    if test.get("accuracy") is not None:
        tta = test.get("accuracy_tta")
        lines.append(
            f"test accuracy {percent(test['accuracy'])}" + (f", with TTA {percent(tta)}" if tta is not None else "")
        )
    for verdict in verdicts(target, test):
        of = " with TTA" if verdict.name.endswith("_tta") else ""
        said = "not measured" if verdict.reached is None else "met" if verdict.is_met else "not met"
        lines.append(f"target {percent(verdict.bar)}{of}: {said}")
    lines.append(f"run folder {result['run_dir']}")
    return "\n".join(lines)


def find_lr(
    session: Session,
    recipe: RecipeArgument,
    sets: Sets = None,
    device: Device = "auto",
    data_dir: DataDir = None,
    out: Out = None,
    no_cache: NoCache = False,
) -> None:
    """Run the LR range test: its curve, what each rule suggests."""
    from zoo.assemble.find_lr import find_learning_rate
    from zoo.assemble.options import RunOptions

    options = RunOptions(
        sets=tuple(sets or ()), device=device, data_dir=data_dir, cache=not no_cache, quiet=session.quiet
    )
    found = find_learning_rate(recipe, options, session.settle, session.note, out=out)
    session.show(found.as_data(), found.as_text())
