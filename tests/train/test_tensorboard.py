"""TensorBoard's event files hold what the metrics files hold, and a resume purges what lies beyond it."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.events import EpochFinished, StepLogged, TrainingStarted
from zoo.train import TensorBoardFiles

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def started(step: int) -> TrainingStarted:
    return TrainingStarted(1.0, 20, 20, step, "cpu", "fp32")


def logged(step: int, loss: float) -> StepLogged:
    return StepLogged(1, step, 20, loss, 0.5, 0.1, 1000.0, 1.0, 1.0)


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    events = accumulator.EventAccumulator(str(folder)).Reload()
    return [(event.step, pytest.approx(event.value)) for event in events.Scalars(name)]


def test_scalars_stand_against_steps(tmp_path: Path) -> None:
    with TensorBoardFiles(tmp_path) as files:
        files(started(0))
        files(logged(10, 1.5))
        files(
            EpochFinished(1, 20, {"loss": 1.0, "accuracy": 0.6}, 0.05, 2.0, 900.0, test={"loss": 0.9, "accuracy": 0.7})
        )
    assert scalars(tmp_path, "step/loss") == [(10, 1.5)]
    assert scalars(tmp_path, "lr") == [(10, 0.1)]
    assert scalars(tmp_path, "test/accuracy") == [(20, 0.7)]


def test_a_resume_purges_what_lies_beyond_its_checkpoint(tmp_path: Path) -> None:
    with TensorBoardFiles(tmp_path) as files:
        files(started(0))
        files(logged(5, 2.0))
        files(logged(10, 1.5))
    with TensorBoardFiles(tmp_path) as files:
        files(started(5))
        files(logged(10, 1.25))
    assert scalars(tmp_path, "step/loss") == [(5, 2.0), (10, 1.25)]


def test_a_resume_from_the_beginning_purges_everything(tmp_path: Path) -> None:
    for loss in (2.0, 1.5):
        with TensorBoardFiles(tmp_path) as files:
            files(started(0))
            files(logged(5, loss))
    assert scalars(tmp_path, "step/loss") == [(5, 1.5)]
