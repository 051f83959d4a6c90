"""Trainings whose first epochs are on smaller images: who sees which size, and that a resume changes nothing."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.train.small_world import Small, Trap, in_process, in_ranks, only, small_training, traces
from zoo.events import EpochFinished, StepLogged
from zoo.optim.averaging import SWA
from zoo.schema.recipe import DistillationSection
from zoo.train import Runtime, Training, fit
from zoo.train.console import epoch_text
from zoo.train.distillation import Distillation
from zoo.train.metrics import StepClock
from zoo.train.sinks import epoch_line
from zoo.train.tracking import figures_of

GROWING = Small(
    train={"epochs": 3, "progressive_resizing": {"epochs": [0.0, 2.0], "sizes": [4, 8], "multiple_of": 2}},
    samples=40,
)  # 4, 6, 8


@contextmanager
def watched(training: Training) -> Iterator[dict[str, list[int]]]:
    """The heights of the images that the network sees, in training and in tests."""
    seen: dict[str, list[int]] = {"train": [], "test": []}

    def note(module: nn.Module, inputs: tuple[Tensor]) -> None:
        seen["train" if module.training else "test"].append(inputs[0].shape[-2])

    handle = training.model.register_forward_pre_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


def test_each_epoch_trains_on_its_size_and_every_test_is_on_the_images_own() -> None:
    training = small_training(replace(GROWING, evaluation={"tta": "flip"}), None)
    with watched(training) as seen:
        events = list(fit(training))
    assert seen["train"] == [4] * 3 + [6] * 3 + [8] * 3
    assert set(seen["test"]) == {8}
    assert [event.image_size for event in only(events, EpochFinished)] == [(4, 4), (6, 6), (8, 8)]


def test_control_without_the_key_nothing_is_resized_nor_told() -> None:
    training = small_training(replace(GROWING, train={"epochs": 1}), None)
    with watched(training) as seen:
        (event,) = only(list(fit(training)), EpochFinished)
    assert set(seen["train"]) == {8}
    assert event.image_size is None
    assert "image_size" not in epoch_line(event)


def test_all_epochs_at_their_own_size_are_a_training_without_the_key_to_the_last_bit() -> None:
    def weights(**train: Any) -> dict[str, Tensor]:
        training = small_training(replace(GROWING, train={"epochs": 2, **train}), None)
        for _ in fit(training):
            pass
        return dict(training.model.state_dict())

    plain, own = weights(), weights(progressive_resizing={"epochs": [0.0], "sizes": [8]})
    small = weights(progressive_resizing={"epochs": [0.0], "sizes": [4]})
    assert all(torch.equal(plain[name], own[name]) for name in plain)
    assert not torch.equal(plain["0.weight"], small["0.weight"])  # control


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["step=2,", "step=4,", "EpochFinished(epoch=1", "EpochFinished(epoch=2"])
def test_a_killed_run_goes_on_at_the_size_it_was_at(tmp_path: Path, moment: str) -> None:
    small = replace(GROWING, train={**GROWING.train, "checkpoint": {"every_minutes": 1e-9}})
    assert in_process(tmp_path / "whole", small)[0] == 0
    assert in_process(tmp_path / "run", small, Trap(after=moment))[0] == -signal.SIGKILL
    assert in_process(tmp_path / "run", replace(small, resume=True))[0] == 0
    assert traces(tmp_path / "run") == traces(tmp_path / "whole")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["image_size"] for line in lines] == [[4, 4], [6, 6], [8, 8]]
    table = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    column = table[0].split(",").index("image_height")
    assert [row.split(",")[column] for row in table[1:]] == ["4", "6", "8"]


def test_two_ranks_train_as_one_does(tmp_path: Path) -> None:
    small = replace(GROWING, plain=True, lr=0.01)
    assert in_process(tmp_path / "one", small)[0] == 0
    assert [code for code, _ in in_ranks(tmp_path / "two", small)] == [0, 0]
    one, two = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    assert [line["image_size"] for line in two] == [line["image_size"] for line in one]
    for of_one, of_two in zip(one, two, strict=True):
        assert of_two["train"]["loss"] == pytest.approx(of_one["train"]["loss"], rel=1e-4)


def test_the_teacher_sees_the_images_in_their_own_size() -> None:
    training, seen = small_training(GROWING, None), []

    def teacher(images_BCHW: Tensor) -> Tensor:
        seen.append(images_BCHW.shape[-2])
        return torch.zeros(len(images_BCHW), 4)

    training.distillation = Distillation(training.loss, teacher, DistillationSection(teacher="big"))
    for _ in fit(training):
        pass
    assert seen == [8] * 9


def test_statistics_of_an_average_are_of_the_images_own_size() -> None:
    training, sizes = small_training(GROWING, None), []

    class Watching(SWA):
        def refresh_statistics(self, images: Iterable[Tensor]) -> None:
            given = list(images)
            sizes.extend(batch.shape[-2] for batch in given)
            super().refresh_statistics(given)

    training.averaging = [Watching(training.model, steps_per_epoch=3, start_epoch=1)]
    for _ in fit(training):
        pass
    assert set(sizes) == {8}


@pytest.mark.parametrize("compiled", [False, True])
def test_warming_up_goes_through_each_size_of_batch_and_of_images(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is compiled there is all that the steps need: no shape comes in training that did not come before it."""
    monkeypatch.setattr(Runtime, "warms_up", True)
    monkeypatch.setattr(Runtime, "compiled", compiled)
    monkeypatch.setattr(torch, "compile", lambda forward, **options: forward)
    training, shapes = small_training(GROWING, None), []
    training.model.register_forward_pre_hook(
        lambda module, inputs: shapes.append(tuple(inputs[0].shape)) if module.training else None
    )
    for _ in fit(training):
        pass
    warmed, trained = shapes[:6], shapes[6:]
    assert warmed == [(count, 3, size, size) for count in (16, 8) for size in (4, 6, 8)]
    assert trained == [(count, 3, size, size) for size in (4, 6, 8) for count in (16, 16, 8)]


def test_what_is_left_counts_by_pixels() -> None:
    training = small_training(GROWING, None)
    assert training.steps_left(1, 0) == pytest.approx(3 + 3 * 36 / 16 + 3 * 64 / 16)
    assert training.steps_left(1, 2) == pytest.approx(1 + 3 * 36 / 16 + 3 * 64 / 16)
    assert training.steps_left(3, 8) == pytest.approx(1)
    assert training.steps_left(3, 9) == 0
    assert replace(training, image_sizes=()).steps_left(1, 2) == 7
    first, *_ = only(list(fit(training)), StepLogged)
    assert first.run_eta_seconds > 4 * first.epoch_eta_seconds  # of one step; 20 of its size are left


def test_images_a_second_are_those_of_the_present_size() -> None:
    times = iter([0.0, 1.0, 1.0, 2.0, 2.0, 6.0, 6.0, 10.0])
    clock = StepClock(lambda: next(times))
    rates, seconds = [], 0.0
    for size in ((4, 4), (4, 4), (8, 8), (8, 8)):
        clock.turn_to(size)
        clock.start()
        clock.step(images=100)
        seconds += clock.stop()
        rates.append(clock.images_per_second)
    assert rates == [100.0, 100.0, 25.0, 25.0]
    assert clock.step_seconds == 4.0
    assert seconds == 10.0


def test_the_size_is_told_in_the_epochs_line_and_to_trackers() -> None:
    figures = {"loss": 1.0, "accuracy": 0.5}
    event = EpochFinished(2, 20, figures, 0.1, 1.0, 100.0, figures, image_size=(16, 24))
    assert epoch_text(event, 3).startswith("epoch 2/3  16 x 24  train ")
    assert "16 x 24" not in epoch_text(event, 3, short=True)  # 80 columns are full
    shown = figures_of(event)
    assert shown is not None
    assert shown.values["image_size"] == 16.0
    without = figures_of(replace(event, image_size=None))
    assert without is not None
    assert "image_size" not in without.values
