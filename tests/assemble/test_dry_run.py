"""What a dry run counts when it says how long a run would take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.cli.conftest import TINY
from zoo.assemble import dry_run as module
from zoo.assemble.dry_run import Estimate, dry_run
from zoo.assemble.options import RunOptions
from zoo.data.batches import Batch, Batches
from zoo.errors import raise_if_errors


def estimate(folder: Path, *sets: str) -> Estimate:
    (folder / "tiny.yaml").write_text(TINY.format(epochs=5, reports="[]"))
    return dry_run(str(folder / "tiny.yaml"), RunOptions(sets=sets, quiet=True), raise_if_errors, lambda text: None)


def test_a_step_is_of_as_many_images_as_it_accumulates(tmp_path: Path) -> None:
    found = estimate(tmp_path, "train.accumulate=4")
    assert found.images_per_second * found.step_seconds == pytest.approx(4 * 128)
    assert found.steps == 5 * 3  # 12 batches an epoch
    more_than_there_is = estimate(tmp_path, "train.accumulate=40")
    assert more_than_there_is.images_per_second * more_than_there_is.step_seconds == pytest.approx(1438)


def test_what_an_epoch_is_made_of_is_told(tmp_path: Path) -> None:
    plain = estimate(tmp_path)
    assert "359 test; batches of 128\n" in plain.as_text()
    found = estimate(tmp_path, "data.sampling=balanced", "data.repeats=4")
    assert (found.steps, found.samples) == (plain.steps, plain.samples)
    line = "batches of 128; every class as often; 360 images an epoch, 4 times each, the last 2"
    assert f"data      1,438 training, 359 test; {line}\n" in found.as_text()
    assert {key: found.as_data()[key] for key in ("sampling", "repeats")} == {"sampling": "balanced", "repeats": 4}
    roots = estimate(tmp_path, "data.sampling=sqrt").as_text()
    assert "128; classes by the square root of their counts\n" in roots


def test_an_early_stop_makes_the_length_the_most_there_can_be(tmp_path: Path) -> None:
    stopping = "data.validation=0.2", "train.early_stopping={patience: 2}"
    for sets, line in ((stopping, "5 epochs, 45 steps at most: it may stop early"), ((), "5 epochs, 60 steps")):
        assert f"\ntraining  {line}\n" in estimate(tmp_path, *sets).as_text()


def test_the_groups_of_parameters_are_listed(tmp_path: Path) -> None:
    found = estimate(
        tmp_path,
        "schedule={name: OneCycleLR, max_lr: find}",
        "optimizer={name: SGD, groups: [{match: prep, freeze: true}]}",
    )
    rest, prep = found.as_data()["groups"]
    assert (rest["lr"], rest["frozen"], prep["frozen"]) == (None, None, "always")
    assert rest["values"] + prep["values"] == found.params
    first, second = (line for line in found.as_text().splitlines() if " tensors " in line)
    assert first.startswith("groups    SGD ")
    assert second.startswith("          SGD prep  ")


@pytest.mark.parametrize(("workers", "waits"), [(0, True), (1, False)])
def test_a_step_waits_for_its_batches_unless_workers_make_them(
    workers: int, waits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = Batches.epoch

    def slow(self: Batches, number: int, start: int = 0) -> Iterator[Batch]:
        for place, batch in enumerate(epoch(self, number, start)):
            time.sleep(3.0 if place == 0 else 0.5)  # an epoch's first batch takes longer: the epoch is laid out with it
            yield batch

    monkeypatch.setattr(Batches, "epoch", slow)
    found = estimate(tmp_path, "transforms.backend=albumentations", f"data.workers={workers}", "train.accumulate=2")
    assert (1.0 < found.step_seconds < 3.0) is waits


def test_every_test_and_validation_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds_of(training: object, batches: object, forward: object, tta: str = "none") -> float:
        return 100.0 if tta != "none" else 10.0 if batches is training.validation else 1.0  # type: ignore[attr-defined]

    monkeypatch.setattr(module, "_seconds_of", seconds_of)
    found = estimate(tmp_path, "data.validation=0.2", "eval={every: 2, tta: flip}")
    assert found.evaluation_seconds == 2 * (1 + 10) + 100 + 10  # after epochs 2, 4 and 5, the last time with all views
    assert found.total_seconds == pytest.approx(found.steps * found.step_seconds + found.evaluation_seconds)


def test_a_fold_that_is_tested_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (8, 8), 40 * number).save(tmp_path / "photos" / name / f"{number}.png")
    monkeypatch.setattr(module, "_seconds_of", lambda *arguments: 10.0)
    data = f"data={{source: image_folder, path: {tmp_path / 'photos'}, batch_size: 4, folds: 2}}"
    found = estimate(tmp_path, data, "model.classes=2")
    assert found.samples == {"training": 4, "validation": 4, "test": 4}
    assert found.evaluation_seconds == 5 * 10


def test_a_test_is_timed_by_one_batch_that_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches_of, made = Batches._batches, []

    def counting(self: Batches, *arguments: Any) -> Iterator[Batch]:
        for batch in batches_of(self, *arguments):
            made.append((self.sampling.shuffle, len(batch)))
            yield batch

    monkeypatch.setattr(Batches, "_batches", counting)
    estimate(tmp_path, "eval={batch_size: 100}")
    assert [count for shuffled, count in made if not shuffled and count > 1] == [100]  # one image has the shape


def test_a_dry_run_tells_what_the_run_would_say_of_its_data(tmp_path: Path) -> None:
    for split, count in (("train", 12), ("test", 4)):
        for name, level in (("dark", 40), ("light", 200)):
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (16, 16), (level + number,) * 3).save(tmp_path / f"photos/{split}/{name}/{number}.png")
    (tmp_path / "photos/train/dark/0.png").write_bytes(b"no image")
    (tmp_path / "photos.yaml").write_text(
        "name: photos\nmodel: {architecture: tiny_resnet, classes: 2, width: 4}\n"
        "data: {source: image_folder, path: photos, batch_size: 8, skip_corrupt: 1}\n"
        "optimizer: {name: SGD, lr: 0.1}\ntrain: {epochs: 1}\n"
    )
    told: list[str] = []
    dry_run(str(tmp_path / "photos.yaml"), RunOptions(quiet=True), raise_if_errors, told.append)
    assert any("dark/0.png" in line for line in told), told


@pytest.mark.parametrize(("data", "times"), [("", 0), (", validation: 0.5", 1)])
def test_a_length_that_only_the_data_tells_is_told_by_the_run(tmp_path: Path, data: str, times: int) -> None:
    (tmp_path / "short.yaml").write_text(
        "name: short\nmodel: {architecture: tiny_resnet, width: 4}\n"
        f"data: {{source: digits, batch_size: 128{data}}}\noptimizer: {{name: SGD, lr: 0.1}}\n"
        "schedule: {name: PiecewiseLinear, epochs: [0, 50], factors: [1, 0.5]}\ntrain: {max_steps: 12}\n"
    )
    told: list[str] = []
    checked: list[str] = []
    settle = lambda found: checked.extend(item.code for item in found)  # noqa: E731
    dry_run(str(tmp_path / "short.yaml"), RunOptions(quiet=True), settle, told.append)
    assert [line for line in told if "the last corner is at epoch 50" in line] == [
        "warning: PiecewiseLinear: the last corner is at epoch 50, the training ends after 2"
    ] * times
    assert checked == ["schedule-cut-short"] * (1 - times)


@pytest.mark.parametrize(("data", "times"), [(", validation: 0.1", 1), ("", 0)])
def test_steps_that_only_the_opened_data_tells_are_held_against_the_schedule(
    data: str, times: int, tmp_path: Path
) -> None:
    """Where the data is well known the check has told it; what it tells by epochs is not told twice."""
    (tmp_path / "cycle.yaml").write_text(
        "name: cycle\nmodel: {architecture: tiny_resnet, width: 4}\n"
        f"data: {{source: digits, batch_size: 128{data}}}\n"
        "optimizer: {name: SGD, groups: [{kind: bias, lr: 0.1, schedule: {name: StepLR, step_size: 30}}]}\n"
        "schedule: {name: OneCycleLR, max_lr: 0.1, total_steps: 10}\ntrain: {epochs: 2}\n"
    )
    told: list[str] = []
    checked: list[str] = []
    settle = lambda found: checked.extend(item.code for item in found)  # noqa: E731
    dry_run(str(tmp_path / "cycle.yaml"), RunOptions(quiet=True), settle, told.append)
    steps = "OneCycleLR: after total_steps 10 of"
    assert [steps in line for line in told if "never reached" in line or steps in line] == [True] * times
    assert checked.count("schedule-ends-early") == 1 - times
    assert checked.count("schedule-cut-short") == 1
