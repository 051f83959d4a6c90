"""Several runs as one: their probabilities averaged, tested and asked."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.ensemble import VotingClassifier
from sklearn.preprocessing import LabelEncoder

import zoo
from tests.cli.conftest import Zoo
from zoo.assemble import ensembles, trained
from zoo.assemble.ensembles import evaluate_runs
from zoo.assemble.options import RunOptions
from zoo.assemble.run import run_recipe
from zoo.assemble.several import parse_grid, run_several
from zoo.assemble.trained import evaluate_run, open_run
from zoo.errors import CheckpointError, UnreadableImagesError, UsageError, raise_if_errors

TINY = """
model: {architecture: tiny_resnet, classes: 10, width: 4}
data: {source: digits, batch_size: 64, folds: 2}
optimizer: {name: SGD, lr: 0.05, momentum: 0.9}
train: {epochs: 2}
reports: []
"""
FLAT = """
input: [1, 10, 10]
layers: {flat: {op: flatten, start_dim: 1}, fc: {op: Linear, out_features: 10}}
"""
OTHER = """
model: {architecture: flat.yaml}
data: {source: digits, batch_size: 64}
transforms:
  train: [{Resize: {height: 10, width: 10}}, Normalize]
  eval: [{Resize: {height: 10, width: 10}}, Normalize]
loss: {name: BinaryCrossEntropy}
optimizer: {name: SGD, lr: 0.05}
eval: {tta: flip}
train: {epochs: 2}
reports: []
"""
RUNS = ["cv/data.fold=0", "cv/data.fold=1", "other"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folds of one network, and another network of images of another size."""
    folder = tmp_path_factory.mktemp("ensembles")
    for name, text in (("tiny.yaml", TINY), ("flat.yaml", FLAT), ("other.yaml", OTHER)):
        (folder / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        grid, options = parse_grid(["data.fold=[0, 1]"]), RunOptions(run_dir=Path("cv"), quiet=True)
        run_several("tiny.yaml", options, grid, (), raise_if_errors, lambda text: None)
        run_recipe("other.yaml", RunOptions(run_dir=Path("other"), quiet=True), raise_if_errors, lambda text: None)
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


@pytest.fixture
def copied(place: Path, tmp_path: Path) -> Path:
    """The runs in a folder of their own, to be changed."""
    for name in ("cv", "other"):
        shutil.copytree(place / name, tmp_path / name)
    return tmp_path


class Trained:
    """A run as scikit-learn sees a classifier that is fitted."""

    def __init__(self, run: str) -> None:
        self.opened = open_run(run, device="cpu")

    def predict_proba(self, images: Any) -> np.ndarray:
        (batch,) = self.opened.base.test.epoch(1)
        with torch.no_grad():
            return self.opened.module(batch.images).softmax(dim=1).numpy()


def test_the_mean_is_that_of_scikit_learns_soft_vote() -> None:
    found = evaluate_runs(RUNS, tta="none", device="cpu")
    members = [Trained(run) for run in RUNS]
    vote = VotingClassifier([(run, None) for run in RUNS], voting="soft")
    vote.estimators_, vote.le_ = members, LabelEncoder().fit(range(10))
    labels = members[0].opened.dataset.test.labels
    probabilities = vote.predict_proba(labels)
    assert found["samples"] == len(labels) == 359
    assert found["accuracy"] == pytest.approx((vote.predict(labels) == labels).mean())
    expected = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    assert found["cross_entropy"] == pytest.approx(expected, rel=1e-5)
    assert found["accuracy"] not in [member["accuracy"] for member in found["members"]]  # the control
    low, high = found["accuracy_interval"]
    assert low < found["accuracy"] < high
    assert np.mean([found["per_class"][name] for name in found["per_class"]]) == pytest.approx(
        found["balanced_accuracy"]
    )


def test_each_member_is_what_eval_says_of_it_alone() -> None:
    found = evaluate_runs(RUNS, device="cpu")
    for member in found["members"]:
        alone = evaluate_run(member["run"], device="cpu")
        same = ("run", "checkpoint", "loss", "accuracy", "accuracy_tta", "accuracy_interval")
        assert member == {name: pytest.approx(alone[name]) if name == "loss" else alone[name] for name in same}
    assert [member["accuracy_tta"] is not None for member in found["members"]] == [False, False, True]
    assert found["accuracy_tta"] is not None  # each under its own recipe's views
    with_tta = evaluate_runs(RUNS[:2], tta="flip", device="cpu")
    assert with_tta["accuracy_tta"] != with_tta["accuracy"]
    assert evaluate_runs(RUNS[:2], device="cpu")["accuracy_tta"] is None


def test_a_folder_of_runs_names_all_of_them() -> None:
    found = evaluate_runs(["cv"], device="cpu")
    assert [member["run"] for member in found["members"]] == RUNS[:2]
    assert found == evaluate_runs(RUNS[:2], device="cpu")
    assert evaluate_runs(["other"], device="cpu") == evaluate_run("other", device="cpu")
    best = evaluate_runs(["cv"], checkpoint="best", device="cpu")
    assert [member["checkpoint"] for member in best["members"]] == ["best", "best"]


def test_folders_count_as_people_do(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("seed10", "seed2"):
        shutil.copytree(copied / "other", copied / "runs" / "many" / name)
    monkeypatch.chdir(copied)
    found = evaluate_runs(["many"], tta="none", device="cpu")
    assert [member["run"] for member in found["members"]] == ["runs/many/seed2", "runs/many/seed10"]
    assert found["accuracy"] == found["members"][0]["accuracy"]  # twice the same


def test_predictions_are_the_mean_of_those_of_each() -> None:
    each = [zoo.predict(run, ["0.png", "1.png", "0.png"], top=10, device="cpu") for run in RUNS]
    together = zoo.predict(RUNS, ["0.png", "1.png", "0.png"], top=10, device="cpu")
    assert [item["image"] for item in together] == ["0.png", "1.png", "0.png"]
    for at, item in enumerate(together):
        by_class = [{one["class"]: one["probability"] for one in found[at]["classes"]} for found in each]
        mean = {name: np.mean([one[name] for one in by_class]) for name in by_class[0]}
        assert {one["class"]: one["probability"] for one in item["classes"]} == pytest.approx(mean, rel=1e-5)
        assert item["classes"] == sorted(item["classes"], key=lambda one: -one["probability"])


def test_one_network_is_in_memory_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[weakref.ref[torch.nn.Module]] = []

    def watched(open_it: Any) -> Any:
        def opening(*arguments: Any, **options: Any) -> Any:
            gc.collect()
            assert [each() for each in held] == [None] * len(held)
            opened = open_it(*arguments, **options)
            held.append(weakref.ref(opened.module))
            return opened

        return opening

    monkeypatch.setattr(ensembles, "open_run", watched(open_run))
    monkeypatch.setattr(trained, "open_network", watched(trained.open_network))
    evaluate_runs(RUNS, tta="none", device="cpu")
    zoo.predict(RUNS, ["0.png"], device="cpu")
    assert len(held) == 2 * len(RUNS)


def test_images_that_no_member_can_read_cost_the_others_nothing(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copied)
    shutil.copy(Path(__file__), "broken.png")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("whole.png")
    with pytest.raises(UnreadableImagesError) as caught:
        zoo.predict(["cv", "other"], ["broken.png", "whole.png"], device="cpu")
    assert caught.value.predictions == zoo.predict(["cv", "other"], ["whole.png"], device="cpu")
    assert len(caught.value.diagnostics) == 1


def classes_of(run: Path, change: Any) -> None:
    data = json.loads((run / "data.json").read_text())
    data["classes"] = change(data["classes"])
    (run / "data.json").write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda names: names[:-1], "other tells 9 classes apart, cv/data.fold=0 10"),
        (
            lambda names: [*names[:3], "4", "3", *names[5:]],
            "other has other classes, in another order: number 3 is 4, of cv/data.fold=0 3",
        ),
        (lambda names: [*names[:9], "nine"], "other has other classes: number 9 is nine, of cv/data.fold=0 9"),
    ],
)
def test_classes_have_to_agree(copied: Path, monkeypatch: pytest.MonkeyPatch, change: Any, message: str) -> None:
    monkeypatch.chdir(copied)
    classes_of(Path("other"), change)
    for use in (lambda: evaluate_runs(["cv", "other"]), lambda: zoo.predict(["cv", "other"], ["0.png"])):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save("0.png")
        with pytest.raises(UsageError) as caught:
            use()
        assert caught.value.message == message
        (note,) = caught.value.notes
        assert note.message == "their classes stand in cv/data.fold=0/data.json and other/data.json"


def test_test_images_have_to_be_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folds of data without a test split are tested on themselves; asked, they are averaged all the same."""
    monkeypatch.chdir(tmp_path)
    for grey, (name, number) in enumerate((name, number) for name in "ab" for number in range(6)):
        Path("photos", name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 20 * grey, np.uint8)).save(f"photos/{name}/{number}.png")
    data = "{source: image_folder, path: photos, batch_size: 4, folds: 2}"
    two = TINY.replace("{source: digits, batch_size: 64, folds: 2}", data).replace("classes: 10", "classes: 2")
    Path("two.yaml").write_text(two.replace("epochs: 2", "epochs: 1"))
    options = RunOptions(run_dir=Path("cv"), quiet=True)
    found = run_several("two.yaml", options, parse_grid(["data.fold=[0, 1]"]), (), raise_if_errors, lambda text: None)
    for point in found["points"]:
        assert point["test_accuracy"] == point["validation_accuracy"]
    with pytest.raises(UsageError, match="are not tested on the same images") as caught:
        evaluate_runs(["cv"])
    assert "data.test: 0.2 holds the same images out in every fold" in str(caught.value.help)
    assert len(zoo.predict("cv", "photos", device="cpu")) == 12


def test_each_run_has_one_vote() -> None:
    for runs in (["other", "other"], ["cv", RUNS[1]], ["other", str(Path("other").absolute())]):
        with pytest.raises(UsageError, match="is named twice"):
            evaluate_runs(runs)
    with pytest.raises(CheckpointError, match="there is no run 'othr'"):
        evaluate_runs(["other", "othr"])
    both = evaluate_runs(["other", "other/checkpoints/best"], tta="none", device="cpu")  # two checkpoints are two
    assert [member["checkpoint"] for member in both["members"]] == ["last", "best"]


def test_runs_stand_in_front_of_images(copied: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copied)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("0.png")
    shutil.copytree("other", "runs/named/0001")
    both = json.loads(zoo("predict", "cv", "other", "0.png", "--json").out)
    assert both == json.loads(zoo("predict", *RUNS, "0.png", "--json").out)
    assert json.loads(zoo("predict", RUNS[0], RUNS[1], "named", "0.png", "--json").out) == both
    alone = json.loads(zoo("predict", "other", "0.png", "--json").out)
    assert alone != both
    Path("named").mkdir()  # a folder of this path is one of images, as it ever was
    shutil.copy("0.png", "named/1.png")
    found = json.loads(zoo("predict", "other", "named", "0.png", "--json").out)
    assert [item["image"] for item in found] == ["named/1.png", "0.png"]
    assert found[1] == alone[0]
    for words, message in (
        (("cv", "other"), "no image is named"),
        (("cv", "0.png", "other"), "other is a run, where images are named"),
        (("other", "0.png", "cv"), "cv is a run, where images are named"),
    ):
        outcome = zoo("predict", *words)
        assert (outcome.status, outcome.out) == (2, "")
        assert message in outcome.err


def test_eval_shows_each_member_and_the_mean(zoo: Zoo) -> None:
    outcome = zoo("eval", "cv", "other", "--device", "cpu")
    found = json.loads(zoo("eval", "cv", "other", "--device", "cpu", "--json").out)
    lines = outcome.out.splitlines()
    for line, member in zip(lines[11:14], found["members"], strict=True):
        assert line.split()[0] == member["run"]
        assert f"loss {member['loss']:.4f}, accuracy {100 * member['accuracy']:.2f} % (95 % interval " in line
    mean = f"mean of them: cross-entropy {found['cross_entropy']:.4f}, accuracy {100 * found['accuracy']:.2f} %"
    assert lines[14].startswith(mean)
    assert lines[15] == f"accuracy with TTA {100 * found['accuracy_tta']:.2f} %"
