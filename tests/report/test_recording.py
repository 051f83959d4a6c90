from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from tests.report.report_world import AUGMENTED, NAMES, batches, digits, network, normalised, outcome, transforms
from zoo.data.batches import Backend, Batches
from zoo.data.sampling import Sampling
from zoo.explain import cams
from zoo.report import Finished, record
from zoo.report.choice import from_every_class, most_confident
from zoo.report.classes import ClassRow, accuracy_text, class_rows
from zoo.report.evidence import has_evidence, read_arrays, read_json
from zoo.schema.recipe import REPORTS, ExplainSection


def test_predictions_are_in_the_splits_order(recorded: Path) -> None:
    found = read_arrays(recorded, "predictions")
    assert found is not None
    np.testing.assert_array_equal(found["labels"], digits().test.labels)
    assert ((found["confidence"] >= found["true_confidence"]) | (found["labels"] == found["predictions"])).all()
    right = found["labels"] == found["predictions"]
    np.testing.assert_array_equal(found["confidence"][right], found["true_confidence"][right])


def test_mistakes_are_recorded_as_the_network_saw_them(recorded: Path) -> None:
    found, data = read_arrays(recorded, "mistakes"), digits()
    assert found is not None
    assert (found["labels"] != found["predictions"]).all()
    assert (np.diff(found["confidence"]) <= 0).all()
    np.testing.assert_array_equal(found["labels"], data.test.labels[found["indices"]])
    np.testing.assert_array_equal(found["images"], data.test.images[found["indices"]])
    assert read_json(recorded)["ids"] == [f"image {index}" for index in found["indices"]]


def test_maps_are_those_of_the_surest_mistakes(tmp_path: Path) -> None:
    data, model = digits(), network().eval()
    written(tmp_path, model, explain=ExplainSection(images=3, layer="5", method="layercam"))
    shown, maps = read_arrays(tmp_path, "mistakes"), read_arrays(tmp_path, "cams")
    assert shown is not None
    assert maps is not None
    images = normalised(data, data.test)[torch.from_numpy(shown["indices"][:3])]
    for kind, column in (("predicted", "predictions"), ("true", "labels")):
        expected = cams(model, images, shown[column][:3].tolist(), method="layercam", layer="5")
        np.testing.assert_allclose(maps[kind] / 255, expected, atol=0.003)
    assert np.abs(maps["predicted"].astype(int) - maps["true"]).max() > 5  # the control: other classes, other maps
    assert read_json(tmp_path)["gradcam"] == {"method": "layercam", "layer": "5"}


def test_augmentations_are_what_those_epochs_saw(recorded: Path) -> None:
    found = read_arrays(recorded, "augmentations")
    assert found is not None
    assert found["augmented"].shape == (6, 5, 8, 8, 1)
    versions = found["augmented"].reshape(30, -1)
    assert len(np.unique(versions, axis=0)) > 15  # crops differ from epoch to epoch
    data = digits()
    first = [int(np.flatnonzero(data.train.labels == label)[0]) for label in found["labels"]]
    np.testing.assert_array_equal(found["originals"], data.train.images[first])
    np.testing.assert_array_equal(there_and_back("Normalize", np.array(first)), found["originals"])
    assert not np.array_equal(found["augmented"][:, 0], found["originals"])


def there_and_back(normalize: object, indices: np.ndarray) -> np.ndarray:
    """Pixels of training images that went through one Normalize."""
    data, specs = digits(), transforms(normalize)
    train = batches(data, data.train, specs)
    finished = Finished(network(), data, train, train, specs, specs, outcome(network(), data))
    return finished.pixels(finished.augmented(indices, epoch=1), specs)


@pytest.mark.parametrize(
    "normalize",
    [
        "Normalize: {max_pixel_value: 100.0}",
        "Normalize: {mean: [0.1], std: [0.7]}",
        "Normalize: {mean: 0.0, std: 0.5}",
        "Normalize: {normalization: min_max}",
        "Sequential: {transforms: [{Normalize: {mean: [0.1], std: [0.7]}}], p: 1.0}",
        "OneOf: {transforms: [{Normalize: {mean: [0.1], std: [0.7]}}, {Normalize: {mean: 0.0, std: 1.0}}], p: 1.0}",
    ],
)
def test_every_normalize_is_undone(normalize: str) -> None:
    images = digits().train.images
    from_black_to_white = np.flatnonzero((images.min(axis=(1, 2, 3)) == 0) & (images.max(axis=(1, 2, 3)) == 255))
    back = there_and_back(yaml.safe_load(normalize), from_black_to_white)
    np.testing.assert_array_equal(back, images[from_black_to_white])


def test_augmentations_of_images_that_come_again_are_the_first_that_came(tmp_path: Path) -> None:
    data, specs = digits(), transforms(*AUGMENTED)
    train = batches(data, data.train, specs, repeats=3)
    written(tmp_path, network(), train=train)
    found = read_arrays(tmp_path, "augmentations")
    assert found is not None
    count, labels = len(data.train), found["labels"]
    assert found["augmented"].shape[:2] == found["epochs"].shape == (6, found["epochs"].shape[1])
    assert found["epochs"][:, :3].tolist() == [[1, 1, 1]] * 6  # all of one epoch, which has each three times
    came = np.flatnonzero(np.bincount(train.sampling.order(1) % count, minlength=count))
    chosen = [int(next(index for index in came if data.train.labels[index] == label)) for label in labels]
    np.testing.assert_array_equal(found["originals"], data.train.images[chosen])
    for time in range(3):
        images = train.batch(1, [index + time * count for index in chosen]).images * data.std[0] + data.mean[0]
        np.testing.assert_array_equal(found["augmented"][:, time, ..., 0], (images[:, 0] * 255).round())
    assert not np.array_equal(found["augmented"][:, 0], found["augmented"][:, 1])


@pytest.mark.parametrize("backend", ["batched", "albumentations"])
def test_augmentations_are_those_of_the_trainings_own_backend(backend: Backend, tmp_path: Path) -> None:
    data, specs = digits(), transforms(*AUGMENTED)
    train = batches(data, data.train, specs, backend)
    written(tmp_path, network(), train=train)
    found = read_arrays(tmp_path, "augmentations")
    assert found is not None
    first = [int(np.flatnonzero(data.train.labels == label)[0]) for label in found["labels"]]
    for at in range(5):
        images = train.batch(at + 1, first).images * data.std[0] + data.mean[0]
        np.testing.assert_array_equal(found["augmented"][:, at, ..., 0], (images[:, 0] * 255).round())
    other = batches(data, data.train, specs, "batched" if backend == "albumentations" else "albumentations")
    assert not torch.equal(other.batch(1, first).images, train.batch(1, first).images)  # the control


def test_recording_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = network().train()
    before = copy.deepcopy(model.state_dict())
    written(tmp_path, model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_network_without_maps_gets_a_remark(tmp_path: Path) -> None:
    torch.manual_seed(0)
    remarks = written(tmp_path, nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    assert "no layer of this network has a map" in remarks["gradcam"]
    assert read_json(tmp_path)["remarks"] == remarks


def test_what_one_report_fails_of_costs_no_other(tmp_path: Path) -> None:
    from zoo.report import render

    said = "OutOfMemoryError: CUDA out of memory"
    broken = without_memory()
    remarks = written(tmp_path, network(), train=broken)
    assert remarks == {"augmentations": said}
    assert {path.stem for path in (tmp_path / "evidence").iterdir()} == {"evidence", "predictions", "mistakes", "cams"}
    remarks = written(tmp_path, network(), test=broken)
    assert remarks == dict.fromkeys(("misclassified", "gradcam", "summary"), said)
    assert read_arrays(tmp_path, "cams") is None  # those of the recording before
    assert read_arrays(tmp_path, "augmentations") is not None
    (tmp_path / "result.json").write_text("{}")
    text = render(tmp_path).read_text(encoding="utf-8")
    assert text.count(f"Not made: {said}.") == 3
    assert "<h2>The network" in text or "The network</h2>" in text


def test_a_recording_that_is_cut_short_leaves_none(tmp_path: Path) -> None:
    written(tmp_path, network())
    assert has_evidence(tmp_path, steps=30)
    found = replace(outcome(network(), digits()), probabilities=None)
    with pytest.raises(ValueError, match="kept no predictions"):
        written(tmp_path, network(), evaluation=found, steps=60)
    assert not list((tmp_path / "evidence").iterdir())


def test_evidence_knows_how_long_its_training_was(tmp_path: Path) -> None:
    written(tmp_path, network(), reports=())
    assert read_json(tmp_path, steps=30) == read_json(tmp_path) != {}
    assert not has_evidence(tmp_path, steps=60)
    (tmp_path / "evidence" / "evidence.json").write_text("{")
    assert not has_evidence(tmp_path, steps=30)


def test_a_network_without_mistakes_gets_a_remark_and_a_page(tmp_path: Path) -> None:
    from zoo.report import render

    data = digits()
    found = outcome(network(), data)
    perfect = np.eye(10, dtype=np.float32)[found.labels]
    remarks = written(tmp_path, network(), evaluation=replace(found, probabilities=perfect))
    assert remarks == {"gradcam": "no test image was misclassified"}
    (tmp_path / "result.json").write_text("{}")
    assert "Not one test image was misclassified." in render(tmp_path, ["misclassified"]).read_text()


@pytest.mark.parametrize("reports", [(), ("class_accuracy",), ("misclassified",)])
def test_only_what_is_asked_for_is_recorded(tmp_path: Path, reports: tuple[str, ...]) -> None:
    written(tmp_path, network(), reports=reports)
    names = {path.stem for path in (tmp_path / "evidence").iterdir()}
    assert names == {"evidence", "predictions"} | ({"mistakes"} if "misclassified" in reports else set())


def without_memory() -> Batches:
    """Batches that nobody can have."""

    class Renderer:
        def render(self, epoch: int, batches: object, start: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")

    sampling = Sampling(np.zeros(300, dtype=np.int64), seed=0, shuffle=False)
    return Batches(
        Renderer(), sampling, sampling.order, batch_size=100, drop_last=False, backend="batched", reason="a test"
    )


def written(folder: Path, model: nn.Module, **given: Any) -> dict[str, str]:
    data, augmented, plain = digits(), transforms(*AUGMENTED), transforms("Normalize")
    finished = Finished(
        model,
        data,
        train=given.pop("train", None) or batches(data, data.train, augmented),
        test=given.pop("test", None) or batches(data, data.test, plain),
        train_transforms=augmented,
        eval_transforms=plain,
        evaluation=given.pop("evaluation", None) or outcome(copy.deepcopy(model), data),
    )
    asked = {"steps": 30, "reports": REPORTS, "explain": ExplainSection(), "range_test": None, "model_name": ""}
    return record(folder, finished, **(asked | given))


def test_class_rows_count_and_rank() -> None:
    rows = class_rows(np.array([[5, 1, 4], [0, 3, 0], [0, 0, 0]]), ["a", "b", "c"])
    assert rows[0] == ClassRow("a", 5, 10, (("c", 4), ("b", 1)), 1.0)
    assert (rows[1].accuracy, rows[1].taken_for, rows[1].precision) == (1.0, (), 0.75)
    assert (rows[2].accuracy, rows[2].precision) == (None, 0.0)
    assert accuracy_text(rows).splitlines()[1:] == ["Accuracy of     b : 100 %", "Accuracy of     c : no images"]


def test_the_text_is_the_seeds_text(shared_dir: Path) -> None:
    seed = next((shared_dir / "seeds").glob("001_*.txt")).read_text(encoding="utf-8")
    lines = [line for line in seed.splitlines() if line.startswith("Accuracy of")]
    names = [line.split()[2] for line in lines]
    rows = [ClassRow(name, int(line.split()[-2]), 100, ()) for name, line in zip(names, lines, strict=True)]
    assert accuracy_text(rows) == "\n".join(lines)
    assert accuracy_text([ClassRow("x", 999, 1000, ())]) == "Accuracy of     x : 99 %"  # 99.9 is not 100


def test_the_surest_mistakes_come_first() -> None:
    labels, predictions = np.array([0, 0, 1, 1, 2]), np.array([1, 1, 1, 0, 0])
    confidence = np.array([0.5, 0.9, 1.0, 0.6, 0.7], np.float32)
    assert most_confident(labels, predictions, confidence, 3).tolist() == [1, 4, 3]
    assert most_confident(labels, labels, confidence, 3).tolist() == []


def test_the_gallery_takes_turns_among_classes() -> None:
    labels = np.array([0] * 10 + [1, 2])
    predictions = (labels + 1) % 3
    confidence = np.linspace(1, 0.3, 12).astype(np.float32)
    assert from_every_class(labels, predictions, confidence, 4).tolist() == [0, 1, 10, 11]
    assert len(from_every_class(labels, predictions, confidence, 50)) == 12


def test_names_of_classes_reach_the_evidence(recorded: Path) -> None:
    assert read_json(recorded)["classes"] == list(NAMES)
