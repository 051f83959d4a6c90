"""One recipe trained several times, with other seeds or other values, and what came out of each. Floor 7."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from zoo.assemble.check import check_against_data, checked
from zoo.assemble.options import RunOptions, Say, Settle
from zoo.assemble.run import run_recipe
from zoo.diagnostics import Diagnostics, counted
from zoo.document import Sequence as SequenceNode
from zoo.document import plain
from zoo.document.reader import read_value
from zoo.document.writer import flow_text
from zoo.errors import DivergedError, UsageError, raise_if_errors
from zoo.layout import METRICS
from zoo.report.folder import folder_faults
from zoo.train import RunFolder


@dataclass(frozen=True)
class Axis:
    """A value of the recipe, by its dotted path, and what it shall be, one after another."""

    path: str
    values: tuple[Any, ...]


def parse_grid(texts: Iterable[str]) -> tuple[Axis, ...]:
    """The axes of ``--grid PATH=[A, B]``. Raises UsageError and ConfigError for another form, and for a path twice."""
    axes: dict[str, Axis] = {}
    for text in texts:
        path, _, written = text.partition("=")
        path, diagnostics = path.strip(), Diagnostics()
        node = read_value(written, diagnostics, name=f"--grid {path}")
        raise_if_errors(diagnostics)
        values = tuple(plain(node)) if isinstance(node, SequenceNode) else ()
        if not values or not all(path.split(".")) or len({flow_text(value) for value in values}) < len(values):
            example = "for example --grid 'optimizer.lr=[0.05, 0.1, 0.2]'"
            raise UsageError(f"--grid wants PATH=[different values], got {text!r}", help=example)
        if path in axes:
            raise UsageError(f"--grid {path} stands there twice", help="all its values in one list")
        axes[path] = Axis(path, values)
    return tuple(axes.values())


def run_several(
    recipe: str, options: RunOptions, axes: Sequence[Axis], seeds: Sequence[int], settle: Settle, note: Say
) -> dict[str, Any]:
    """Trains once for every combination of the axes' values and for every seed; figures are the last epoch's.

    Without axes it gives ``seeds``, mean and spread (the sample standard deviation), and the ``runs``; with axes the
    same for each of the ``points``, and which is ``best``: a point that diverges costs no other.
    Raises what a run raises: ConfigError before the first training, DivergedError where every point diverged.
    """
    paths, values = [axis.path for axis in axes], [axis.values for axis in axes]
    points = [dict(zip(paths, chosen, strict=True)) for chosen in product(*values)]
    each = [_runs(options, point, axes, seeds) for point in points]
    for runs in each:  # what cannot be is told before the first training
        if axes:
            _check(recipe, runs[0])  # another seed is as right
        for run_dir in (one.run_dir for one in runs if one.run_dir is not None):
            RunFolder.planned(run_dir, resume=options.resume)
    trainer = _Trainer(recipe, settle, note, sum(map(len, each)))
    if not axes:
        return {"seeds": list(seeds), **_figures(trainer.all_of(each[0]))}
    found = [_point(trainer, point, runs) for point, runs in zip(points, each, strict=True)]
    if trainer.diverged is not None and all(point["diverged"] for point in found):
        raise trainer.diverged
    grid = {axis.path: list(axis.values) for axis in axes}
    return {"grid": grid, "seeds": list(seeds) or None, "points": found, "best": _best(found)}


def _runs(options: RunOptions, point: dict[str, Any], axes: Sequence[Axis], seeds: Sequence[int]) -> list[RunOptions]:
    """The options of a point's runs, one a seed."""
    several = [word for axis in axes for word in ("--grid", f"{axis.path}={flow_text(list(axis.values))}")]
    several += ["--seeds", ",".join(map(str, seeds))] if seeds else []
    varied = [f"{path}={flow_text(value)}" for path, value in point.items()]
    return [options.for_one([*varied, *own], several) for own in ([[f"seed={seed}"] for seed in seeds] or [[]])]


def _check(recipe: str, options: RunOptions) -> None:
    diagnostics = Diagnostics()
    resolved, parts = checked(recipe, diagnostics, sets=options.all_sets)
    if resolved is not None and parts is not None:
        check_against_data(resolved, parts, diagnostics)
    raise_if_errors(diagnostics)


class _Trainer:
    """Trains one run after another, and counts them."""

    def __init__(self, recipe: str, settle: Settle, note: Say, total: int) -> None:
        self._recipe, self._settle, self._note, self._total = recipe, settle, note, total
        self._begun = 0
        self.diverged: DivergedError | None = None  # the last one

    def all_of(self, each: Sequence[RunOptions]) -> list[dict[str, Any]]:
        """The results of these runs. Raises what a run raises."""
        return [self._one(options) for options in each]

    def _one(self, options: RunOptions) -> dict[str, Any]:
        self._begun += 1
        self._note(f"{', '.join(options.varied)} ({self._begun} of {self._total})")
        return run_recipe(self._recipe, options, self._settle, self._note)

    def those_that_end(self, each: Sequence[RunOptions]) -> tuple[list[dict[str, Any]], list[str]]:
        """The results of those that do not diverge, and what the others say."""
        results, said = [], []
        for options in each:
            try:
                results.append(self._one(options))
            except DivergedError as error:
                self.diverged = error
                said.append(error.message)
                self._note(f"{', '.join(options.varied)} diverged: {error.message}")
        return results, said


def _point(trainer: _Trainer, values: dict[str, Any], each: Sequence[RunOptions]) -> dict[str, Any]:
    results, diverged = trainer.those_that_end(each)
    return {"values": values, **(_figures(results) if results else {"runs": []}), "diverged": diverged}


def _figures(runs: list[dict[str, Any]]) -> dict[str, Any]:
    accuracies = [_accuracies(run) for run in runs]
    whole = (name for name in accuracies[0] if all(name in each for each in accuracies))
    return {**{name: _spread([each[name] for each in accuracies]) for name in whole}, "runs": runs}


def _accuracies(run: dict[str, Any]) -> dict[str, float]:
    """A run's last accuracies; on the validation set too, where there is one. Raises CheckpointError."""
    folder = Path(run["run_dir"])
    with folder_faults(folder):  # one that was finished before may be damaged
        lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
        epochs: list[dict[str, Any]] = [line for line in map(json.loads, lines) if line.get("event") == "epoch"]
        test, held_out = run["test"], (epochs[-1].get("validation") or {}) if epochs else {}
        found = {
            "test_accuracy": test["accuracy"],
            "test_accuracy_tta": test.get("accuracy_tta"),
            "validation_accuracy": held_out.get("accuracy"),
        }
        return {name: float(accuracy) for name, accuracy in found.items() if accuracy is not None}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "mean": statistics.fmean(values),
        "spread": statistics.stdev(values) if len(values) > 1 else 0.0,
        "min": min(values),
        "max": max(values),
    }


def _best(points: list[dict[str, Any]]) -> dict[str, Any]:
    """The point of the highest mean accuracy: on the validation set where there is one, else on the test set."""
    whole = [point for point in points if not point["diverged"]] or [point for point in points if point["runs"]]
    by = "validation" if all("validation_accuracy" in point for point in whole) else "test"
    best = max(whole, key=lambda point: point[f"{by}_accuracy"]["mean"])
    return {"values": best["values"], "by": by, "accuracy": best[f"{by}_accuracy"]["mean"]}


def as_table(found: dict[str, Any]) -> str:
    """What a grid gave, a line a point, for people."""
    from zoo.diagnostics import percent

    by = ["validation", "test"] if any("validation_accuracy" in point for point in found["points"]) else ["test"]
    several = len(found["seeds"] or ()) > 1
    rows = [[*found["grid"], *(f"{split} accuracy" for split in by), "run"]]
    for point in found["points"]:
        figures = [point.get(f"{split}_accuracy") for split in by]
        said = [
            "diverged" if each is None else percent(each["mean"]) + several * f" ± {100 * each['spread']:.2f}"
            for each in figures
        ]
        if point["diverged"] and point["runs"]:
            said[-1] += f", {counted(len(point['diverged']), 'run')} diverged"
        where = point["runs"][0]["run_dir"] if point["runs"] else ""
        rows.append([*map(flow_text, point["values"].values()), *said, where])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    best, of = found["best"], "spread: the standard deviation over seeds" if several else ""
    values = ", ".join(f"{path}={flow_text(value)}" for path, value in best["values"].items())
    lines += [of] if of else []
    flatters = "" if best["by"] == "validation" else ", which flatters it (data.validation: 0.1 holds images out)"
    return "\n".join([*lines, f"best by the {best['by']} set{flatters}: {values}"])
