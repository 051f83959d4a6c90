"""Several runs of one recipe: a grid of values, seeds, and what came out of each."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from zoo.assemble import several
from zoo.assemble.grid_table import as_table
from zoo.assemble.options import RunOptions
from zoo.assemble.several import Axis, parse_grid, run_several
from zoo.diagnostics import Diagnostics
from zoo.document import Override
from zoo.errors import CheckpointError, ConfigError, DataError, DivergedError, UsageError, raise_if_errors

QUIET = RunOptions(quiet=True)


def trained(recipe: Path, *grid: str, seeds: tuple[int, ...] = (), options: RunOptions = QUIET) -> dict[str, Any]:
    return run_several(str(recipe), options, parse_grid(grid), seeds, raise_if_errors, lambda text: None)


def folders(found: dict[str, Any]) -> list[str]:
    return [run["run_dir"] for point in found["points"] for run in point["runs"]]


def test_the_axes_of_a_grid() -> None:
    assert parse_grid(["a.b=[1, 1e-3, no]", "c=[{d: 1}, null]"]) == (
        Axis("a.b", (1, 0.001, "no")),
        Axis("c", ({"d": 1}, None)),
    )


@pytest.mark.parametrize("text", ["lr", "lr=", "lr=0.1", "lr=[]", "=[1, 2]", "a..b=[1, 2]", "lr=[1, 1]", "lr={a: 1}"])
def test_what_is_no_axis(text: str) -> None:
    with pytest.raises(UsageError, match=r"--grid wants PATH=\[different values\]"):
        parse_grid([text])


def test_a_path_has_one_axis_and_its_yaml_is_judged() -> None:
    with pytest.raises(UsageError, match="twice"):
        parse_grid(["lr=[1, 2]", " lr =[3, 4]"])
    with pytest.raises(ConfigError):
        parse_grid(["lr=[1, 2"])


def test_every_combination_is_trained_once_for_every_seed(recipe: Path) -> None:
    found = trained(recipe, "schedule.max_lr=[0.2, 0.01]", "train.epochs=[1]", seeds=(3, 4))
    values = [point["values"] for point in found["points"]]
    assert values == [{"schedule.max_lr": lr, "train.epochs": epochs} for lr in (0.2, 0.01) for epochs in (1,)]
    assert folders(found) == [f"runs/tiny/{number:04}" for number in range(1, 5)]
    for point in found["points"]:
        assert [(run["seed"], run["epochs"]) for run in point["runs"]] == [
            (seed, point["values"]["train.epochs"]) for seed in (3, 4)
        ]
        for run in point["runs"]:
            resolved = yaml.safe_load((Path(run["run_dir"]) / "resolved.yaml").read_text())
            assert resolved["schedule"]["max_lr"] == point["values"]["schedule.max_lr"]
        accuracies = [run["test"]["accuracy"] for run in point["runs"]]
        assert point["test_accuracy"]["mean"] == pytest.approx(np.mean(accuracies))
        assert point["test_accuracy"]["spread"] == pytest.approx(np.std(accuracies, ddof=1))
    best = max(found["points"], key=lambda point: point["test_accuracy"]["mean"])
    assert found["best"] == {"values": best["values"], "by": "test", "accuracy": best["test_accuracy"]["mean"]}
    table = as_table(found, 80).splitlines()
    assert len({len(line[: line.index("runs/")]) for line in table[1:3]}) == 1  # columns are aligned
    assert table[0].split() == ["schedule.max_lr", "train.epochs", "test", "accuracy", "run"]
    assert "best by the test set, which flatters it" in table[-1]


def test_a_grid_resumes_each_run_by_its_values(recipe: Path) -> None:
    grid = ("optimizer.momentum=[0.9, $(2 * 0.25)]", "train.ema=[null, {decay: 0.5}]")
    first = trained(recipe, grid[0])
    both = trained(recipe, *grid, options=replace(QUIET, resume=True))
    # Of those that the grid had already the two without an average are taken up; the others are new.
    assert folders(first) == ["runs/tiny/0001", "runs/tiny/0002"]
    assert folders(both) == ["runs/tiny/0001", "runs/tiny/0003", "runs/tiny/0002", "runs/tiny/0004"]
    named = trained(recipe, grid[0], options=replace(QUIET, run_dir=Path("grid")))
    assert folders(named)[0] == "grid/optimizer.momentum=0.9"
    assert folders(named)[1].startswith("grid/optimizer.momentum=_2_0.25_-")
    assert [run["seconds"] for point in first["points"] for run in point["runs"]] == [
        run["seconds"] for point in both["points"][::2] for run in point["runs"]
    ]  # none was trained again


PAD = "{PadIfNeeded: {min_height: 10, min_width: 10}}, {RandomCrop: {height: 8, width: 8}}"


@pytest.mark.parametrize(
    "axis",
    [
        "optimizer=[{name: SGD, lr: 0.1}, {name: SGD, lr: 0.1, momentum: 0.9}]",  # the one lies within the other
        f"transforms.train=[[Normalize], [{PAD}, Normalize]]",  # their defaults are filled in
        "schedule.max_lr=[0.1, find]",  # the run has the rate that was found
        "model.architecture=[a.yaml, b.yaml]",  # the run has a copy under another name
    ],
)
def test_a_run_is_found_by_what_its_values_mean(recipe: Path, axis: str) -> None:
    net = "input: [1, 8, 8]\nlayers: {flat: {op: flatten, start_dim: 1}, fc: {op: Linear, out_features: 10}}\n"
    (recipe.parent / "a.yaml").write_text(net)
    (recipe.parent / "b.yaml").write_text(net.replace("10}}", "10, bias: false}}"))
    sets = {"optimizer": ("schedule=null",), "model": ("model={architecture: a.yaml}",)}
    options = replace(QUIET, sets=sets.get(axis.partition(".")[0].partition("=")[0], ()))
    assert folders(trained(recipe, axis, options=options)) == ["runs/tiny/0001", "runs/tiny/0002"]
    again = trained(recipe, axis, options=replace(options, resume=True))
    assert folders(again) == ["runs/tiny/0001", "runs/tiny/0002"]


def test_a_finished_run_that_was_damaged_since(recipe: Path) -> None:
    trained(recipe, "optimizer.momentum=[0.9, 0.8]")
    for text in ('{"epochs": 1, "test": 3}', '{"epochs": 1, "test": {}}', '{"epochs": 1, "test": {"accuracy": "x"}}'):
        Path("runs/tiny/0001/result.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"runs/tiny/0001"):
            trained(recipe, "optimizer.momentum=[0.9, 0.8]", options=replace(QUIET, resume=True))


def test_every_point_has_a_folder_of_its_own_with_a_name_that_can_be(recipe: Path) -> None:
    options = replace(QUIET, run_dir=Path("grid"))
    texts = ["a/b", "a b", "x" * 300, "x" * 301, "字" * 90]
    names = [options.for_one([Override("doc", text)], []).run_dir for text in texts]
    assert len({*names}) == len(texts)
    assert all(name is not None and name.parent == Path("grid") and len(name.name.encode()) < 256 for name in names)
    assert options.for_one([Override("optimizer.lr", "0.1"), Override("seed", "0")], []).run_dir == Path(
        "grid/optimizer.lr=0.1,seed=0"
    )


def test_each_seed_of_several_resumes_its_own_folder(recipe: Path) -> None:
    first = trained(recipe, seeds=(0, 1))
    longer = trained(recipe, seeds=(0, 1, 2), options=replace(QUIET, resume=True, epochs=2))
    paths = ["runs/tiny/0001", "runs/tiny/0002", "runs/tiny/0003"]
    assert [result["run_dir"] for result in first["runs"]] == paths[:2]
    assert [(result["run_dir"], result["seed"], result["epochs"]) for result in longer["runs"]] == [
        (path, seed, 2)
        for seed, path in enumerate(paths)  # seed 2 had not begun: it has a new one
    ]


def test_what_is_wrong_in_one_is_told_before_the_first(recipe: Path) -> None:
    with pytest.raises(ConfigError, match="momentum"):
        trained(recipe, "optimizer.momentum=[0.9, -1]")
    with pytest.raises(ConfigError, match="unknown key 'momentun'"):
        trained(recipe, "optimizer.momentun=[0.9, 0.8]")
    with pytest.raises(ConfigError, match="weight has 2 numbers"):  # what the data set tells without being opened
        trained(recipe, "loss=[{}, {weight: [1, 2]}]")
    assert not Path("runs").exists()


def test_one_that_diverges_costs_no_other(recipe: Path) -> None:
    grid = ("schedule.max_lr=[1e30, 0.2]",)
    options = replace(QUIET, sets=("optimizer.momentum=0", "schedule.cycle_momentum=false"))
    found = trained(recipe, *grid, options=options)
    assert [bool(point["diverged"]) for point in found["points"]] == [True, False]
    assert found["best"]["values"] == {"schedule.max_lr": 0.2}
    assert as_table(found, 80).splitlines()[1].split()[-1] == "diverged"
    with pytest.raises(DivergedError):
        trained(recipe, "schedule.max_lr=[1e30, 1e31]", options=options)


def test_the_validation_set_chooses_where_there_is_one(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = trained(recipe, "train.epochs=[1, 2]", options=replace(QUIET, sets=("data.validation=0.2",)))
    for point in found["points"]:
        (run,) = point["runs"]
        lines = (Path(run["run_dir"]) / "metrics.jsonl").read_text().splitlines()
        assert point["validation_accuracy"]["mean"] == json.loads(lines[-1])["validation"]["accuracy"]
    assert found["best"]["by"] == "validation"
    turned = [{**found["points"][0], "validation_accuracy": {"mean": 1.0}}, found["points"][1]]
    assert several._best(turned)["values"] == {"train.epochs": 1}
    assert "flatters" not in as_table(found, 80)


def test_folds_repeat_a_training_as_seeds_do(recipe: Path) -> None:
    folds = replace(QUIET, sets=("data.folds=3",))
    found = trained(recipe, "data.fold=[0, 1, 2]", options=folds)
    assert [point["values"] for point in found["points"]] == [{"data.fold": fold} for fold in range(3)]
    each = [point["validation_accuracy"]["mean"] for point in found["points"]]
    assert len({*each}) > 1
    (whole,) = found["over_folds"]
    assert whole["validation_accuracy"]["mean"] == pytest.approx(np.mean(each))
    assert whole["validation_accuracy"]["spread"] == pytest.approx(np.std(each, ddof=1))
    assert [run["run_dir"] for run in whole["runs"]] == folders(found)
    assert found["best"] is None  # a fold is no choice
    lines = as_table(found, 80).splitlines()
    assert lines[0].split() == ["data.fold", "validation", "accuracy", "test", "accuracy", "run"]
    mean = f"{100 * np.mean(each):.2f} %"
    assert lines[4].startswith(f"validation accuracy over 3 folds: mean {mean}, spread (standard deviation) ")
    assert lines[5].startswith("test accuracy over 3 folds: ")
    assert len(lines) == 6


def test_the_best_is_that_of_all_folds(recipe: Path) -> None:
    grid = ("data.fold=[0, 1]", "train.epochs=[1, 2]")
    found = trained(recipe, *grid, seeds=(0, 1), options=replace(QUIET, sets=("data.folds=2",)))
    each = {
        epochs: [
            point["validation_accuracy"]["mean"]
            for point in found["points"]
            if point["values"]["train.epochs"] == epochs
        ]
        for epochs in (1, 2)
    }
    whole = {point["values"]["train.epochs"]: point for point in found["over_folds"]}
    assert [point["values"] for point in found["over_folds"]] == [{"train.epochs": 1}, {"train.epochs": 2}]
    for epochs, point in whole.items():
        assert len(point["runs"]) == 4
        assert point["validation_accuracy"]["mean"] == pytest.approx(np.mean(each[epochs]))
    best = max(whole, key=lambda epochs: whole[epochs]["validation_accuracy"]["mean"])
    assert (found["best"]["values"], found["best"]["by"]) == ({"train.epochs": best}, "validation")
    lines = as_table(found, 80).splitlines()
    titles = ["train.epochs", "validation", "accuracy", "over", "folds", "test", "accuracy", "over", "folds"]
    assert lines[6].split() == titles
    assert lines[-2:] == [
        "spread: the standard deviation over folds and seeds",
        f"best by the validation set: train.epochs={best}",
    ]


def test_a_fold_resumes_and_learns_from_its_own_part(recipe: Path) -> None:
    """Stopped early, weighed by its classes, gone on with: as with `validation`."""
    sets = ("data={source: digits, folds: 3, fold: 2, batch_size: 256}", "loss={weight: balanced}", "schedule=null")
    stopping = (*sets, "train={epochs: 4, early_stopping: {patience: 1, metric: accuracy, min_delta: 0.9}}")
    ended = trained(recipe, seeds=(0,), options=replace(QUIET, sets=stopping))["runs"][0]
    assert (ended["epochs"], ended["stopped_early"] is not None) == (2, True)
    whole, part = (
        trained(recipe, seeds=(0,), options=replace(QUIET, sets=sets, run_dir=Path(name), epochs=epochs))
        for name, epochs in (("whole", 2), ("part", 1))
    )
    options = replace(QUIET, sets=sets, run_dir=Path("part"), epochs=2, resume=True)
    again = trained(recipe, seeds=(0,), options=options)
    assert part["runs"][0]["epochs"] == 1
    assert again["runs"][0]["test"] == whole["runs"][0]["test"]
    assert again["validation_accuracy"] == whole["validation_accuracy"]
    other = replace(options, sets=(sets[0].replace("fold: 2", "fold: 1"), *sets[1:]))
    with pytest.raises(ConfigError, match="fold"):
        trained(recipe, seeds=(0,), options=other)


def test_a_point_that_fails_shows_what_is_done(recipe: Path) -> None:
    shown: list[dict[str, Any]] = []
    grid = parse_grid(["data.source=[digits, image_folder]", "optimizer.momentum=[0.9, 0.8]"])
    with pytest.raises(DataError):
        run_several(str(recipe), QUIET, grid, (0, 1), raise_if_errors, lambda text: None, shown.append)
    (found,) = shown
    assert [point["values"]["optimizer.momentum"] for point in found["points"]] == [0.9, 0.8]
    assert [len(point["runs"]) for point in found["points"]] == [2, 2]
    assert "4 runs left: --resume goes on with those that are not finished" in as_table(found, 80).splitlines()


def test_seeds_that_fail_show_those_that_are_done(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_recipe, shown = several.run_recipe, []

    def failing(recipe: str, options: RunOptions, *more: Any) -> dict[str, Any]:
        if options.varied == (Override("seed", "7", "--seeds"),):
            raise DataError("gone")
        return run_recipe(recipe, options, *more)

    monkeypatch.setattr(several, "run_recipe", failing)
    with pytest.raises(DataError):
        run_several(str(recipe), QUIET, (), (5, 7, 8), raise_if_errors, lambda text: None, shown.append)
    assert [found["seeds"] for found in shown] == [[5]]
    with pytest.raises(DataError):
        run_several(str(recipe), QUIET, (), (7, 8), raise_if_errors, lambda text: None, shown.append)
    assert len(shown) == 1  # nothing was done


def test_what_a_run_says_as_the_one_before_it_is_said_once(recipe: Path, capfd: pytest.CaptureFixture[str]) -> None:
    warned: list[str] = []

    def settle(diagnostics: Diagnostics) -> None:
        raise_if_errors(diagnostics)
        warned.extend(str(item) for item in diagnostics.warnings)

    grid = parse_grid(["train.accumulate=[1, 2]", "train.channels_last=[true, false]"])
    options = RunOptions(sets=("optimizer.lr=0.3",))  # which OneCycleLR does not use
    run_several(str(recipe), options, grid, (), settle, lambda text: None)
    lines = capfd.readouterr().err.splitlines()
    assert len(warned) == 1
    assert sum(line.startswith("device: cpu") for line in lines) == 1
    assert sum(line.startswith("best is chosen by the test set") for line in lines) == 1
    layouts = [line.split()[1] for line in lines if line.startswith("layout: ")]
    assert layouts == ["channels_last", "contiguous"] * 2  # each differs from the one before


@pytest.mark.parametrize(
    ("axis", "place", "help"),
    [
        ("optimizer.momentum=[x, 0.9]", "--grid optimizer.momentum:1:1", None),
        ("optimizer=[SGD, Adam]", "--grid optimizer:1:1", "--grid 'optimizer=[{name: SGD}, …]'"),
        ("optimizer.momentum.x=[1, 2]", None, "set the whole: --grid 'optimizer.momentum=[…]'"),
    ],
)
def test_messages_about_a_value_name_the_grid(recipe: Path, axis: str, place: str | None, help: str | None) -> None:
    with pytest.raises((ConfigError, UsageError)) as caught:
        trained(recipe, axis)
    (item,) = caught.value.diagnostics
    assert (str(item.span) if item.span else None, item.help) == (place, help)
    assert "--set" not in item.message


def test_what_only_the_data_tell_of_a_value_names_the_grid(recipe: Path) -> None:
    with pytest.raises(DataError) as caught:
        trained(recipe, "data.path=[nowhere, elsewhere]", options=replace(QUIET, sets=("data.source=image_folder",)))
    assert str(caught.value.span) == "--grid data.path:1:1"


def test_a_warning_about_a_value_names_the_grid(recipe: Path) -> None:
    places: list[str] = []
    grid = parse_grid(["optimizer.lr=[0.3, 0.4]"])

    def settle(diagnostics: Diagnostics) -> None:
        places.extend(str(item.span) for item in diagnostics.warnings)

    options = replace(QUIET, sets=("optimizer={name: SGD}",))
    run_several(str(recipe), options, grid, (), settle, lambda text: None)
    assert places == ["--grid optimizer.lr:1:1"] * 2  # they show two values, so both are told


def test_data_are_opened_once_for_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are gone before the second run: it trains all the same, whatever it holds out for another seed, and
    what asks for other data does not.
    """
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for folder in (tmp_path / "photos" / split / name for split in ("train", "test") for name in "ab"):
        folder.mkdir(parents=True)
        for number in range(8):
            Image.fromarray(random.integers(0, 256, (8, 8), np.uint8)).save(folder / f"{number}.png")
    Path("tiny.yaml").write_text(
        "model: {architecture: tiny_resnet, classes: 2}\n"
        "data: {source: image_folder, path: photos, batch_size: 8, validation: 0.25}\n"
        "optimizer: {name: SGD, lr: 0.1}\ntrain: {epochs: 1}\nreports: []\n"
    )

    def note(text: str) -> None:
        if text.endswith("(2 of 4)"):
            shutil.rmtree("photos")

    shown: list[dict[str, Any]] = []
    grid = parse_grid(["data.skip_corrupt=[0, 1]"])
    with pytest.raises(DataError):
        run_several("tiny.yaml", QUIET, grid, (0, 1), raise_if_errors, note, shown.append)
    assert [len(point["runs"]) for point in shown[0]["points"]] == [2]
