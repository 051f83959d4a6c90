"""The runs there are, what each came to, and what tells those of one recipe from each other. Floor 7; no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.columns import cells, padded, shortened
from zoo.diagnostics import Diagnostics, counted, percent
from zoo.disk import read_mapping
from zoo.document import plain, read_file
from zoo.document.writer import flow_text
from zoo.layout import CHECKPOINTS, END, LAST, MANIFEST, RESOLVED, RESULT, RUNS, is_file, is_run, numbered

_MISSING = object()
_MINOR = ("doc", "reports", "explain", "target", "tracking")  # sections that change nothing of what is learnt
_WIDEST = 16  # characters of a value in the table
_LARGEST = 2**53  # figures beyond it are damage
_ENDS = {"diverged": "diverged", "stopped": "stopped"}  # the codes of errors that have a word of their own


@dataclass(frozen=True)
class Run:
    """One run, as its folder has it; what cannot be read there is None."""

    folder: Path
    state: str  # finished, diverged, stopped, failed, damaged, not finished
    seed: int | None
    accuracy: float | None  # on the test set, of a finished run
    epochs: float | None
    step: int | None  # of the last checkpoint, of any other
    differs: dict[str, Any] = field(default_factory=dict)  # values that are not the same in all runs of its name
    unusual: dict[str, str] = field(
        default_factory=dict
    )  # of those that most runs do not share: paths, and short forms

    @property
    def outcome(self) -> str:
        """What it came to, in a few words."""
        if self.state == "finished":
            return f"test accuracy {percent(self.accuracy)} after {counted(self.epochs or 0, 'epoch')}"
        return f"{self.state}, {'nothing saved' if self.step is None else f'saved after step {self.step:,}'}"

    def as_data(self) -> dict[str, Any]:
        """The run as plain data, for ``--json``."""
        return {
            "name": str(self.folder),
            "doc": self.outcome,
            "state": self.state,
            "seed": self.seed,
            "test_accuracy": self.accuracy,
            "epochs": self.epochs,
            "step": self.step,
            "differs": self.differs,
        }


def all_runs(root: Path = RUNS) -> Iterator[Run]:
    """Every run below a folder, recipe by recipe, first to last."""
    for series in sorted(root.glob("*")):
        folders = [folder for folder in numbered(series) if is_run(folder)]
        recipes = [_recipe(folder) for folder in folders]
        apart = iter(_apart([recipe for recipe in recipes if recipe]))
        for folder, recipe in zip(folders, recipes, strict=True):
            yield _run(folder, recipe, *(next(apart) if recipe else ({}, {})))


def runs_of(name: str, root: Path = RUNS) -> list[Run]:
    """The runs of a recipe's name, which may be written as the folder that they lie in; none where there are none."""
    return [run for run in all_runs(root) if run.folder.parent in (root / name, Path(name))]


def _recipe(folder: Path) -> dict[str, Any]:
    """A run's recipe with every value; empty where it is damaged."""
    document = read_file(folder / RESOLVED, Diagnostics())
    found = plain(document) if document is not None else {}
    return found if isinstance(found, dict) else {}


def _run(folder: Path, recipe: dict[str, Any], differs: dict[str, Any], unusual: dict[str, str]) -> Run:
    seed = recipe.get("seed")
    seed = seed if type(seed) is int else None
    accuracy, epochs = _figures(read_mapping(folder / RESULT))
    if accuracy is not None:
        return Run(folder, "finished", seed, accuracy, epochs, None, differs, unusual)
    end = read_mapping(folder / END).get("code")
    state = "not finished" if end is None else _ENDS.get(str(end), "failed")
    state = "damaged" if is_file(folder / RESULT) else state
    step = read_mapping(folder / CHECKPOINTS / LAST / MANIFEST).get("step")
    return Run(folder, state, seed, None, None, step if type(step) is int else None, differs, unusual)


def _figures(result: dict[str, Any]) -> tuple[float | None, float | None]:
    """Accuracy and epochs of a finished run; None where the file does not say."""
    test = result.get("test")
    figures: list[Any] = [test.get("accuracy") if isinstance(test, dict) else None, result.get("epochs")]
    if not all(type(figure) in (int, float) and abs(figure) < _LARGEST for figure in figures):  # no NaN either
        return None, None
    accuracy, epochs = figures
    return accuracy, int(epochs) if float(epochs).is_integer() else epochs


def _apart(recipes: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """Of each recipe the values, by their paths, that are not the same in all; and those that most do not share, by the
    end of its path that no other value of these recipes bears.

    The seed, which has its place, is left out. Numbers and words come before lists, and in front what has the most
    values, as the axes of a grid do.
    """
    found = {path: values for path, values in _differing(recipes, "") if path != "seed"}
    counts = {path: Counter(map(repr, values)) for path, values in found.items()}
    long = {path for path, values in found.items() if any(isinstance(value, dict | list) for value in values)}
    order = sorted(found, key=lambda path: (path.partition(".")[0] in _MINOR, path in long, -len(counts[path])))
    bearers = Counter(end for path in {path for each in recipes for path in _paths(each, "")} for end in _ends(path))
    short = {path: next((end for end in _ends(path) if bearers[end] == 1), path) for path in order}
    apart = []
    for index in range(len(recipes)):
        own = {path: found[path][index] for path in order if found[path][index] is not _MISSING}
        unusual = {path: short[path] for path in own if 2 * counts[path][repr(own[path])] <= len(recipes)}
        apart.append((own, unusual))
    return apart


def _paths(value: Any, path: str) -> Iterator[str]:
    """The paths of all values but sections."""
    if not isinstance(value, dict):
        yield path
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in below:
        yield from _paths(each, f"{path}.{key}" if path else str(key))


def _ends(path: str) -> Iterator[str]:
    """What a path may be cut to, shortest first; no end begins with the number of a list's item."""
    words = path.split(".")
    return (".".join(words[at:]) for at in reversed(range(len(words))) if not words[at].isdecimal())


def _differing(values: Sequence[Any], path: str) -> Iterator[tuple[str, Sequence[Any]]]:
    """Where these values differ, as far down as they have the same form."""
    if all(value == values[0] for value in values):
        return
    parts: dict[str, list[Any]] = {}
    if all(isinstance(value, dict) for value in values):
        keys = dict.fromkeys(key for value in values for key in value)
        parts = {key: [value.get(key, _MISSING) for value in values] for key in keys}
    elif all(isinstance(value, list) and len(value) == len(values[0]) for value in values):
        parts = {str(index): [value[index] for value in values] for index in range(len(values[0]))}
    if not parts:
        yield path, values
    for key, below in parts.items():
        yield from _differing(below, f"{path}.{key}" if path else key)


def as_table(runs: Sequence[Run], columns: int) -> str:
    """The runs, a line each, for people; what differs is cut, alone, where the line would be wider than ``columns``."""
    rows = [("run", "seed", "test acc", "trained")]
    for run in runs:
        done = run.state == "finished"
        saved = "-" if run.step is None else f"step {run.step:,}"
        figures = (percent(run.accuracy), counted(run.epochs or 0, "epoch")) if done else (run.state, saved)
        rows.append((str(run.folder), "?" if run.seed is None else str(run.seed), *figures))
    differences = _differences(runs)
    differences.insert(0, "what differs" if any(differences) else "")
    # A name of some length shifts its own line alone.
    lengths = [[cells(text) for text in column] for column in zip(*rows, strict=True)]
    widths = [max((one for one in column if one <= columns // 2), default=0) for column in lengths]
    whole = ["  ".join(map(padded, row, widths)) for row in rows]
    return "\n".join(_line(text, differ, columns) for text, differ in zip(whole, differences, strict=True))


def _line(whole: str, differs: str, columns: int) -> str:
    room = columns - cells(whole) - 2
    return f"{whole}  {shortened(differs, room)}".rstrip() if room > 0 else whole.rstrip()


def _differences(runs: Sequence[Run]) -> list[str]:
    """``max_lr=0.1 epochs=4``: what most do not share."""
    shown = ({end: flow_text(run.differs[path]) for path, end in run.unusual.items()} for run in runs)
    return [" ".join(f"{end}={shortened(value, _WIDEST)}" for end, value in each.items()) for each in shown]
