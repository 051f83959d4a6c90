"""The console without a terminal and with one; result.json."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zoo.events import EpochFinished, Event, Message, StepLogged, TrainingFinished, TrainingStarted
from zoo.train import ConsoleProgress, Evaluation, make_result
from zoo.train.console import epoch_text, step_text
from zoo.train.result import judge

EVENTS: list[Event] = [
    Message("warning", "skipped [a] damaged checkpoint"),
    TrainingStarted(2.0, 20, 10, 0, "cpu", "fp32", {"precision": "fp32 (asked for)"}),
    StepLogged(1, 5, 20, 1.25, 0.5, 0.1, 3012.4, 42.0, 3723.0),
    EpochFinished(
        1, 10, {"loss": 1.2, "accuracy": 0.55}, 0.1, 65.0, 3012.4, {"loss": 1.0, "accuracy": 0.625}, None, True
    ),
    TrainingFinished({}),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show(stream: io.StringIO, *, quiet: bool = False) -> str:
    with ConsoleProgress(stream, quiet=quiet) as console:
        for event in EVENTS:
            console(event)
    return stream.getvalue()


def test_without_a_terminal_an_epoch_is_one_plain_line() -> None:
    assert show(io.StringIO()).splitlines() == [
        "warning: skipped [a] damaged checkpoint",
        "precision: fp32 (asked for)",
        "epoch 1/2  train loss 1.2000 acc 55.00 %  test loss 1.0000 acc 62.50 %  lr 0.1  3,012 images/s  1:05  *",
    ]


def test_quiet_leaves_the_warnings() -> None:
    assert show(io.StringIO(), quiet=True) == "warning: skipped [a] damaged checkpoint\n"


def test_a_terminal_shows_the_running_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = show(Terminal())
    assert "epoch 1/2" in text
    assert "loss 1.2500  acc 50.00 %  lr 0.1  3,012 images/s  epoch 0:42  run 1:02:03" in text
    assert "\x1b[33m" in text


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[33m" not in show(Terminal())


def test_result_json_has_the_keys_it_promises(tmp_path: Path) -> None:
    labels = np.array([0, 0, 1])
    finished = TrainingFinished(
        {
            "epochs": 2,
            "stopped_early": False,
            "steps": 20,
            "seed": 0,
            "train": {"loss": 1.0, "accuracy": 0.5},
            "test": {},
            "best": {"epoch": 1, "accuracy": 0.7},
            "seconds": {"total": 10.0, "train": 8.0, "warm_up": 1.0},
            "images_per_second": 306.04,
            "device": "cpu",
            "precision": "bf16",
        }
    )
    result = make_result(
        finished,
        recipe="r",
        model="m",
        params=7,
        classes=("cat", "dog"),
        evaluation=Evaluation(0.9, 2 / 3, 3, None, labels, np.array([0, 1, 1])),
        target={"test_accuracy": 0.6, "test_accuracy_tta": None},
        run_dir=tmp_path,
        setup_seconds=2.0,
    )
    assert result["test"] == {
        "loss": 0.9,
        "accuracy": 2 / 3,
        "accuracy_tta": None,
        "per_class": {"cat": 0.5, "dog": 1.0},
    }
    assert result["target"] == {"test_accuracy": 0.6, "met": True}
    assert result["seconds"] == {"total": 12.0, "train": 8.0, "setup": 2.0, "warm_up": 1.0}
    promised = (
        "recipe model params epochs seed train test best target seconds images_per_second device precision run_dir"
    )
    assert result.keys() >= set(promised.split())


def test_a_target_is_met_when_every_figure_is() -> None:
    test = {"accuracy": 0.93, "accuracy_tta": 0.94}
    assert judge({"test_accuracy": 0.9, "test_accuracy_tta": 0.94}, test) == {
        "test_accuracy": 0.9,
        "test_accuracy_tta": 0.94,
        "met": True,
    }
    assert judge({"test_accuracy": 0.931}, test) == {"test_accuracy": 0.931, "met": False}
    assert judge({"test_accuracy_tta": 0.5}, {"accuracy": 1.0, "accuracy_tta": None}) == {
        "test_accuracy_tta": 0.5,
        "met": False,
    }
    assert judge({"test_accuracy": None}, test) is None


def test_a_part_of_an_epoch_is_told_in_few_digits() -> None:
    figures = {"loss": 1.2345, "accuracy": 0.98765}
    event = EpochFinished(1, 20, figures, 0.1, 3662.0, 12345.0, figures, None, True)
    assert epoch_text(event, 20 / 23).startswith("epoch 1/0.87  ")


def test_rates_of_groups_that_differ_are_told_from_the_least_to_the_greatest() -> None:
    figures = {"loss": 1.0, "accuracy": 0.5}
    event = EpochFinished(1, 20, figures, 0.1, 1.0, 100.0, figures)
    assert "  lr 0.1  " in epoch_text(event, 1)
    assert "  lr 0.1  " in epoch_text(replace(event, lr_span=(0.1, 0.1)), 1)
    assert "  lr 0.01 to 0.5  " in epoch_text(replace(event, lr_span=(0.01, 0.5)), 1)


def test_the_lines_fit_a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    figures = {"loss": 1.2345, "accuracy": 0.98765}
    event = EpochFinished(24, 2352, figures, 0.026731, 3662.0, 12345.0, figures, None, True)
    assert len(epoch_text(event, 24, short=True)) <= 80
    assert len(epoch_text(event, 24)) > 80  # the control
    running = step_text(StepLogged(24, 2300, 2352, 1.2345, 0.98765, 0.1, 12345.0, 62.0, 3723.0), short=True)
    assert running.endswith("epoch 1:02, run 1:02:03 left")
    assert len(f"epoch 24/24 step 2300/2352  {running}") <= 80
    shown = show(Terminal())
    assert "train 1.2000 55.00 %  test 1.0000 62.50 %  3,012/s  1:05  *" in shown
