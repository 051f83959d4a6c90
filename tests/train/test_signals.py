"""Row 36: a signal makes a verified checkpoint and ends the run resumably; a second one quits at once."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.train.small_world import Small, Trap, in_process, traces
from zoo.train.checkpoint import verify
from zoo.train.signals import SignalWatch

SMALL = Small(train={"epochs": 2}, samples=64)
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 143, signal.SIGHUP: 143}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert in_process(folder, SMALL)[0] == 0
    return traces(folder)


@pytest.mark.parametrize("number", list(STATUS), ids=lambda number: number.name)
@pytest.mark.parametrize(
    "trap",
    [
        Trap(after="StepLogged(epoch=1, step=2"),  # in mid-epoch
        Trap(call="forward", number=5),  # in the first test, behind four training steps
        Trap(call="fsync", number=4),  # while saving
    ],
    ids=["training", "testing", "saving"],
)
def test_it_stops_resumably(tmp_path: Path, uninterrupted: dict[str, object], trap: Trap, number: int) -> None:
    folder = tmp_path / "run"
    code, said = in_process(folder, SMALL, replace(trap, signal=number))
    assert code == STATUS[signal.Signals(number)], said
    assert "StoppedBySignal" in said
    verify(folder / "checkpoints" / "last")
    assert len(said.split("EpochFinished")) - 1 <= 1
    assert in_process(folder, replace(SMALL, resume=True))[0] == 0
    assert traces(folder) == uninterrupted


def test_a_second_signal_quits_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    code, said = in_process(folder, SMALL, Trap(call="fsync", number=4, signal=signal.SIGTERM, times=2))
    assert code == 143
    assert "StoppedBySignal" not in said
    assert not (folder / "checkpoints" / "last").exists()
    assert in_process(folder, replace(SMALL, resume=True))[0] == 0


def test_a_signal_in_the_last_save_ends_with_a_finished_training(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    code, _ = in_process(folder, SMALL, Trap(after="EpochFinished(epoch=2", signal=signal.SIGTERM))
    assert code == 143
    code, said = in_process(folder, replace(SMALL, resume=True))
    assert code == 0
    assert "TrainingFinished" in said


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_forked_worker_lives_through_ctrl_c_and_can_be_ended(number: int, status: int) -> None:
    with SignalWatch() as watch:
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), number)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == status
        watch.check()


def test_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with SignalWatch():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
