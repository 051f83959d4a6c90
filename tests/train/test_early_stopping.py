"""When a training stops early: by the definition, in the loop, and after it was killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.train.small_world import Small, Trap, in_process, only, run, traces
from tests.train.test_engine import MakeTraining
from zoo.events import EpochFinished, Message, TrainingFinished
from zoo.schema.recipe import EarlyStoppingSection
from zoo.train.early_stopping import Watched

# No epoch is better than the first by so much: it stops after epoch 3 of 6.
HOPELESS = {"metric": "train.loss", "patience": 2, "min_delta": 100.0}
SMALL = Small(train={"epochs": 6, "early_stopping": HOPELESS, "checkpoint": {"every_minutes": 1e-9}}, samples=64)


def stops_after(figures: list[float], patience: int, min_delta: float, sign: int) -> int | None:
    """By the definition: the first epoch that lies ``patience`` epochs behind the last one that was better."""
    best, of = figures[0], 0
    for epoch, figure in enumerate(figures):
        if sign * (figure - best) > min_delta:
            best, of = figure, epoch
        if epoch - of == patience:
            return epoch + 1
    return None


@given(
    figures=st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]), min_size=1, max_size=12),
    patience=st.integers(1, 4),
    min_delta=st.sampled_from([0.0, 0.2]),
    metric=st.sampled_from(["loss", "accuracy", "train.loss", "train.accuracy"]),
)
def test_it_stops_by_the_definition(
    figures: list[float],
    patience: int,
    min_delta: float,
    metric: Literal["loss", "accuracy", "train.loss", "train.accuracy"],
) -> None:
    settings = EarlyStoppingSection(patience=patience, metric=metric, min_delta=min_delta)
    watched, stopped = Watched(), None
    for epoch, figure in enumerate(figures, start=1):
        own, others = {metric.removeprefix("train."): figure}, {"loss": 0.5, "accuracy": 0.5}
        train, held_out = (own, others) if metric.startswith("train.") else (others, own)
        watched = watched.after(epoch, train, held_out, settings, last=False)
        if watched.has_stopped:
            stopped = epoch
            break
    assert stopped == stops_after(figures, patience, min_delta, 1 if metric.endswith("accuracy") else -1)


def test_without_the_section_nothing_is_watched() -> None:
    assert Watched().after(1, {"loss": 1.0}, None, None, last=False) == Watched()


def test_the_loop_ends_with_a_whole_last_test(training: MakeTraining) -> None:
    one = training(train={"epochs": 6, "early_stopping": HOPELESS}, evaluation={"tta": "flip"})
    events = run(one)
    epochs = only(events, EpochFinished)
    assert [event.epoch for event in epochs] == [1, 2, 3]
    assert [event.test is not None and "accuracy_tta" in event.test for event in epochs] == [False, False, True]
    assert one.final is not None
    assert one.final.probabilities is not None
    (told,) = [event.text for event in only(events, Message) if event.text.startswith("stopped early")]
    (finished,) = only(events, TrainingFinished)
    best, most_accurate = epochs[0].train["loss"], finished.result["best"]["epoch"]
    assert told == (
        f"stopped early: train.loss was best after epoch 1 ({best:.4f}), the 2 tests after it brought none better; "
        f"checkpoints/best holds epoch {most_accurate}"
    )
    assert (finished.result["epochs"], finished.result["steps"], finished.result["stopped_early"]) == (3, 18, True)
    assert one.folder is not None
    assert (one.folder.checkpoints / "last").is_dir()


def test_only_epochs_that_are_tested_count(training: MakeTraining) -> None:
    one = training(train={"epochs": 12, "early_stopping": HOPELESS}, evaluation={"every": 2})
    assert [event.epoch for event in only(run(one), EpochFinished)][-1] == 6  # after the first test, two more


def test_a_training_that_gets_better_goes_on_to_its_end(training: MakeTraining) -> None:
    hopeful = {"metric": "train.loss", "patience": 2}
    (finished,) = only(run(training(train={"epochs": 3.5, "early_stopping": hopeful})), TrainingFinished)
    assert (finished.result["epochs"], finished.result["stopped_early"]) == (3.5, False)


def test_a_training_that_waited_to_its_last_epoch_did_not_stop_early(training: MakeTraining) -> None:
    (finished,) = only(run(training(train={"epochs": 3, "early_stopping": HOPELESS})), TrainingFinished)
    assert (finished.result["epochs"], finished.result["stopped_early"]) == (3, False)
    (control,) = only(run(training(train={"epochs": 4, "early_stopping": HOPELESS})), TrainingFinished)
    assert (control.result["epochs"], control.result["stopped_early"]) == (3, True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert in_process(folder, SMALL)[0] == 0
    return traces(folder)


@pytest.mark.parametrize("moment", ["step=5,", "EpochFinished(epoch=2", "EpochFinished(epoch=3", "TrainingFinished"])
def test_a_killed_training_stops_where_it_would_have(
    tmp_path: Path, uninterrupted: dict[str, Any], moment: str
) -> None:
    in_process(tmp_path / "run", SMALL, Trap(after=moment))
    code, said = in_process(tmp_path / "run", replace(SMALL, resume=True))
    assert code == 0, said
    assert traces(tmp_path / "run") == uninterrupted


def test_a_signal_within_the_test_counts_it_once(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    """An epoch has 4 steps and 1 batch in its test, which is the network's tenth forward."""
    import signal

    code, _ = in_process(tmp_path / "run", SMALL, Trap("forward", 10, signal=signal.SIGINT))
    assert code == 130
    code, said = in_process(tmp_path / "run", replace(SMALL, resume=True))
    assert code == 0, said
    assert traces(tmp_path / "run") == uninterrupted
    control = replace(SMALL, train={**SMALL.train, "early_stopping": {**HOPELESS, "patience": 3}})
    in_process(tmp_path / "other", control)
    assert traces(tmp_path / "other") != uninterrupted
