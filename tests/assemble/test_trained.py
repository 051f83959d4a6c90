"""What a trained run can do by itself, once the data set it was trained on is gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.assemble.explaining import ExplainOptions, explain_target, statistics_of
from zoo.assemble.options import RunOptions
from zoo.assemble.run import run_recipe
from zoo.assemble.trained import evaluate_run, predict_images
from zoo.errors import CheckpointError, DataError, raise_if_errors

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
    """A copy of the run in a folder that has no data, and one image."""
    shutil.copytree(trained / "run", tmp_path / "run")
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


def test_what_needs_the_data_says_so(alone: Path) -> None:
    with pytest.raises(DataError):
        evaluate_run("run")
    (Path("run") / "data.json").unlink()  # as of a run from before there was one
    with pytest.raises(DataError):
        predict_images("run", [Path("one.png")])


def test_a_damaged_description_is_no_traceback(alone: Path) -> None:
    (Path("run") / "data.json").write_text('{"name": "shades", "classes": 2}')
    with pytest.raises(CheckpointError, match=r"data\.json: it is damaged"):
        predict_images("run", [Path("one.png")])
