"""`zoo explain` on photographs of several sizes: what is explained is what was tested."""

from __future__ import annotations

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.assemble import explaining, trained
from zoo.assemble.explaining import ExplainOptions, explain_target
from zoo.assemble.networks import foreign_network
from zoo.assemble.options import RunOptions
from zoo.assemble.run import run_recipe
from zoo.assemble.trained import open_run, predict_images
from zoo.errors import DataError, EnvironmentFault, UsageError, raise_if_errors
from zoo.explain import Explanation
from zoo.train import evaluate

RECIPE = """
name: shades
model: {architecture: tiny_resnet, classes: 2, width: 4}
data: {source: image_folder, path: photos, batch_size: 8}
transforms:
  train: &middle [{SmallestMaxSize: {max_size: 20}}, {CenterCrop: {height: 16, width: 16}}, Normalize]
  eval: *middle
optimizer: {name: SGD, lr: 0.05}
train: {epochs: 1, precision: fp32}
reports: []
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on dark and light photographs, bright in the middle third, no two of one size."""
    place = tmp_path_factory.mktemp("shades")
    random = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 4)):
        for name, level in (("dark", 40), ("light", 140)):
            (place / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(level - 30, level + 30, (24, 40 + 8 * number, 3)).astype(np.uint8)
                pixels[:, 16:24] += 80
                Image.fromarray(pixels).save(place / "photos" / split / name / f"{number}.png")
    (place / "shades.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        run_recipe("shades.yaml", RunOptions(run_dir=Path("run"), quiet=True), raise_if_errors, lambda text: None)
    return place


@pytest.fixture
def drawn(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[Explanation]:
    """The explanations that are drawn; the working directory is the run's."""
    monkeypatch.chdir(place)
    found: list[Explanation] = []
    draw = Explanation.draw

    def watched(self: Explanation, path: Path, **look: Any) -> Path:
        found.append(self)
        return draw(self, path, **look)

    monkeypatch.setattr(Explanation, "draw", watched)
    return found


def explained(**options: Any) -> dict[str, Any]:
    return explain_target("run", ExplainOptions(out=Path("maps"), **options), lambda text: None)


def as_tested() -> dict[str, tuple[float, np.ndarray]]:
    """Of every test image by its name: its confidence in the test, and what the network saw of it."""
    opened = open_run("run")
    found = evaluate(opened.module, opened.base.test, opened.base.loss, runtime=opened.runtime, keep=True)
    assert found.probabilities is not None
    assert found.indices is not None
    confidence = found.probabilities.max(axis=1)
    images = opened.base.test.batch(1, found.indices.tolist()).images.cpu()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (opened.dataset.mean, opened.dataset.std))
    pixels = ((images * std + mean) * 255).round().permute(0, 2, 3, 1).numpy().astype(np.uint8)
    names = [opened.dataset.test.id(int(index)) for index in found.indices]
    return {name: (float(confidence[at]), pixels[at]) for at, name in enumerate(names)}


def test_what_is_explained_is_what_was_tested(drawn: list[Explanation]) -> None:
    explained(class_name="dark")
    known = as_tested()
    assert len(drawn[0].cells) == 4
    for cell in drawn[0].cells:
        confidence, pixels = known[cell.name]
        assert cell.confidence == pytest.approx(confidence, abs=1e-4)
        np.testing.assert_array_equal(cell.image, pixels)  # the crop that the map is of


def test_images_of_several_sizes_are_not_squashed_before_the_transforms(
    drawn: list[Explanation], tmp_path: Path
) -> None:
    known = {Path(name): confidence for name, (confidence, _) in as_tested().items()}
    assert json.loads(Path("run/data.json").read_text())["one_size"] is False
    file = Path("photos/test/light/3.png")
    (told,) = predict_images("run", [file], top=1)
    (confidence,) = (value for name, value in known.items() if name.parts[-2:] == file.parts[-2:])
    assert told["classes"][0]["probability"] == pytest.approx(confidence, abs=1e-4)
    assert explained(images=(file,))["images"][0]["confidence"] == pytest.approx(confidence, abs=1e-4)
    shutil.copytree("run", tmp_path / "run")
    facts = json.loads(Path("run/data.json").read_text())
    (tmp_path / "run/data.json").write_text(json.dumps({**facts, "one_size": True}))
    (squashed,) = predict_images(str(tmp_path / "run"), [file], top=1)  # the control
    assert squashed["classes"][0]["probability"] != pytest.approx(confidence, abs=1e-3)


def test_an_image_that_a_transform_refuses_is_named(place: Path, tmp_path: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "speck.png"
    shutil.copytree(place / "run", run)
    before, found, after = (run / "resolved.yaml").read_text().partition("  eval:\n    - SmallestMaxSize:\n")
    crop = after.index("    - CenterCrop:")
    assert found
    (run / "resolved.yaml").write_text(f"{before}  eval:\n{after[crop:]}")  # nothing enlarges the speck
    Image.new("RGB", (4, 4)).save(file)
    with pytest.raises(DataError, match=r"speck\.png: CenterCrop fails"):
        predict_images(str(run), [file], top=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "gradcm"}, "no CAM method"),
        ({"layer": "nope"}, "no layer 'nope'"),
        ({"class_name": "drak"}, "no class 'drak'"),
    ],
)
def test_what_is_asked_is_checked_before_the_test_set_is(
    options: dict[str, str], message: str, drawn: list[Explanation], monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_early(*arguments: Any, **given: Any) -> None:
        raise AssertionError("the test set was evaluated first")

    monkeypatch.setattr(explaining, "evaluate", too_early)
    with pytest.raises(UsageError, match=message):
        explained(**options)


def test_a_folder_that_cannot_be_made_is_told_before_the_work(
    drawn: list[Explanation], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(explaining, "explain", lambda *words, **options: pytest.fail("images were explained"))
    untrained = foreign_network("timm:test_resnet")
    monkeypatch.setattr(explaining, "foreign_network", lambda target, pretrained: untrained)
    (tmp_path / "maps").touch()
    for target, images in (("run", ()), ("run", (Path("photos"),)), ("timm:test_resnet", (Path("photos"),))):
        with pytest.raises(EnvironmentFault, match=r"cannot write .*maps") as caught:
            explain_target(target, ExplainOptions(out=tmp_path / "maps", images=images), lambda text: None)
        assert caught.value.code == "disk"


def test_a_model_without_a_head_is_told_before_its_weights_are_fetched(drawn: list[Explanation]) -> None:
    said: list[str] = []
    options = ExplainOptions(images=(Path("photos"),))
    with pytest.raises(UsageError, match="timm:eva02_tiny_patch14_224 has no classes: its pretrained weights give"):
        explain_target("timm:eva02_tiny_patch14_224", options, said.append)
    assert not said
    assert not drawn


def test_a_figure_that_cannot_be_written_is_the_disks_fault(
    drawn: list[Explanation], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Explanation, path: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Explanation, "draw", full)
    with pytest.raises(EnvironmentFault, match=r"cannot write maps/explain_.*: No space left"):
        explained(class_name="dark")


def test_a_test_without_mistakes_says_so(drawn: list[Explanation], monkeypatch: pytest.MonkeyPatch) -> None:
    def perfect(*arguments: Any, **given: Any) -> Any:
        found = evaluate(*arguments, **given)
        return replace(found, predictions=found.labels)

    monkeypatch.setattr(explaining, "evaluate", perfect)
    with pytest.raises(UsageError, match="no test image is misclassified"):
        explained()
    with pytest.raises(UsageError, match="no test image of class dark is misclassified"):
        explained(class_name="dark", misclassified=1)
    assert len(explained(class_name="dark")["images"]) == 4  # the control


def test_figures_of_other_questions_are_other_files(drawn: list[Explanation]) -> None:
    asked: list[dict[str, Any]] = [{}, {"layer": "prep"}, {"method": "layercam"}, {"class_name": "light"}]
    figures = [explained(images=(Path("photos/test/dark"),), **options)["figures"] for options in asked]
    assert len({path for paths in figures for path in paths}) == 4
    assert figures[3][0].endswith("_light_dark.png")  # the class that is asked for, the images
    assert explained(images=(Path("photos/test/light"),))["figures"] != figures[0]


def test_many_images_are_explained_in_parts(drawn: list[Explanation], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = explained(images=(Path("photos/test"),))
    sizes: list[int] = []
    seen = trained.network_images

    def watched(opened: Any, pixels: Any) -> torch.Tensor:
        sizes.append(len(pixels))
        return seen(opened, pixels)

    monkeypatch.setattr(explaining, "network_images", watched)
    monkeypatch.setattr(explaining, "FIGURE", 3)
    parts = explained(images=(Path("photos/test"),))
    assert sizes == [3, 3, 2]
    assert [image["predicted"] for image in parts["images"]] == [image["predicted"] for image in whole["images"]]
    assert len(set(parts["figures"])) == 3
    assert all(Path(path).is_file() for path in parts["figures"])
