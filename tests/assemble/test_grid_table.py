"""The table at the end of a grid: what fits, and what is cut where it does not."""

from __future__ import annotations

from typing import Any

import pytest

from zoo.assemble.grid_table import as_table

RUN = "runs/quickstart/0001"


def found(*values: dict[str, Any], seeds: list[int] | None = None, **more: Any) -> dict[str, Any]:
    figures = {"test_accuracy": {"mean": 0.5, "spread": 0.01}, "runs": [{"run_dir": RUN}], "diverged": []}
    points = [{"values": each, **figures} for each in values]
    grid = {path: [each[path] for each in values] for path in values[0]}
    best = {"values": values[0], "by": "test", "accuracy": 0.5}
    return {"grid": grid, "seeds": seeds, "points": points, "best": best, **more}


def lists(*names: str) -> list[dict[str, Any]]:
    return [{name: {"height": 32, "width": 32, "p": 0.5}} for name in names]


def test_what_fits_is_whole() -> None:
    lines = as_table(found({"optimizer.lr": 0.1}, {"optimizer.lr": [1, 2]}), 80).splitlines()
    assert lines[:3] == [
        "optimizer.lr  test accuracy  run",
        f"0.1           50.00 %        {RUN}",
        f"[1, 2]        50.00 %        {RUN}",
    ]


@pytest.mark.parametrize("columns", [80, 60, 40])
def test_values_are_cut_and_neither_accuracies_nor_folders(columns: int) -> None:
    one = {"optimizer.lr": 0.1, "transforms.train": lists("RandomCrop", "HorizontalFlip")}
    other = {"optimizer.lr": 0.1, "transforms.train": lists("RandomCrop", "VerticalFlip")}
    table = found(one, other, seeds=[0, 1])
    whole = as_table(table, 500).splitlines()
    lines = as_table(table, columns).splitlines()
    assert len(whole[1]) > 80
    if columns >= 60:
        assert max(map(len, lines[:3])) <= columns
    assert all(line.split("50.00 %")[1].split() == ["±", "1.00", RUN] for line in lines[1:3])
    assert lines[1].split()[0] == "0.1"
    assert lines[1].partition("50.00")[0] != lines[2].partition("50.00")[0]  # they are still told apart
    assert lines[3:] == whole[3:]


def test_the_folders_of_all_seeds_are_told() -> None:
    table = found({"optimizer.lr": 0.1}, seeds=[0, 1])
    table["points"][0]["runs"] = [{"run_dir": "runs/a/0001"}, {"run_dir": "runs/a/0002"}]
    assert as_table(table, 80).splitlines()[1].endswith("  runs/a/0001, 0002")
    table["points"][0]["runs"] = [{"run_dir": "out/lr=1,seed=0"}, {"run_dir": "other/lr=1,seed=1"}]
    assert as_table(table, 80).splitlines()[1].endswith("  out/lr=1,seed=0, other/lr=1,seed=1")


def test_a_title_keeps_its_end() -> None:
    table = found({"optimizer.groups.0.weight_decay": 0, "optimizer.groups.1.weight_decay": 1})
    line = as_table(table, 70).splitlines()[0]
    assert len(line) <= 70
    assert line.count("weight_decay ") == 2


def test_the_runs_that_are_left_are_told() -> None:
    assert "1 run left: --resume" in as_table(found({"optimizer.lr": 0.1}, left=1), 80)
    assert "left" not in as_table(found({"optimizer.lr": 0.1}), 80)
    assert "best" not in as_table({**found({"optimizer.lr": 0.1}, left=1), "best": None}, 80)
