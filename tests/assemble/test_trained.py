"""What a trained run can do by itself, once the data set it was trained on is gone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.assemble import explaining
from zoo.assemble.explaining import ExplainOptions, explain_target, statistics_of
from zoo.assemble.finding import find_run, run_and_checkpoint
from zoo.assemble.networks import foreign_network
from zoo.assemble.options import RunOptions
from zoo.assemble.run import run_recipe
from zoo.assemble.trained import evaluate_run, predict_images
from zoo.errors import CheckpointError, DataError, UnreadableImagesError, UsageError, raise_if_errors
from zoo.explain import Explanation, explain
from zoo.train import read_checkpoint

RECIPE = """
name: shades
model: {architecture: tiny_resnet, classes: 2, width: 4}
data: {source: image_folder, path: photos, batch_size: 8}
transforms: {train: [Normalize], eval: [{Resize: {height: 16, width: 16}}, Normalize]}
optimizer: {name: SGD, lr: 0.05}
train: {epochs: 2}
reports: []
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a folder of dark and light photographs."""
    place = tmp_path_factory.mktemp("shades")
    random = np.random.default_rng(0)
    for split, count in (("train", 16), ("test", 4)):
        for name, level in (("dark", 40), ("light", 200)):
            (place / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = (level + random.integers(-30, 30, (16, 16, 3))).astype(np.uint8)
                Image.fromarray(pixels).save(place / "photos" / split / name / f"{number}.png")
    (place / "shades.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        run_recipe("shades.yaml", RunOptions(run_dir=Path("run"), quiet=True), raise_if_errors, lambda text: None)
    return place


@pytest.fixture
def alone(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run in a folder that has no data, as if those it was trained on were gone, and one image."""
    shutil.copytree(trained / "run", tmp_path / "run")
    environment = tmp_path / "run/env.json"
    environment.write_text(environment.read_text().replace(str(trained / "photos"), str(trained / "gone")))
    shutil.copy(trained / "photos/test/light/0.png", tmp_path / "one.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_knows_of_its_data_what_classifying_needs(trained: Path) -> None:
    found = json.loads((trained / "run/data.json").read_text())
    assert (found["classes"], found["image_shape"]) == (["dark", "light"], [3, 16, 16])
    assert found["mean"] == pytest.approx([120 / 255] * 3, abs=0.02)
    assert len(found["std"]) == 3


def test_images_are_classified_and_explained_without_the_data(
    trained: Path, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (told,) = predict_images("run", [Path("one.png")], top=2)
    monkeypatch.chdir(trained)
    (beside_the_data,) = predict_images("run", [alone / "one.png"], top=2)
    assert told["classes"] == beside_the_data["classes"]
    monkeypatch.chdir(alone)
    maps = explain_target("run", ExplainOptions(images=(Path("one.png"),), out=Path("maps")), lambda text: None)
    assert Path(maps["figures"][0]).is_file()
    assert maps["images"][0]["predicted"] == told["classes"][0]["class"]


def test_folders_of_images_are_classified_like_their_files(alone: Path) -> None:
    (alone / "mine/more").mkdir(parents=True)
    for name in ("mine/b.png", "mine/more/a.png", "mine/.hidden.png"):
        shutil.copy("one.png", name)
    found = predict_images("run", [Path("one.png"), Path("mine")], device="cpu")
    assert [item["image"] for item in found] == ["one.png", "mine/b.png", "mine/more/a.png"]
    (alone / "empty").mkdir()
    with pytest.raises(UsageError, match="no images in empty"):
        predict_images("run", [Path("empty")], device="cpu")
    with pytest.raises(UsageError, match="run is a run"):
        predict_images("run", [Path("run")], device="cpu")


def test_images_that_cannot_be_read_cost_the_others_nothing(alone: Path) -> None:
    (alone / "mine").mkdir()
    shutil.copy("one.png", "mine/b.png")
    for name in ("a.png", "c.png"):
        (alone / "mine" / name).write_bytes(b"no picture")
    with pytest.raises(DataError) as caught:
        zoo.predict("run", ["mine"], device="cpu")
    assert isinstance(caught.value, UnreadableImagesError)
    assert caught.value.predictions == zoo.predict("run", ["mine/b.png"], device="cpu")
    assert [(item.message, item.help) for item in caught.value.diagnostics] == [
        ("mine/a.png: not an image", None),
        ("mine/c.png: not an image", "mend or remove these 2 images; classified all the same: 1"),
    ]
    with pytest.raises(DataError) as caught:
        zoo.predict("run", ["mine/a.png"], device="cpu")
    assert [item.help for item in caught.value.diagnostics] == ["mend or remove it"]
    for missing, help in (
        ("mine/d.png", "did you mean a.png, b"),
        ("photos/1.jpg", "name files and folders by"),
    ):
        with pytest.raises(DataError, match="there is no image") as caught:
            zoo.predict("run", [missing], device="cpu")
        assert str(caught.value.diagnostics[0].help).startswith(help)


def test_of_many_images_that_cannot_be_read_some_are_told() -> None:
    errors = [DataError(f"{number}.png: not an image") for number in range(300)]
    told = UnreadableImagesError(errors, []).diagnostics
    assert len(told) == 20
    assert (told[0].message, told[-1].message) == ("0.png: not an image", "299.png: not an image")
    assert told[-1].help == "mend or remove these 300 images"


def test_a_model_with_trained_weights_comes_in_evaluation_mode(alone: Path) -> None:
    assert not zoo.load_model("run").training
    weights = zoo.load_model("run").state_dict()
    assert weights["fc.weight"].shape[0] == 2
    assert zoo.load_model("tiny_resnet").training


@pytest.mark.parametrize(
    ("target", "mean", "std"),
    [
        ("timm:vit_tiny_patch16_224", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("timm:resnet18", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("torchvision:resnet18", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ],
)
def test_pretrained_models_see_images_normalised_as_their_library_says(
    target: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    assert statistics_of(target, zoo.load_model(target)) == (mean, std)


def test_a_run_finds_its_data_again_from_wherever_it_is_opened(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = evaluate_run(str(trained / "run"))
    assert found["accuracy"] == json.loads((trained / "run/result.json").read_text())["test"]["accuracy"]


def test_what_a_run_resolved_trains_anew_with_its_data(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = RunOptions(run_dir=Path("again"), quiet=True)
    again = run_recipe(str(trained / "run/resolved.yaml"), options, raise_if_errors, lambda text: None)
    assert again["test"] == json.loads((trained / "run/result.json").read_text())["test"]


def test_a_run_goes_on_with_the_data_it_began_with(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    (tmp_path / "shades.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)  # neither here nor beside the recipe are there any photos
    options = RunOptions(run_dir=Path("run"), resume=True, epochs=3, quiet=True)
    assert run_recipe("shades.yaml", options, raise_if_errors, lambda text: None)["epochs"] == 3


def test_what_needs_the_data_says_so(alone: Path) -> None:
    with pytest.raises(DataError, match="no image folders"):
        evaluate_run("run")
    (Path("run") / "data.json").unlink()  # as of a run from before there was one
    with pytest.raises(DataError, match="no image folders"):
        predict_images("run", [Path("one.png")])


def test_a_damaged_recipe_of_a_run_is_the_runs_fault(alone: Path) -> None:
    (Path("run") / "resolved.yaml").write_text("{")
    for use in (lambda: evaluate_run("run"), lambda: predict_images("run", [Path("one.png")])):
        with pytest.raises(CheckpointError, match=r"resolved\.yaml is damaged: not YAML") as caught:
            use()
        assert caught.value.span is not None


def test_a_damaged_description_is_no_traceback(alone: Path) -> None:
    (Path("run") / "data.json").write_text('{"name": "shades", "classes": 2}')
    with pytest.raises(CheckpointError, match=r"data\.json: it is damaged"):
        predict_images("run", [Path("one.png")])


def test_the_folder_of_a_checkpoint_does_where_a_run_does(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    for name in ("best", "last"):
        checkpoint = Path("run/checkpoints") / name
        found, wanted = evaluate_run(str(checkpoint)), evaluate_run("run", checkpoint=name)
        assert found == wanted
        assert (found["checkpoint"], found["run"]) == (name, "run")
        loaded = zoo.load_model(checkpoint).state_dict()
        assert all(torch.equal(loaded[key], value) for key, value in read_checkpoint(checkpoint).model.items())
        assert find_run(str(checkpoint)) == Path("run")
    with pytest.raises(UsageError, match="'best', --checkpoint names 'last'"):
        evaluate_run("run/checkpoints/best", checkpoint="last")
    with pytest.raises(CheckpointError, match="no checkpoint 'bets'"):
        evaluate_run("run/checkpoints/bets")
    monkeypatch.chdir(trained / "run" / "checkpoints" / "best")
    assert run_and_checkpoint(".") == (trained / "run", "best")


def test_from_python_device_and_checkpoint_are_named(alone: Path) -> None:
    assert zoo.predict("run", ["one.png"], checkpoint="best", device="cpu") == zoo.predict(
        "run/checkpoints/best", ["one.png"]
    )
    with pytest.raises(CheckpointError, match="no checkpoint"):
        zoo.predict("run", ["one.png"], checkpoint="bets")
    found = zoo.explain("run", images=["one.png"], device="cpu", out="maps")
    assert len(found["images"]) == 1


def test_images_and_misclassified_exclude_each_other(alone: Path) -> None:
    with pytest.raises(UsageError, match="--misclassified looks for some in the test set"):
        explain_target("run", ExplainOptions(images=(Path("one.png"),), misclassified=2), lambda text: None)


def test_a_class_of_a_pretrained_model_is_explained(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []
    untrained = foreign_network("timm:test_resnet")  # its weights have no say here, and are not downloaded
    monkeypatch.setattr(explaining, "foreign_network", lambda target, pretrained: untrained)

    def watched(*arguments: Any, target_class: int | None = None, **options: Any) -> Explanation:
        asked.append(target_class)
        return explain(*arguments, target_class=target_class, **options)

    monkeypatch.setattr(explaining, "explain", watched)
    options = ExplainOptions(images=(Path("one.png"),), class_name="goldfish", out=Path("maps"), device="cpu")
    explain_target("timm:test_resnet", options, lambda text: None)
    assert asked == [1]
    with pytest.raises(UsageError, match="no class 'goldfsh'"):
        explain_target("timm:test_resnet", replace(options, class_name="goldfsh"), lambda text: None)
