"""Whole runs that learn from a teacher: what is trained and recorded, what goes on, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import CheckGolden
from zoo.assemble.benching import bench_recipe_engine
from zoo.assemble.build import Foundation, lay_foundation, open_data, with_teacher
from zoo.assemble.dry_run import dry_run
from zoo.assemble.max_lr import Found, run_range_test
from zoo.assemble.opening import open_described
from zoo.assemble.options import RunOptions
from zoo.assemble.run import prepare, run_recipe
from zoo.assemble.trained import evaluate_run
from zoo.cli import main
from zoo.errors import CheckpointError, ConfigError, raise_if_errors
from zoo.train import read_checkpoint
from zoo.train.distillation import Teacher

RECIPE = """
name: {name}
model: {{architecture: tiny_resnet, classes: 10, width: {width}}}
data: {{source: digits, batch_size: 256}}
{more}
optimizer: {{name: SGD, lr: 0.05, momentum: 0.9}}
train: {{epochs: {epochs}, precision: fp32}}
reports: []
"""
LEARNS = "loss: {label_smoothing: 0.1, distillation: {teacher: runs/big/0001}}"


def recipe(name: str, width: int = 4, epochs: int = 1, more: str = "") -> str:
    Path(f"{name}.yaml").write_text(RECIPE.format(name=name, width=width, epochs=epochs, more=more))
    return f"{name}.yaml"


def run(recipe: str, *sets: str, notes: list[str] | None = None, **options: Any) -> dict[str, Any]:
    took = notes if notes is not None else []
    return run_recipe(recipe, RunOptions(sets=sets, quiet=True, **options), raise_if_errors, took.append)


def weights(result: dict[str, Any]) -> dict[str, torch.Tensor]:
    return read_checkpoint(Path(result["run_dir"]) / "checkpoints" / "last").model


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained teacher, `big`."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run(recipe("big", width=8))
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, and `small.yaml`, which learns from the teacher."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path, symlinks=True, dirs_exist_ok=True)
    recipe("small", more=LEARNS)
    return tmp_path


def foundation(*sets: str) -> Foundation:
    checked = prepare("small.yaml", RunOptions(sets=sets), raise_if_errors)
    dataset = open_data(checked.resolved)
    return with_teacher(lay_foundation(checked, dataset, "auto"), checked, dataset)


def test_a_run_records_its_teacher_and_goes_on_bit_for_bit(folder: Path) -> None:
    whole = run("small.yaml", epochs=2)
    parts = run("small.yaml", notes=(notes := []))
    assert "learns from tiny_resnet in runs/big/0001 (last)" in notes
    assert same(weights(run("small.yaml", run_dir=Path(parts["run_dir"]), resume=True, epochs=2)), weights(whole))
    assert not same(weights(run("small.yaml", "loss.distillation=null", epochs=2)), weights(whole))  # control
    assert whole["params"] == sum(each.numel() for name, each in weights(whole).items() if "running" not in name) - 6
    assert "teacher: " + str(folder / "runs/big/0001") in Path(whole["run_dir"], "resolved.yaml").read_text()
    environment = json.loads(Path(whole["run_dir"], "env.json").read_text())["teacher"]
    manifest = json.loads(Path("runs/big/0001/checkpoints/last/manifest.json").read_text())
    assert environment["sha256"] == manifest["files"]["model.safetensors"]["sha256"]
    shutil.rmtree("runs/big")  # what is done with a trained run needs no teacher
    assert evaluate_run(whole["run_dir"])["loss"] == pytest.approx(whole["test"]["loss"])
    assert run("small.yaml", run_dir=Path(whole["run_dir"]), resume=True, epochs=2)["epochs"] == 2


def test_without_a_say_the_teacher_changes_nothing(folder: Path) -> None:
    """Neither random numbers nor the network's own statistics: with a weight of 0 the run is the one without it."""
    unheard = run("small.yaml", "loss.distillation.weight=0")
    assert same(weights(unheard), weights(run("small.yaml", "loss.distillation=null")))


def test_only_the_teacher_that_a_run_began_with_is_gone_on_with(folder: Path) -> None:
    run("small.yaml")
    shutil.move("runs/big", "elsewhere")
    moved = "loss.distillation.teacher=elsewhere/0001"
    assert run("small.yaml", moved, resume=True, epochs=2)["epochs"] == 2
    run("big.yaml", "seed=1", "train.max_steps=1")
    with pytest.raises(ConfigError, match="is not the one that the run in runs/small/0001 began with") as caught:
        run("small.yaml", resume=True, epochs=3)
    assert caught.value.span is not None
    assert caught.value.span.file == "small.yaml"
    with pytest.raises(ConfigError, match="is that run itself"):
        run("small.yaml", "loss.distillation.teacher=small", resume=True, epochs=3)
    with pytest.raises(ConfigError, match=r"distillation\.weight is"):
        run("small.yaml", moved, "loss.distillation.weight=0.5", resume=True, epochs=3)


@pytest.mark.parametrize(
    ("of_teacher", "own"),
    [
        ("[Normalize]", "[Normalize: {mean: 0.1, std: 0.5}]"),
        ("[ToFloat]", "[Normalize]"),
        ("[Normalize: {mean: [0.5], std: [2.0], max_pixel_value: 16}]", "[]"),
        ("[Normalize: {normalization: image}]", "[Normalize: {normalization: image}]"),
    ],
)
def test_the_teacher_gets_images_in_its_own_normalisation(of_teacher: str, own: str, folder: Path) -> None:
    teachers = f"transforms={{train: {of_teacher}, eval: {of_teacher}}}"
    run("big.yaml", teachers, "train.max_steps=3", run_dir=Path("again"))
    base = foundation("loss.distillation.teacher=again", f"transforms={{train: {own}, eval: {own}}}")
    assert base.teacher is not None
    assert any("own normalisation" in note for note in base.notes) == ("image" not in of_teacher)
    module = open_described(Path("again"), "last").module
    seen = foundation("loss.distillation.teacher=again", teachers).test.batch(1, range(8)).images
    with torch.no_grad():
        expected = module(seen)
    torch.testing.assert_close(base.teacher.ask(base.test.batch(1, range(8)).images), expected, rtol=1e-3, atol=1e-4)


def edited(file: str, old: str, new: str) -> None:
    path = Path("runs/big/0001", file)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def spoil(case: str) -> list[str]:
    """Makes the teacher one that cannot be learnt from; what the student is called with then."""
    checkpoint = Path("runs/big/0001/checkpoints/last")
    if case == "no_weights":
        shutil.rmtree(checkpoint.parent)
    elif case == "damaged":
        with (checkpoint / "model.safetensors").open("r+b") as file:
            file.seek(500)
            file.write(b"spoilt")
    elif case == "other_count":
        run(
            "big.yaml",
            "data={source: synthetic, classes: 4, shape: [1, 8, 8], train: 64}",
            "model.classes=4",
            "train.max_steps=1",
        )
        return ["--set", "loss.distillation.teacher=big"]
    elif case == "other_names":
        edited("data.json", '"3"', '"three"')
    elif case == "other_order":
        edited("data.json", '"3"', '"x"')
        edited("data.json", '"4"', '"3"')
        edited("data.json", '"x"', '"4"')
    elif case == "other_normalisation":
        return ["--set", "transforms={train: [Normalize: {normalization: image}]}"]
    elif case == "other_channels":
        return ["--set", "transforms={train: [ToRGB, Normalize], eval: [ToRGB, Normalize]}"]
    elif case == "other_checkpoint":
        return ["--set", "loss.distillation.teacher=runs/big/0001/checkpoints/bets"]
    return []


STATUS = {
    "no_weights": 4,
    "damaged": 4,
    "other_checkpoint": 4,
    "other_count": 2,
    "other_names": 2,
    "other_order": 2,
    "other_normalisation": 2,
    "other_channels": 2,
}


@pytest.mark.parametrize("case", STATUS)
def test_a_teacher_that_cannot_teach_is_refused(
    case: str, folder: Path, golden: CheckGolden, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = spoil(case)
    status = main(["run", "small.yaml", "--quiet", *sets])
    said = capsys.readouterr()
    assert (status, said.out) == (STATUS[case], "")
    golden(f"teacher_{case}.txt", said.err)
    assert not Path("runs/small").exists()
    if case in ("no_weights", "other_checkpoint", "other_count"):  # is sure before the data and the weights are read
        main(["check", "small.yaml", *sets])
        assert capsys.readouterr().err.splitlines()[:4] == said.err.splitlines()[:4]


def test_a_teacher_of_images_of_another_size_is_tried(folder: Path) -> None:
    larger = "transforms={train: [Resize: {height: 12, width: 12}, Normalize], eval: [Resize: {height: 12, width: 12}]}"
    notes = foundation(larger).notes
    assert "warning: the teacher runs/big/0001 was tested on images of [1, 8, 8], here it gets [1, 12, 12]" in notes
    Path("flat.yaml").write_text(
        "input: [1, 8, 8]\nlayers:\n  flat: {op: flatten, start_dim: 1}\n  fc: {op: Linear, out_features: 10}\n"
    )
    run("big.yaml", "model={architecture: flat.yaml}", "train.max_steps=1")
    with pytest.raises(ConfigError, match=r"runs/big/0002 cannot take images of \[1, 12, 12\]"):
        foundation(larger, "loss.distillation.teacher=big")  # the latest


def test_the_dry_run_and_the_range_test_ask_the_teacher(folder: Path) -> None:
    estimate = dry_run("small.yaml", RunOptions(quiet=True), raise_if_errors, lambda text: None)
    alone = dry_run("small.yaml", RunOptions(("loss.distillation=null",)), raise_if_errors, lambda text: None)
    line = next(line for line in estimate.as_text().splitlines() if line.startswith("teacher"))
    assert line.startswith("teacher   tiny_resnet, 7,")
    assert "runs/big/0001 (last)" in line
    assert (estimate.as_data()["teacher"]["checkpoint"], alone.as_data()["teacher"]) == ("last", None)
    assert estimate.params == alone.params
    assert estimate.loss != alone.loss

    options = RunOptions(("optimizer={name: SGD, lr: {find: {steps: 20, start_lr: 0.001}}}",))
    checked = prepare("small.yaml", options, raise_if_errors)
    dataset = open_data(checked.resolved)

    def find() -> Found:
        return run_range_test(checked, dataset, "auto", lambda text: None)

    assert find().range_test.raw_losses[0] == pytest.approx(estimate.loss, rel=1e-4)
    assert not find().is_new  # kept in the cache
    run("big.yaml", resume=True, epochs=2)
    assert find().is_new  # the same run, but other weights


@pytest.mark.slow
def test_both_loops_of_the_bench_ask_the_teacher(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    ask = Teacher.__call__
    monkeypatch.setattr(Teacher, "__call__", lambda self, images: asked.append(len(images)) or ask(self, images))
    found = bench_recipe_engine("small.yaml", RunOptions(("data.batch_size=128", "train.epochs=20")), raise_if_errors)
    assert len(asked) >= 2 * found.steps * len(found.turns)
    assert found.teacher_flops_per_image > found.flops_per_image > 0
    assert found.share_of_peak > replace(found, teacher_flops_per_image=0).share_of_peak


def test_a_grid_goes_over_temperatures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = "loss.distillation.temperature=[1, 8]"
    assert main(["run", "small.yaml", "--grid", grid, "--set", "train.max_steps=1", "--quiet"]) == 0
    assert "loss.distillation.temperature" in capsys.readouterr().out
    one, other = (weights({"run_dir": f"runs/small/000{number}"}) for number in (1, 2))
    assert not same(one, other)


def test_a_teacher_may_be_a_checkpoint_beside_the_recipe(folder: Path) -> None:
    Path("recipes").mkdir()
    shutil.move("small.yaml", "recipes/small.yaml")
    shutil.move("runs", "recipes/runs")
    options = RunOptions(("train.max_steps=1", "loss.distillation.kind=hard"))
    text = Path("recipes/small.yaml").read_text().replace("runs/big/0001", "runs/big/0001/checkpoints/best")
    Path("recipes/small.yaml").write_text(text)
    result = run_recipe("recipes/small.yaml", options, raise_if_errors, lambda text: None)
    teacher = json.loads(Path(result["run_dir"], "env.json").read_text())["teacher"]
    assert teacher["run"] == str(folder / "recipes/runs/big/0001")
    assert teacher["checkpoint"] == "best"
    with pytest.raises(CheckpointError, match="there is no run 'runs/bgi/0001'"):
        run("recipes/small.yaml", "loss.distillation.teacher=runs/bgi/0001")
