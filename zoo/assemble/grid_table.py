"""What a grid gave, as a table for people. Floor 7; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.assemble.several import FOLD
from zoo.columns import cells, end_of, in_columns, shortened_within, widest
from zoo.diagnostics import counted, percent
from zoo.document.writer import flow_text

_NARROWEST = 8  # columns that a value keeps, however narrow the terminal


def as_table(found: dict[str, Any], columns: int) -> str:
    """What a grid gave, a line a point; values are cut, accuracies and folders are not, to fit so many columns."""
    by = ["validation", "test"] if any("validation_accuracy" in point for point in found["points"]) else ["test"]
    several = len(found["seeds"] or ()) > 1
    titles = [*(f"{split} accuracy" for split in by), "run"]
    rows = [titles, *([*_figures(point, by, several), _where(point)] for point in found["points"])]
    lines = _table(list(found["grid"]), found["points"], rows, columns)
    return "\n".join([*lines, *_over_folds(found, by, columns), *_remarks(found, several)])


def _table(paths: Sequence[str], points: Sequence[dict[str, Any]], rows: list[list[str]], columns: int) -> list[str]:
    """The lines of a table: the axes in front of the rows, of which the first has the titles."""
    widths = [widest(column) for column in zip(*rows, strict=True)]
    values = [[flow_text(point["values"][path]) for point in points] for path in paths]
    axes = _fitted(paths, values, columns - sum(widths) - 2 * len(widths))
    return in_columns([[*(axis[at] for axis in axes), *row] for at, row in enumerate(rows)])


def _over_folds(found: dict[str, Any], by: Sequence[str], columns: int) -> list[str]:
    """What the folds of each point gave together: of one point in words, of several as a table."""
    points, paths = found.get("over_folds", []), [path for path in found["grid"] if path != FOLD]
    if not paths:
        noun = "run" if len(found["seeds"] or ()) > 1 else "fold"
        return [spread_in_words(point, f"{split}_accuracy", noun) for point in points for split in by]
    if not points:
        return []
    titles = [f"{split} accuracy over folds" for split in by]
    rows = [titles, *(_figures(point, by, several=True) for point in points)]
    return ["", *_table(paths, points, rows, columns), ""]


def _figures(point: dict[str, Any], by: Sequence[str], several: bool) -> list[str]:
    figures = [point.get(f"{split}_accuracy") for split in by]
    said = [
        "diverged" if each is None else percent(each["mean"]) + several * f" ± {100 * each['spread']:.2f}"
        for each in figures
    ]
    if point["diverged"] and point["runs"]:
        said[-1] += f", {counted(len(point['diverged']), 'run')} diverged"
    return said


def spread_in_words(figures: dict[str, Any], name: str, noun: str) -> str:
    """Mean and spread of an accuracy over so many runs, which are seeds or folds, in a line."""
    of, count = figures[name], counted(len(figures["runs"]), noun)
    return (
        f"{name.replace('_', ' ')} over {count}: mean {percent(of['mean'])}, spread (standard deviation) "
        f"{percent(of['spread'])}, worst {percent(of['min'])}, best {percent(of['max'])}"
    )


def _where(point: dict[str, Any]) -> str:
    """The folders of a point's runs; what all paths begin with is said once: ``runs/mine/0001, 0002``."""
    folders = [Path(run["run_dir"]) for run in point["runs"]]
    beside = all(folder.parent == folders[0].parent for folder in folders)
    return ", ".join([*map(str, folders[:1]), *(folder.name if beside else str(folder) for folder in folders[1:])])


def _fitted(paths: Sequence[str], values: Sequence[Sequence[str]], room: int) -> list[list[str]]:
    """The axes' columns, titles first; the widest are narrowed until all fit into the room, if they can."""
    widths = [widest([path, *each]) for path, each in zip(paths, values, strict=True)]
    while sum(widths) + 2 * len(widths) - 2 > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return [
        [_cut_in_front(path, width), *_cut_apart(each, width)]
        for path, each, width in zip(paths, values, widths, strict=True)
    ]


def _cut_in_front(path: str, width: int) -> str:
    """A path whose last word is what matters."""
    return path if cells(path) <= width else f"…{end_of(path, width - 1)}"


def _cut_apart(values: Sequence[str], width: int) -> list[str]:
    """Values cut in their middle; those that look alike then are numbered."""
    cut = {value: shortened_within(value, width) for value in values}
    if len({*cut.values()}) < len(cut):
        cut = {value: shortened_within(f"{number}: {value}", width) for number, value in enumerate(cut, start=1)}
    return [cut[value] for value in values]


def _remarks(found: dict[str, Any], several: bool) -> list[str]:
    """The lines below the table."""
    folds = "over_folds" in found and len(found["grid"]) > 1
    over = " and ".join(["folds"] * folds + ["seeds"] * several)
    lines = [f"spread: the standard deviation over {over}"] if over else []
    if found.get("left"):
        lines.append(f"{counted(found['left'], 'run')} left: --resume goes on with those that are not finished")
    best = found["best"]
    if best is not None:
        values = ", ".join(f"{path}={flow_text(value)}" for path, value in best["values"].items())
        flatters = "" if best["by"] == "validation" else ", which flatters it (data.validation: 0.1 holds images out)"
        lines.append(f"best by the {best['by']} set{flatters}: {values}")
    return lines
