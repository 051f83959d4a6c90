"""What `zoo ls runs` makes of run folders: those that are whole, those that ended early, and damaged ones."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from zoo.assemble.run_listing import Run, _apart, all_runs, as_table

RECIPE = """
name: {name}
train: {{epochs: {epochs}, ema: {ema}}}
optimizer: {{name: {optimizer}, lr: {lr}}}
schedule: {{name: OneCycleLR, max_lr: 3}}
transforms: {{train: {transforms}}}
seed: {seed}
"""
USUAL = {"epochs": 4, "ema": "null", "optimizer": "SGD", "lr": 0.1, "seed": 0, "transforms": "[Normalize]"}


def make(name: str, number: int, end: dict[str, Any] | None = None, step: int | None = None, **values: Any) -> Path:
    """A run's folder under ``runs``; ``end`` is what is in result.json or end.json, by its name."""
    folder = Path("runs") / name / f"{number:04d}"
    folder.mkdir(parents=True)
    (folder / "resolved.yaml").write_text(RECIPE.format(name=name, **{**USUAL, **values}))
    for file, content in (end or {}).items():
        (folder / f"{file}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    if step is not None:
        (folder / "checkpoints" / "last").mkdir(parents=True)
        (folder / "checkpoints" / "last" / "manifest.json").write_text(json.dumps({"step": step}))
    return folder


def done(accuracy: float, epochs: float = 4) -> dict[str, Any]:
    return {"result": {"test": {"accuracy": accuracy}, "epochs": epochs}}


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table(columns: int = 80) -> list[str]:
    return as_table(list(all_runs()), columns).splitlines()


def test_a_run_shows_its_seed_its_outcome_and_what_most_runs_of_its_name_do_not_share() -> None:
    make("a", 1, done(0.5))
    make("a", 2, done(0.25, 0.5), lr=0.3, seed=1, epochs=0.5)
    make("a", 3, done(0.5), optimizer="Adam")
    make("b", 10, done(0.125), seed=7)
    assert table() == [
        "run          seed  test acc  trained     what differs",
        "runs/a/0001  0     50.00 %   4 epochs",
        "runs/a/0002  1     25.00 %   0.5 epochs  epochs=0.5 lr=0.3",
        "runs/a/0003  0     50.00 %   4 epochs    optimizer.name=Adam",
        "runs/b/0010  7     12.50 %   4 epochs",
    ]


def test_the_points_of_a_grid_all_show_their_values() -> None:
    for number, (lr, epochs) in enumerate([(0.1, 2), (0.1, 4), (0.3, 2), (0.3, 4)], start=1):
        make("a", number, done(0.5), lr=lr, epochs=epochs)
    assert [line.split()[-2:] for line in table()[1:]] == [
        ["epochs=2", "lr=0.1"],
        ["epochs=4", "lr=0.1"],
        ["epochs=2", "lr=0.3"],
        ["epochs=4", "lr=0.3"],
    ]
    (run, *_) = all_runs()
    assert run.as_data()["differs"] == {"train.epochs": 2, "optimizer.lr": 0.1}


def test_values_of_one_name_and_of_some_length_stay_apart_in_80_columns() -> None:
    make("a", 1, done(0.5))
    make("a", 2, done(0.5), transforms="[HorizontalFlip, VerticalFlip, Normalize]", ema="{decay: 0.9}", seed=1, lr=0.3)
    lines = table()
    assert max(map(len, lines)) <= 80
    assert lines[1].endswith("lr=0.1 ema=null train=[Normalize]")
    assert lines[2].endswith("lr=0.3 ema={decay: 0.9} train=[Horizonta…")
    assert table(200)[2].endswith("train=[HorizontalFlip…")
    rows = [run.as_data() for run in all_runs()]
    assert rows[1]["differs"]["transforms.train"] == ["HorizontalFlip", "VerticalFlip", "Normalize"]


def test_two_paths_that_end_alike_are_told_in_full() -> None:
    folder = make("a", 2, done(0.5), lr=0.3)
    text = (folder / "resolved.yaml").read_text().replace("max_lr: 3}", "lr: 4}")
    (folder / "resolved.yaml").write_text(text)
    make("a", 1, done(0.5)).joinpath("resolved.yaml").write_text(text.replace("lr: 4", "lr: 3").replace("0.3", "0.1"))
    assert table()[2].endswith("optimizer.lr=0.3 schedule.lr=4")


def test_a_path_is_told_as_far_as_no_other_value_of_the_recipe_ends_alike() -> None:
    """The optimizer's name is the same in both runs: `name` alone could be it all the same."""
    make("a", 1, done(0.5))
    folder = make("a", 2, done(0.5), epochs=8)
    text = (folder / "resolved.yaml").read_text().replace("OneCycleLR", "LinearLR")
    (folder / "resolved.yaml").write_text(text)
    assert table()[2].endswith("epochs=8 schedule.name=LinearLR")


def test_runs_that_ended_early_say_how() -> None:
    make("a", 1, {"end": {"code": "stopped", "message": "stopped by SIGINT"}}, step=1234)
    make("a", 2, {"end": {"code": "diverged", "message": "the loss is not finite"}})
    make("a", 3, {"end": {"code": "out-of-memory", "message": "out of memory"}})
    make("a", 4, step=7)
    assert [run.outcome for run in all_runs()] == [
        "stopped, saved after step 1,234",
        "diverged, nothing saved",
        "failed, nothing saved",
        "not finished, saved after step 7",
    ]
    assert [line.split(maxsplit=2)[2] for line in table()[1:]] == [
        "stopped       step 1,234",
        "diverged      -",
        "failed        -",
        "not finished  step 7",
    ]


DAMAGE = ["", "{", "[]", "null", '{"test": 3}', '{"test": {"accuracy": NaN}, "epochs": 1}', "\x00"]
DAMAGE += [f'{{"test": {{"accuracy": {figure}}}, "epochs": 1}}' for figure in ("1" + 400 * "0", "1e300")]


@pytest.mark.parametrize("text", DAMAGE)
def test_damaged_files_are_no_reason_to_fall(text: str) -> None:
    make("a", 1, done(0.5))
    make("a", 2, {"result": text})
    make("a", 3, {"end": text}).joinpath("checkpoints").write_text("a file")
    folder = make("a", 4, done(0.75))
    (folder / "resolved.yaml").write_text(text)
    (Path("runs/a/0005") / "result.json").mkdir(parents=True)
    (Path("runs/a/0005") / "resolved.yaml").write_bytes(b"\xff\xfe")
    states = [(run.state, run.seed) for run in all_runs()]
    assert states == [("finished", 0), ("damaged", 0), ("not finished", 0), ("finished", None), ("not finished", None)]
    assert table()[4].split()[1] == "?"


def test_many_runs_are_listed_quickly() -> None:
    for number in range(1, 101):
        make("a", number, done(0.5), lr=number)
    begun = time.perf_counter()
    assert len(table()) == 101
    assert time.perf_counter() - begun < 5


def test_the_time_grows_with_the_runs_and_no_faster() -> None:
    values = [{"train": {str(key): number for key in range(20)}} for number in range(4000)]
    begun = time.perf_counter()
    apart = _apart(values)
    folders = [Path(f"runs/a/{number:04d}") for number in range(len(values))]
    as_table(
        [Run(folder, "failed", 0, None, None, None, *each) for folder, each in zip(folders, apart, strict=True)], 80
    )
    assert time.perf_counter() - begun < 10  # where every run looks at every other it is a minute and more


@pytest.mark.parametrize("columns", [1, 20, 40, 80])
def test_a_narrow_terminal_and_a_long_name_cost_no_outcome(columns: int) -> None:
    make("a", 1, done(0.5))
    make("a", 2, done(0.25), lr=0.3)
    make("b" * 60, 1, done(0.125), seed=7)
    lines = table(columns)
    assert [line.split()[1:6] for line in lines[1:3]] == [
        ["0", "50.00", "%", "4", "epochs"],
        ["0", "25.00", "%", "4", "epochs"],
    ]
    assert lines[3].split()[1:] == ["7", "12.50", "%", "4", "epochs"]
    assert all(len(line) <= max(columns, 40) for line in lines[:3])
