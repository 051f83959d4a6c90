"""The LR range test is kept under all it depends on: found again where it would come out the same, and only there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cli.conftest import TINY
from zoo.assemble import max_lr, plugins
from zoo.assemble.build import lay_foundation, open_data
from zoo.assemble.find_lr import FoundRate, curve, find_learning_rate
from zoo.assemble.options import RunOptions
from zoo.assemble.range_test_cache import KeptRangeTest, dependencies
from zoo.assemble.run import prepare, run_recipe
from zoo.diagnostics import Diagnostics
from zoo.errors import raise_if_errors
from zoo.optim import LRRangeTest, lr_range_test

FIND = "schedule.max_lr={find: {steps: 12}}"
Find = Callable[..., FoundRate]


@pytest.fixture(autouse=True)
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(plugins, "_loaded", set())  # with a plugin, of an earlier test too, nothing is kept
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.format(epochs=1, reports="[]"))
    return path


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def find(recipe: Path, notes: list[str]) -> Find:
    def find(*sets: str, cache: bool = True) -> FoundRate:
        notes.clear()
        options = RunOptions(sets=(FIND, *sets), cache=cache, quiet=True)
        return find_learning_rate(str(recipe), options, raise_if_errors, notes.append)

    return find


def kept(folder: Path) -> list[Path]:
    return sorted((folder / "cache" / "lr_range_tests").glob("*"))


def test_the_second_time_it_is_taken_from_the_cache_and_says_so(find: Find, notes: list[str], tmp_path: Path) -> None:
    first = find()
    (path,) = kept(tmp_path)
    assert first.found.is_new
    assert first.found.kept == path
    assert any("at most 12 steps of 128 images" in note for note in notes)
    second = find()
    assert not second.found.is_new
    assert second.found.range_test == first.found.range_test  # to the last bit of every figure
    assert notes == [
        f"LR range test: {first.found.lr:.6g} (minimum), run before and kept in {path}",
        "warning: no learning rate made the loss fall in the LR range test: better write one by hand",  # of 12 steps
    ]
    assert kept(tmp_path) == [path]
    assert find(cache=False).found.is_new


def test_another_rule_reads_the_same_sweep(find: Find, notes: list[str]) -> None:
    first = find().found
    second = find("schedule.max_lr={find: {steps: 12, rule: steep}}").found
    assert (first.is_new, second.is_new) == (True, False)
    assert second.kept == first.kept
    assert second.lr == first.range_test.suggestions["steep"] != first.lr
    assert "(steep), run before" in notes[0]


def test_a_run_and_find_lr_share_it(find: Find, recipe: Path, tmp_path: Path) -> None:
    found = find().found
    notes: list[str] = []
    result = run_recipe(str(recipe), RunOptions(sets=(FIND,), quiet=True), raise_if_errors, notes.append)
    assert any("run before and kept in" in note for note in notes)
    facts = json.loads((Path(result["run_dir"]) / "env.json").read_text())["lr_range_test"]
    assert facts == {"lr": found.lr, "rule": "minimum", "ran_now": False, "kept": str(found.kept)}
    again = run_recipe(str(recipe), RunOptions(sets=(FIND,), quiet=True, cache=False), raise_if_errors, notes.append)
    assert again["test"] == result["test"]  # whether it was found now or before
    assert again["train"] == result["train"]


CHANGES = {
    "the network's width": "model.width=4",
    "the seed": "seed=1",
    "the batch size": "data.batch_size=64",
    "the sampling": "data.sampling=balanced",
    "the repeats": "data.repeats=2",
    "a transform": "transforms.train=[{RandomCrop: {height: 8, width: 8}}, Normalize]",
    "the loss": "loss.label_smoothing=0.1",
    "an argument of the optimizer": "optimizer.momentum=0.8",
    "a group": "optimizer.groups=[{kind: bias, lr_scale: 2}]",
    "a frozen part": "optimizer.groups=[{match: fc.*, freeze: true}]",
    "the test's length": "schedule.max_lr={find: {steps: 13}}",
    "the precision": "train.precision=bf16",
    "the layout": "train.channels_last=false",
    "the algorithms": "train.deterministic=true",
}
SAME = {"the epochs": "train.epochs=2", "the schedule": "schedule.pct_start=0.4", "the name": "name=other"}


def key_of(recipe: Path, *sets: str) -> dict[str, Any]:
    options = RunOptions(sets=(FIND, "train.precision=fp32", *sets))  # not what this CPU would choose
    checked = prepare(str(recipe), options, raise_if_errors)
    dataset = open_data(checked.resolved)
    base = lay_foundation(checked, dataset, "auto")
    optimization = checked.optimization.build_for_range_test(base.module, Diagnostics())
    return dependencies(checked, dataset, base, optimization)


def test_all_it_depends_on_is_in_the_key_and_nothing_else(recipe: Path) -> None:
    def path_of(*sets: str) -> Path:
        return KeptRangeTest(key_of(recipe, *sets), pytest.fail).path

    path = path_of()
    assert path_of() == path
    for name, change in SAME.items():
        assert path_of(change) == path, name
    others = {name: path_of(change) for name, change in CHANGES.items()}
    assert len({path, *others.values()}) == 1 + len(others), others


@pytest.mark.parametrize("deterministic", [True, False])
def test_it_runs_with_the_algorithms_of_the_training(
    find: Find, monkeypatch: pytest.MonkeyPatch, deterministic: bool
) -> None:
    seen: list[bool] = []

    def watched(*given: Any, **named: Any) -> LRRangeTest:
        seen.append(torch.are_deterministic_algorithms_enabled())
        return lr_range_test(*given, **named)

    monkeypatch.setattr(max_lr, "lr_range_test", watched)
    find(f"train.deterministic={str(deterministic).lower()}")
    assert seen == [deterministic]


@pytest.mark.parametrize("damage", ["a digit", "cut off", "empty", "another kind of file", "not UTF-8"])
def test_a_broken_file_is_told_and_the_test_is_run_again(
    find: Find, notes: list[str], tmp_path: Path, damage: str
) -> None:
    first = find()
    (path,) = kept(tmp_path)
    text = path.read_text()
    content = {
        "a digit": text.replace(f'"chosen": {first.found.lr!r}', f'"chosen": {2 * first.found.lr!r}'),
        "cut off": text[: len(text) // 2],
        "empty": "",
        "another kind of file": "[1, 2]",
        "not UTF-8": "\udcff",
    }[damage]
    assert content != text
    path.write_text(content, errors="surrogateescape")
    second = find()
    assert second.found.is_new
    assert second.found.lr == first.found.lr
    assert "cannot be used" in notes[0]
    assert str(path) in notes[0]
    assert not find().found.is_new  # mended


def a_test(chosen: float = 0.1) -> LRRangeTest:
    return LRRangeTest((0.1, 0.2), (1.0, 2.0), (1.0, 2.5), {"steep": chosen}, "steep", chosen)


def test_writers_at_once_leave_one_whole_file() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    place = KeptRangeTest({"a": 1}, pytest.fail)
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            for _ in range(25):
                place.write(a_test())
            os._exit(0)
        children.append(child)
    for _ in range(50):
        assert place.read() in (None, a_test())  # never half of one: `note` fails the test
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    assert place.read() == a_test()
    assert list(place.path.parent.iterdir()) == [place.path]


def test_a_file_under_anothers_name_is_not_taken(notes: list[str]) -> None:
    one, other = (KeptRangeTest({"a": number}, notes.append) for number in (1, 2))
    assert one.write(a_test())
    one.path.rename(other.path)
    assert other.read() is None
    assert len(notes) == 1


def test_a_cache_that_cannot_be_written_costs_no_run(find: Find, notes: list[str], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert find().found.is_new
    assert any("could not be kept" in note for note in notes)


def test_the_curve_in_letters() -> None:
    lrs = [10.0**exponent for exponent in range(-4, 1)]
    lines = curve(lrs, [3.0, 3.0, 2.0, 1.0, 3.0], width=9, height=3)
    assert lines == [
        "  loss",
        "3.0000 |* *     *",
        "       |    *",
        "1.0000 |      *",
        "       +---------",
        "    lr  0.0001  1",
    ]
    diverged = curve(lrs, [3.0, 3.0, 2.0, 1.0, 99.0], width=9, height=3)
    assert diverged == lines
    assert curve([1.0], [2.0], width=3, height=2)[2].endswith("*")  # a single point, no division by zero


def test_its_steps_are_those_of_the_training(find: Find, notes: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss scale of fp16, accumulated batches, clipped gradients."""
    plain = find("train.precision=fp32").found
    clipped = find("train.precision=fp32", "train.grad_clip=0.01").found
    assert clipped.is_new
    assert clipped.range_test.raw_losses != plain.range_test.raw_losses
    find("train.precision=fp32", "train.accumulate=2")
    assert any("at most 12 steps of 256 images" in note for note in notes)
    scales: list[float] = []
    scale = torch.amp.GradScaler.scale

    def seen(scaler: Any, loss: Any) -> Any:
        scales.append(scaler.get_scale())
        return scale(scaler, loss)

    monkeypatch.setattr(torch.amp.GradScaler, "scale", seen)
    scaled = find("train.precision=fp16").found.range_test
    assert scales
    assert min(scales) > 1
    assert min(scaled.raw_losses) < scaled.raw_losses[0]
