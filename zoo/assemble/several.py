"""One recipe trained several times, with other seeds or other values, and what came out of each. Floor 7."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from zoo.assemble.check import check_against_data, checked_recipe
from zoo.assemble.options import RunOptions, Settle
from zoo.assemble.run import run_recipe
from zoo.data import LastOpened
from zoo.diagnostics import Diagnostics, Say
from zoo.document import Override, plain
from zoo.document import Sequence as SequenceNode
from zoo.document.reader import read_value
from zoo.document.writer import flow_text
from zoo.errors import DivergedError, UsageError, ZooError, raise_if_errors
from zoo.layout import METRICS
from zoo.report.folder import folder_faults
from zoo.train import RunFolder, Said

ShowDone = Callable[[dict[str, Any]], None]
FOLD = "data.fold"  # the axis that repeats a training, as seeds do, and is no choice


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
        node = read_value(written, diagnostics, name=f"--grid {path}", option="--grid")
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
    recipe: str,
    options: RunOptions,
    axes: Sequence[Axis],
    seeds: Sequence[int],
    settle: Settle,
    note: Say,
    show_done: ShowDone = lambda found: None,
) -> dict[str, Any]:
    """Trains once for every combination of the axes' values and for every seed; figures are the last epoch's.

    Without axes it gives ``seeds``, mean and spread (the sample standard deviation), and the ``runs``; with axes the
    same for each of the ``points``, and which is ``best``: a point that diverges costs no other. An axis of folds
    repeats the others: ``over_folds`` has each point with all its folds, and of these is the best.
    Raises what a run raises: ConfigError before the first training, DivergedError where every point diverged. Before
    that ``show_done`` is handed what those runs gave that are done, if there are any, and how many are ``left``.
    """
    paths, values = [axis.path for axis in axes], [axis.values for axis in axes]
    points = [_Point(dict(zip(paths, chosen, strict=True))) for chosen in product(*values)]
    each = [_runs(options, point.values, axes, seeds) for point in points]
    for runs in each:  # what cannot be is told before the first training
        if axes:
            _check(recipe, runs[0])  # another seed is as right
        for run_dir in (one.run_dir for one in runs if one.run_dir is not None):
            RunFolder.planned(run_dir, resume=options.resume)
    trainer = _Trainer(recipe, settle, note, sum(map(len, each)), paths)
    try:
        for point, runs in zip(points, each, strict=True):
            trainer.train(point, runs)
        if trainer.diverged is not None and all(point.diverged for point in points):
            raise trainer.diverged
    except ZooError:
        if any(point.runs for point in points):
            show_done(_outcome(axes, seeds, points, trainer.left))
        raise
    return _outcome(axes, seeds, points, 0)


def _runs(options: RunOptions, point: dict[str, Any], axes: Sequence[Axis], seeds: Sequence[int]) -> list[RunOptions]:
    """The options of a point's runs, one a seed."""
    several = [word for axis in axes for word in ("--grid", f"{axis.path}={flow_text(list(axis.values))}")]
    several += ["--seeds", ",".join(map(str, seeds))] if seeds else []
    values = [Override(path, flow_text(value), "--grid") for path, value in point.items()]
    each = [[Override("seed", str(seed), "--seeds")] for seed in seeds] or [[]]
    return [options.for_one([*values, *own], several) for own in each]


def _check(recipe: str, options: RunOptions) -> None:
    diagnostics = Diagnostics()
    found = checked_recipe(recipe, diagnostics, overrides=options.overrides)
    if found is not None:
        check_against_data(found, diagnostics)
    raise_if_errors(diagnostics)


@dataclass
class _Point:
    """A combination of the axes' values, and what its runs gave."""

    values: dict[str, Any]
    runs: list[dict[str, Any]] = field(default_factory=list)  # results
    accuracies: list[dict[str, float]] = field(default_factory=list)  # of each of them
    diverged: list[str] = field(default_factory=list)  # what the other runs said

    def as_data(self) -> dict[str, Any]:
        """The point as plain data."""
        return {"values": self.values, **self.figures(), "diverged": self.diverged}

    def figures(self) -> dict[str, Any]:
        """Mean and spread of those accuracies that all runs have, and the runs."""
        names = dict.fromkeys(name for each in self.accuracies for name in each)
        whole = [name for name in names if all(name in each for each in self.accuracies)]
        return {**{name: _spread([each[name] for each in self.accuracies]) for name in whole}, "runs": self.runs}


class _Trainer:
    """Trains one run after another, and counts them.

    What a run says as the one before it did is said once, and data that are the same are opened once.
    """

    def __init__(self, recipe: str, settle: Settle, note: Say, total: int, paths: Sequence[str]) -> None:
        self._recipe, self._settle, self._note, self._total, self._paths = recipe, settle, note, total, paths
        self._begun = 0
        self._ended = 0
        self._said, self._last_opened = Said(), LastOpened()
        self.diverged: DivergedError | None = None  # the last one

    @property
    def left(self) -> int:
        """How many runs have not come to an end."""
        return self._total - self._ended

    def train(self, point: _Point, each: Sequence[RunOptions]) -> None:
        """Trains a point's runs. Raises what a run raises, where there is a grid but DivergedError."""
        for options in each:
            try:
                result = self._one(options)
                accuracies = _accuracies(result)
            except DivergedError as error:
                if not self._paths:
                    raise
                self.diverged = error
                point.diverged.append(error.message)
                self._note(f"{_said_of(options)} diverged: {error.message}")
            else:
                point.runs.append(result)
                point.accuracies.append(accuracies)
            self._ended += 1

    def _one(self, options: RunOptions) -> dict[str, Any]:
        self._begun += 1
        self._said.next_run()
        self._note(f"{_said_of(options)} ({self._begun} of {self._total})")
        options = replace(options, said=self._said, last_opened=self._last_opened)
        return run_recipe(self._recipe, options, self._settle_news, self._note_news)

    def _settle_news(self, diagnostics: Diagnostics) -> None:
        news = Diagnostics()
        news.extend(item for item in diagnostics if self._said.is_news(item) or item.severity == "error")
        self._settle(news)

    def _note_news(self, text: str) -> None:
        if self._said.is_news(text):
            self._note(text)


def _said_of(options: RunOptions) -> str:
    """What tells a run from the others."""
    return ", ".join(map(str, options.varied))


def _outcome(axes: Sequence[Axis], seeds: Sequence[int], points: Sequence[_Point], left: int) -> dict[str, Any]:
    """What is told of the runs that are done."""
    if not axes:
        (point,) = points
        return {"seeds": [run["seed"] for run in point.runs], **point.figures()}
    begun = [point for point in points if point.runs or point.diverged]
    found = [point.as_data() for point in begun]
    grid = {axis.path: list(axis.values) for axis in axes}
    rest: dict[str, Any] = {"left": left} if left else {}
    choices = found
    if FOLD in grid:
        rest["over_folds"] = choices = [point.as_data() for point in _over_folds(begun)]
    best = _best(choices) if grid.keys() != {FOLD} else None
    return {"grid": grid, "seeds": list(seeds) or None, "points": found, "best": best, **rest}


def _over_folds(points: Sequence[_Point]) -> list[_Point]:
    """The points with all their folds in one, in the order in which they begin."""
    found: dict[str, _Point] = {}
    for point in points:
        values = {path: value for path, value in point.values.items() if path != FOLD}
        whole = found.setdefault(flow_text(values), _Point(values))
        whole.runs += point.runs
        whole.accuracies += point.accuracies
        whole.diverged += point.diverged
    return list(found.values())


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


def _best(points: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The point of the highest mean accuracy: on the validation set where there is one, else on the test set."""
    whole = [point for point in points if not point["diverged"]] or [point for point in points if point["runs"]]
    if not whole:
        return None
    by = "validation" if all("validation_accuracy" in point for point in whole) else "test"
    best = max(whole, key=lambda point: point[f"{by}_accuracy"]["mean"])
    return {"values": best["values"], "by": by, "accuracy": best[f"{by}_accuracy"]["mean"]}
