"""Row 26 of the acceptance table: kill -9 at any moment, resume, and nothing differs from the uninterrupted run."""

from __future__ import annotations

import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.train.small_world import Small, Trap, in_process, traces

# A checkpoint after every step: every kill is in mid-epoch somewhere.
SMALL = Small(train={"epochs": 2, "checkpoint": {"every_minutes": 1e-9}}, samples=64)
EPOCHS_ONLY = Small(train={"epochs": 2}, samples=64)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert in_process(folder, SMALL)[0] == 0
    return traces(folder)


def resumed(folder: Path, small: Small) -> dict[str, Any]:
    code, said = in_process(folder, replace(small, resume=True))
    assert code == 0, said
    assert not list((folder / "checkpoints").glob(".*"))
    return traces(folder)


@pytest.mark.parametrize("number", [1, 4, 7, 23, 40])
def test_killed_in_an_fsync(tmp_path: Path, uninterrupted: dict[str, Any], number: int) -> None:
    code, _ = in_process(tmp_path / "run", SMALL, Trap("fsync", number))
    assert code == -signal.SIGKILL
    assert resumed(tmp_path / "run", SMALL) == uninterrupted


@pytest.mark.parametrize("number", [1, 2, 4, 11])
def test_killed_in_a_rename(tmp_path: Path, uninterrupted: dict[str, Any], number: int) -> None:
    code, _ = in_process(tmp_path / "run", SMALL, Trap("rename", number))
    assert code == -signal.SIGKILL
    assert resumed(tmp_path / "run", SMALL) == uninterrupted


@pytest.mark.parametrize("number", [2, 5])
def test_killed_between_writes(tmp_path: Path, uninterrupted: dict[str, Any], number: int) -> None:
    code, _ = in_process(tmp_path / "run", SMALL, Trap("open", 4 * number))
    assert code == -signal.SIGKILL
    assert resumed(tmp_path / "run", SMALL) == uninterrupted


@pytest.mark.parametrize("moment", ["step=1,", "step=6,", "EpochFinished(epoch=1", "TrainingFinished"])
def test_killed_after_an_event(tmp_path: Path, uninterrupted: dict[str, Any], moment: str) -> None:
    code, _ = in_process(tmp_path / "run", SMALL, Trap(after=moment))
    assert code == -signal.SIGKILL
    assert resumed(tmp_path / "run", SMALL) == uninterrupted


def test_what_goes_on_from_the_best_leaves_a_last(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    """As where a run was killed in its last epoch between the two checkpoints."""
    in_process(tmp_path / "run", EPOCHS_ONLY)
    shelf = tmp_path / "run" / "checkpoints"
    shutil.rmtree(shelf / "best")
    (shelf / "last").rename(shelf / "best")
    assert resumed(tmp_path / "run", EPOCHS_ONLY)["model"] == uninterrupted["model"]


def test_killed_twice(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    in_process(tmp_path / "run", SMALL, Trap(after="step=3,"))
    in_process(tmp_path / "run", replace(SMALL, resume=True), Trap(after="step=5,"))
    assert resumed(tmp_path / "run", SMALL) == uninterrupted


def test_checkpoints_themselves_change_nothing(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    assert in_process(tmp_path / "run", EPOCHS_ONLY)[0] == 0
    assert traces(tmp_path / "run") == uninterrupted


def test_control_another_seed_differs(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    in_process(tmp_path / "run", SMALL, Trap(after="step=3,"))
    other = resumed(tmp_path / "run", replace(SMALL, seed=4))
    assert all(other[name] != uninterrupted[name] for name in ("model", "training", "metrics"))


def test_control_a_lost_random_state_differs(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    in_process(tmp_path / "run", SMALL, Trap(after="step=3,"))
    assert resumed(tmp_path / "run", replace(SMALL, forgets_random_state=True))["model"] != uninterrupted["model"]


def test_with_averaged_weights_and_accumulation(tmp_path: Path) -> None:
    small = replace(SMALL, train={**SMALL.train, "accumulate": 3}, samples=70, ema=True)
    assert in_process(tmp_path / "whole", small)[0] == 0
    in_process(tmp_path / "run", small, Trap(after="step=3,"))
    assert resumed(tmp_path / "run", small) == traces(tmp_path / "whole")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_in_low_precision(tmp_path: Path, precision: str) -> None:
    small = replace(SMALL, precision=precision)
    assert in_process(tmp_path / "whole", small)[0] == 0
    in_process(tmp_path / "run", small, Trap(after="step=3,"))
    assert resumed(tmp_path / "run", small) == traces(tmp_path / "whole")


def test_without_a_checkpoint_yet_it_starts_from_the_beginning(tmp_path: Path) -> None:
    in_process(tmp_path / "run", EPOCHS_ONLY, Trap(after="StepLogged(epoch=1, step=2"))
    code, said = in_process(tmp_path / "run", replace(EPOCHS_ONLY, resume=True))
    assert code == 0
    assert "no checkpoint to resume from yet" in said
    assert [line["epoch"] for line in traces(tmp_path / "run")["metrics"]] == [1, 2]
