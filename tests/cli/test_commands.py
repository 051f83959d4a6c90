"""The commands on one trained run: results on stdout, JSON where asked for, files where the page says."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import TINY, Zoo
from zoo.cli import main
from zoo.cli.train import _outcome


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a recipe and a finished run of it; the working directory while this module's tests run."""
    folder, before = tmp_path_factory.mktemp("work"), Path.cwd()
    os.chdir(folder)
    (folder / "tiny.yaml").write_text(TINY.format(epochs=2, reports="[curves, class_accuracy]"))
    assert main(["run", "tiny.yaml", "--quiet"]) == 0
    yield folder
    os.chdir(before)


def test_run_tells_the_outcome_on_stdout_and_progress_on_stderr(workplace: Path, zoo: Zoo) -> None:
    outcome = zoo("run", "tiny.yaml", "--epochs", "1", "--set", "reports=[]")
    assert outcome.status == 0
    assert [line.split()[0] for line in outcome.out.splitlines()] == ["test", "run"]
    assert "epoch 1/1" in outcome.err


def test_run_names_what_keeps_the_transforms_from_whole_batches(workplace: Path, zoo: Zoo) -> None:
    train = "transforms.train=[{OneOf: {transforms: [HorizontalFlip, OTHER]}}, Normalize]"
    sets = ("--set", "train.max_steps=1", "--set", "reports=[]", "--set")
    outcome = zoo("run", "tiny.yaml", *sets, train.replace("OTHER", "{Sequential: {transforms: [ZoomBlur]}}"))
    assert "\ntransforms: albumentations (no batched form: ZoomBlur, in Sequential, in OneOf)\n" in outcome.err
    outcome = zoo("run", "tiny.yaml", *sets, train.replace("OTHER", "{Sequential: {transforms: [VerticalFlip]}}"))
    assert "\ntransforms: batched (every transform has a batched form)\n" in outcome.err


def test_each_target_is_compared_with_its_own_figure() -> None:
    test = {"accuracy": 0.91, "accuracy_tta": 0.94}
    target = {"test_accuracy": 0.93, "test_accuracy_tta": 0.93, "met": False}
    lines = _outcome({"test": test, "target": target, "run_dir": "runs/x/0001"}).splitlines()
    assert lines[1:3] == ["target 93.00 %: not met", "target 93.00 % with TTA: met"]


def test_run_in_json_is_result_json(workplace: Path, zoo: Zoo) -> None:
    outcome = zoo("run", "tiny.yaml", "--set", "reports=[]", "--epochs", "1", "--json", "--quiet")
    result = json.loads(outcome.out)
    assert result == json.loads((Path(result["run_dir"]) / "result.json").read_text())
    last = json.loads((Path(result["run_dir"]) / "checkpoints/last/manifest.json").read_text())
    assert last["epoch"] == result["epochs"] == 1
    assert outcome.err.startswith("warning[unused-lr]")
    assert "epoch" not in outcome.err


def test_quiet_leaves_warnings_and_results(workplace: Path, zoo: Zoo) -> None:
    outcome = zoo("run", "tiny.yaml", "--epochs", "1", "--set", "reports=[]", "--quiet")
    assert [line.split()[0] for line in outcome.out.splitlines()] == ["test", "run"]
    assert outcome.err.startswith("warning[unused-lr]")
    assert "epoch" not in outcome.err


def test_seeds_give_mean_and_spread(workplace: Path, zoo: Zoo) -> None:
    outcome = zoo("run", "tiny.yaml", "--seeds", "0,1", "--epochs", "1", "--set", "reports=[]", "--json", "--quiet")
    result = json.loads(outcome.out)
    accuracies = [run["test"]["accuracy"] for run in result["runs"]]
    assert result["test_accuracy"]["mean"] == pytest.approx(np.mean(accuracies))
    assert result["test_accuracy"]["spread"] == pytest.approx(np.std(accuracies, ddof=1))
    assert zoo("run", "tiny.yaml", "--seeds", "0,0").status == 2


def test_a_grid_gives_a_table(workplace: Path, zoo: Zoo) -> None:
    often = ("run", "tiny.yaml", "--epochs", "1", "--set", "reports=[]", "--quiet")
    outcome = zoo(*often, "--grid", "schedule.max_lr=[0.1, 0.2]", "--json")
    result = json.loads(outcome.out)
    assert [point["values"] for point in result["points"]] == [{"schedule.max_lr": 0.1}, {"schedule.max_lr": 0.2}]
    lines = zoo(*often, "--grid", "schedule.max_lr=[0.1, 0.2]", "--seeds", "0,1").out.splitlines()
    assert lines[0].split() == ["schedule.max_lr", "test", "accuracy", "run"]
    assert [line.split()[0] for line in lines[1:3]] == ["0.1", "0.2"]
    assert "±" in lines[1]


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        (("--grid", "seed=[0, 1]", "--seeds", "2,3"), "--grid seed and --seeds say the same"),
        (("--grid", "train.epochs=[1, 2]", "--epochs", "3"), "--grid train.epochs and --epochs say the same"),
        (("--grid", "optimizer=[1, 2]", "--set", "optimizer.lr=3"), "--grid optimizer and --set optimizer.lr say the"),
        (("--grid", "train=[1, 2]", "--epochs", "3"), "--grid train and --epochs say the same"),
        (("--grid", "a.b=[1, 2]", "--grid", "a=[1, 2]"), "--grid a in front of it"),
        (("--grid", "seed=[0, 1]", "--set", "seed=3"), "--grid seed and --set seed say the same"),
        (("--seeds", "0,1", "--set", "seed=3"), "--set seed and --seeds say the same"),
        (("--grid", "seed=[0, 1]", "--dry-run"), "--dry-run tries one run, --grid names several"),
        (("--grid", "seed=0"), "--grid wants PATH=[different values]"),
        (("--grid", "sed=[0, 1]"), "did you mean seed?"),
        (("--epochs", "0"), "--> --epochs:1:1"),
    ],
)
def test_what_options_of_a_run_cannot_be(workplace: Path, zoo: Zoo, beside: tuple[str, ...], message: str) -> None:
    before = sorted(workplace.rglob("*"))
    outcome = zoo("run", "tiny.yaml", *beside)
    assert (outcome.status, outcome.out) == (2, "")
    assert message in outcome.err
    assert sorted(workplace.rglob("*")) == before


def test_dry_run_writes_nothing(workplace: Path, zoo: Zoo) -> None:
    before = sorted(workplace.rglob("*"))
    outcome = zoo("run", "tiny.yaml", "--dry-run", "--json")
    found = json.loads(outcome.out)
    assert sorted(workplace.rglob("*")) == before
    assert (found["classes"], found["input_shape"], found["samples"]) == (
        10,
        [1, 8, 8],
        {"training": 1438, "test": 359},
    )
    assert found["total_seconds"] > 0
    assert found["memory_bytes"] > 1e6


def test_eval_is_what_the_run_said(workplace: Path, zoo: Zoo) -> None:
    result = json.loads(Path("runs/tiny/0001/result.json").read_text())
    found = json.loads(zoo("eval", "runs/tiny/0001", "--json").out)
    assert (found["accuracy"], found["per_class"]) == (result["test"]["accuracy"], result["test"]["per_class"])
    assert found["loss"] == pytest.approx(result["test"]["loss"])
    assert json.loads(zoo("eval", "runs/tiny/0001", "--tta", "flip", "--json").out)["accuracy_tta"] is not None
    assert zoo("eval", "runs/tiny/0001", "--tta", "twirl").status == 2


def test_a_run_that_is_not_there_exits_4(workplace: Path, zoo: Zoo) -> None:
    outcome = zoo("eval", "tyni")
    assert outcome.status == 4
    assert "did you mean tiny?" in outcome.err
    assert zoo("eval", "tiny", "--checkpoint", "bets").status == 4
    strange = zoo("eval", "runs/tiny/0001", "--checkpoint", "nope").err
    assert strange == "error[checkpoint]: runs/tiny/0001 has no checkpoint 'nope'\n   = help: there are best and last\n"


def test_predict_classifies_images_of_any_size(workplace: Path, zoo: Zoo) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (30, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(workplace / "a.png")
    (item,) = json.loads(zoo("predict", "tiny", "a.png", "--top", "2", "--json").out)
    assert item["image"] == "a.png"
    assert len(item["classes"]) == 2
    table = list(csv.DictReader(io.StringIO(zoo("predict", "tiny", "a.png", "--top", "2", "--csv").out)))
    first, second = item["classes"]
    assert table == [
        {
            "image": "a.png",
            "class": first["class"],
            "probability": f"{first['probability']:.6f}",
            "class_2": second["class"],
            "probability_2": f"{second['probability']:.6f}",
        }
    ]
    Path("b, c.png").write_bytes(Path("a.png").read_bytes())  # a name that a table has to quote
    lines = zoo("predict", "tiny", "a.png", "b, c.png", "--top", "1", "--csv").out.splitlines()
    assert lines[0] == "image,class,probability"
    assert lines[2].startswith('"b, c.png",')
    assert zoo("predict", "tiny", "a.png", "--csv", "--json").status == 2
    assert zoo("predict", "tiny", "missing.png").status == 3
    (workplace / "broken.png").write_bytes(b"\x89PNG but not")
    in_part = zoo("predict", "tiny", "broken.png", "a.png", "--top", "2", "--csv")
    assert (in_part.status, list(csv.DictReader(io.StringIO(in_part.out)))) == (3, table)
    assert in_part.err.startswith("error[data]: broken.png: not an image")
    assert [item["severity"] for item in json.loads(zoo("predict", "tiny", "broken.png", "a.png", "--json").out)] == [
        "error"
    ]
    assert zoo("predict", "tiny", "broken.png").status == 3


def test_explain_draws_a_grid(workplace: Path, zoo: Zoo) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(workplace / "a.png")
    outcome = zoo("explain", "runs/tiny/0001", "--misclassified", "2", "--out", "maps", "--json")
    found = json.loads(outcome.out)
    assert [Path(path).parent.name for path in found["figures"]] == ["maps"]
    assert all(Path(path).stat().st_size > 1000 for path in found["figures"])
    assert len(found["images"]) == 2
    assert zoo("explain", "runs/tiny/0001", "--layer", "nope").status == 2
    assert zoo("explain", "runs/tiny/0001", "--class", "eleven").status == 2
    assert zoo("explain", "runs/tiny/0001/checkpoints/best", "--images", "a.png", "--out", "maps").status == 0


@pytest.mark.parametrize(
    "words",
    [
        "tiny --images a.png b.png --out maps --json",
        "--images a.png b.png --out maps --json",
        "--json --out maps --images a.png b.png",
        "--json --out maps --images a.png --images b.png",
        "--json --out maps --images=a.png --images b.png -- tiny",
        "--json --out maps --images a.png b.png -- tiny",
    ],
)
def test_explain_takes_all_the_images_that_follow(words: str, workplace: Path, zoo: Zoo) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(workplace / name)
    outcome = zoo("explain", *words.split())
    assert outcome.status == 0, outcome.err
    assert [image["name"] for image in json.loads(outcome.out)["images"]] == ["a.png", "b.png"]


@pytest.mark.parametrize(
    "target", ["runs/tiny/0001", "runs/tiny/0001/checkpoints/best", "runs/tiny", "tiny", "timm:resnet18"]
)
def test_what_is_explained_is_no_image(target: str, workplace: Path, zoo: Zoo) -> None:
    outcome = zoo("explain", "--out", "maps", "--images", "a.png", target)
    kind = "model" if ":" in target else "run"
    assert outcome.status == 2
    assert outcome.err == (
        f"error[usage]: {target} is a {kind}, and no image: --images takes all that follows it\n"
        f"   = help: what is explained stands before it: zoo explain {target} --images a.png\n"
    )
    alone = zoo("explain", "--images", target)
    assert f"before it: zoo explain {target}\n" in alone.err
    beside = zoo("explain", "tiny", "--out", "maps", "--images", "runs/tiny/0001")
    assert (beside.status, "runs/tiny/0001 is a run" in beside.err) == (2, True)


def test_images_that_bear_a_runs_name_are_images(workplace: Path, zoo: Zoo) -> None:
    for path in (Path("runs/seven.png/0001"), Path("runs/photos/0001")):
        shutil.copytree("runs/tiny/0001", path)
    Path("photos").mkdir()
    for name in ("seven.png", "photos/a.png"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(workplace / name)
    outcome = zoo("explain", "--out", "maps", "--json", "--images", "seven.png", "photos")
    for name in ("seven.png", "photos"):
        shutil.rmtree(Path("runs") / name)
    assert outcome.status == 0, outcome.err
    assert len(json.loads(outcome.out)["images"]) == 2


def test_report_is_made_again(workplace: Path, zoo: Zoo) -> None:
    page = Path("runs/tiny/0001/report.html")
    page.unlink()
    assert zoo("report", "runs/tiny/0001").status == 0
    assert page.is_file()


def test_summary_of_a_run_a_recipe_and_an_architecture_agree(workplace: Path, zoo: Zoo) -> None:
    figures = [
        {key: value for key, value in json.loads(zoo("summary", target, "--json").out).items() if key != "name"}
        for target in ("runs/tiny/0001", "tiny.yaml", "runs/tiny/0001/architecture.yaml")
    ]
    assert figures[0] == figures[1] == figures[2]
    assert figures[0]["params"]["total"] == 7298


def test_ls_lists_runs(workplace: Path, zoo: Zoo) -> None:
    rows = json.loads(zoo("ls", "runs", "--json").out)
    assert rows[0]["name"] == "runs/tiny/0001"
    assert rows[0]["doc"].startswith("test accuracy")
    half, begun = Path("runs/half/0001"), Path("runs/half/0002")
    for folder in (half, begun):
        shutil.copytree("runs/tiny/0001", folder)
        (folder / "result.json").unlink()
    shutil.rmtree(begun / "checkpoints")
    docs = {row["name"]: row["doc"] for row in json.loads(zoo("ls", "runs", "--json").out)}
    shutil.rmtree("runs/half")
    assert docs[str(half)].startswith("not finished, saved after step ")
    assert docs[str(begun)] == "not finished, nothing saved"


def test_ls_lists_the_runs_of_one_recipe(workplace: Path, zoo: Zoo) -> None:
    shutil.copytree("runs/tiny/0001", "runs/half/0001")
    try:
        by_name, by_folder = (zoo("ls", "runs", name, "--json") for name in ("tiny", "runs/tiny/"))
        assert "runs/half/0001" in zoo("ls", "runs").out
        assert "runs/half/0001" not in zoo("ls", "runs", "tiny").out
        wrong = zoo("ls", "runs", "tyni")
    finally:
        shutil.rmtree("runs/half")
    assert by_name.out == by_folder.out
    assert {Path(row["name"]).parent.name for row in json.loads(by_name.out)} == {"tiny"}
    assert (wrong.status, wrong.err.splitlines()[-1]) == (2, "   = help: did you mean tiny?")


def test_diff_of_two_runs(workplace: Path, zoo: Zoo) -> None:
    zoo("run", "tiny.yaml", "--epochs", "1", "--set", "reports=[]", "--run-dir", "other", "--quiet")
    paths = {change["path"] for change in json.loads(zoo("diff", "runs/tiny/0001", "other", "--json").out)}
    assert {"train.epochs", "result.epochs"} <= paths


def test_diff_of_a_run_with_recipe_checkpoint_and_architecture(workplace: Path, zoo: Zoo) -> None:
    checkpoint = "runs/tiny/0001/checkpoints/last"
    settings = {change["path"] for change in json.loads(zoo("diff", checkpoint, "quickstart", "--json").out)}
    assert "data.batch_size" in settings
    assert zoo("diff", checkpoint, "runs/tiny/0001").out == "no difference\n"
    layers = {change["path"] for change in json.loads(zoo("diff", checkpoint, "tiny_resnet", "--json").out)}
    assert "prep.conv" in layers  # the run's network is narrower


def test_diff_of_runs_tells_of_their_networks(workplace: Path, zoo: Zoo) -> None:
    own = zoo("config", "tiny.yaml").out
    assert "architecture: tiny_resnet" in own
    again = {change["path"] for change in json.loads(zoo("diff", "tiny.yaml", "runs/tiny/0001", "--json").out)}
    assert "model.architecture" not in again  # the run calls its network by the file that it keeps
    run = ("run", "tiny.yaml", "--epochs", "1", "--set", "reports=[]", "--quiet")
    assert zoo(*run, "--set", "model.width=4", "--run-dir", "narrow").status == 0
    paths = {change["path"] for change in json.loads(zoo("diff", "runs/tiny/0001", "narrow", "--json").out)}
    assert "prep.conv" in paths


def test_find_lr_tells_every_rule(workplace: Path, zoo: Zoo) -> None:
    found = json.loads(zoo("find-lr", "tiny.yaml", "--json", "--out", "found", "--quiet").out)
    assert set(found["suggestions"]) == {"valley", "steep", "minimum", "slide"}
    assert found["chosen"] in found["suggestions"].values()
    assert Path(found["figure"]).is_file()
