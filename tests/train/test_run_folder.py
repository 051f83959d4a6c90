"""Rows 31 and 33: read-only folders and two runs on one folder; numbering, `latest`."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from zoo.errors import EnvironmentFault, UsageError
from zoo.train import RunFolder


def test_folders_are_numbered_and_latest_points_at_the_newest(tmp_path: Path) -> None:
    first, second = RunFolder.create(tmp_path, "s8"), RunFolder.create(tmp_path, "s8")
    assert [first.path.name, second.path.name] == ["0001", "0002"]
    assert (tmp_path / "s8" / "latest").resolve() == second.path.resolve()
    (tmp_path / "s8" / "0041").mkdir()
    assert RunFolder.create(tmp_path, "s8").path.name == "0042"


def test_a_folder_of_ones_own_choice_must_be_empty(tmp_path: Path) -> None:
    RunFolder.at(tmp_path / "new" / "deep")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(UsageError, match="is not a run folder: it holds other files"):
        RunFolder.at(tmp_path / "full")
    with pytest.raises(UsageError, match="not a run folder"):  # nor may a resume write over it
        RunFolder.planned(tmp_path / "full", resume=True)
    (tmp_path / "full" / "checkpoints").mkdir()  # others have such folders too
    with pytest.raises(UsageError, match="not a run folder"):
        RunFolder.planned(tmp_path / "full", resume=True)
    with pytest.raises(UsageError, match="not a folder"):
        RunFolder.at(tmp_path / "full" / "thesis.tex")


@pytest.mark.parametrize("left", [".lock", "resolved.yaml", "checkpoints/last/manifest.json"])
def test_what_a_run_left_is_taken_up(tmp_path: Path, left: str) -> None:
    (tmp_path / left).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / left).touch()
    (tmp_path / "recipe.yaml").touch()
    assert RunFolder.planned(tmp_path, resume=True).path == tmp_path


def test_a_planned_folder_is_not_made_yet(tmp_path: Path) -> None:
    folder = RunFolder.planned(tmp_path / "new" / "deep")
    assert not folder.has_begun
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("make", [lambda path: RunFolder.at(path / "run"), lambda path: RunFolder.create(path, "s8")])
def test_a_read_only_folder_is_refused(tmp_path: Path, make: object) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(EnvironmentFault, match="read-only") as caught:
            make(tmp_path)  # type: ignore[operator]
    finally:
        tmp_path.chmod(0o755)
    assert caught.value.exit_code == 6
    assert not list(tmp_path.iterdir())


def test_a_read_only_run_folder_is_refused_before_training(tmp_path: Path) -> None:
    folder = RunFolder.at(tmp_path / "run")
    folder.path.chmod(0o555)
    try:
        with pytest.raises(EnvironmentFault, match="read-only"):
            folder.lock()
    finally:
        folder.path.chmod(0o755)


def _hold(path: Path, held: Event) -> None:
    with RunFolder(path):
        held.set()
        signal.pause()


def test_the_second_of_two_runs_learns_the_pid_of_the_first(tmp_path: Path) -> None:
    folder = RunFolder.at(tmp_path / "run")
    context = multiprocessing.get_context("forkserver")
    held = context.Event()
    holder = context.Process(target=_hold, args=(folder.path, held))
    holder.start()
    assert held.wait(60)
    with pytest.raises(EnvironmentFault, match=f"process {holder.pid}") as caught:
        folder.lock()
    assert caught.value.exit_code == 6
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert (folder.path / ".lock").read_text() == f"{holder.pid}\n"  # stale: its process is dead
    with folder:
        assert (folder.path / ".lock").read_text() == f"{os.getpid()}\n"


def test_one_process_does_not_hold_a_folder_twice(tmp_path: Path) -> None:
    folder = RunFolder.at(tmp_path / "run")
    with folder, pytest.raises(EnvironmentFault, match=str(os.getpid())):
        RunFolder(folder.path).lock()
    with RunFolder(folder.path):
        pass
