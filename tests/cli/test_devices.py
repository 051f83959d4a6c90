"""`zoo run --devices 2`: real processes of the command line, on the CPU. Rows 36 and 37 of the acceptance table."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

RUN = ("run", "quickstart", "--device", "cpu", "--devices", "2", "--set", "reports=[]", "--set", "train.precision=fp32")


class Command:
    """The command in a process of its own, in a folder; its ranks are its children."""

    def __init__(self, folder: Path, *words: str) -> None:
        environment = {**os.environ, "ZOO_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "zoo", *RUN, *words],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=(folder / "stderr").open("w"),
            text=True,
        )
        self.folder = folder

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def end(self, limit: float = 240.0) -> tuple[int, str]:
        stdout, _ = self.process.communicate(timeout=limit)
        return self.process.returncode, stdout

    def trains(self) -> None:
        """Waits for the first epoch's end, and for its checkpoint, which is written after it is told."""
        for _ in range(2400):
            if "epoch 1/" in self.stderr and any(self.folder.glob("runs/*/*/checkpoints/last/manifest.json")):
                return
            assert self.process.poll() is None, self.stderr
            time.sleep(0.1)
        raise AssertionError(self.stderr)

    def ranks(self) -> list[int]:
        """Their process numbers, in order."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        if not children.exists():
            pytest.skip("this kernel does not list a process's children")
        found = {}
        for child in map(int, children.read_text().split()):
            words = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            found.update({int(word[5:]): child for word in words if word.startswith(b"RANK=")})
        return [found[rank] for rank in sorted(found)]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path, "--set", "train.epochs=200")
    command.trains()
    yield command
    command.process.kill()
    command.process.wait()


def are_gone(processes: list[int], seconds: float = 30.0) -> bool:
    for _ in range(int(seconds * 10)):
        if not any(Path(f"/proc/{process}").exists() for process in processes):
            return True
        time.sleep(0.1)
    return False


def test_two_devices_train_one_network(tmp_path: Path) -> None:
    command = Command(tmp_path, "--json", "--seeds", "0,1", "--set", "train.epochs=2")
    code, stdout = command.end()
    assert code == 0, command.stderr
    found = json.loads(stdout)
    assert [run["seed"] for run in found["runs"]] == [0, 1]
    for run in found["runs"]:
        folder = tmp_path / run["run_dir"]
        assert run["test"]["accuracy"] > 0.2
        assert "2 processes" in json.loads((folder / "env.json").read_text())["choices"]["device"]
    assert command.stderr.count("epoch 2/2") == 2, "the first rank alone is heard"
    assert sorted(path.name for path in (tmp_path / "runs" / "quickstart").iterdir()) == ["0001", "0002", "latest"]


def test_two_devices_take_the_steps_of_one_with_images_that_come_again(tmp_path: Path) -> None:
    words = ["data.repeats=2", "data.sampling=balanced", "train.freeze_statistics=true", "train.epochs=1"]
    losses = []
    for devices in ("1", "2"):
        folder = tmp_path / devices
        folder.mkdir()
        command = Command(folder, "--devices", devices, "--json", *(part for word in words for part in ("--set", word)))
        code, stdout = command.end()
        assert code == 0, command.stderr
        losses.append(json.loads(stdout)["test"]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)  # sums in another order


def test_a_killed_rank_is_named_and_the_run_goes_on(started: Command) -> None:
    ranks = started.ranks()
    os.kill(ranks[1], signal.SIGKILL)
    code, _ = started.end(60)
    assert code == 7
    assert "error[rank-died]: rank 1 of 2 died: killed by SIGKILL" in started.stderr
    assert "--resume" in started.stderr
    assert are_gone(ranks)
    resumed = Command(started.folder, "--resume", "--run-dir", "runs/quickstart/0001", "--set", "train.epochs=200")
    for _ in range(1200):
        if "resumed from" in resumed.stderr:
            break
        time.sleep(0.1)
    resumed.process.send_signal(signal.SIGTERM)
    assert resumed.end(120)[0] == 143
    assert "resumed from" in resumed.stderr


def test_a_rank_that_hangs_is_named(tmp_path: Path) -> None:
    command = Command(tmp_path, "--set", "train.epochs=200", "--set", "data.worker_timeout=5")
    command.trains()
    os.kill(command.ranks()[1], signal.SIGSTOP)
    code, _ = command.end(120)
    assert code == 7
    assert "error[rank-hangs]: rank 1 of 2 hangs: it was killed" in command.stderr


def test_ctrl_c_stops_all_and_says_how_to_go_on(started: Command) -> None:
    ranks = started.ranks()
    started.process.send_signal(signal.SIGINT)
    code, _ = started.end(60)
    assert code == 130
    assert "stopped by SIGINT after step" in started.stderr
    assert "--devices 2" in started.stderr.splitlines()[-1]
    assert are_gone(ranks)


def test_a_second_ctrl_c_quits_though_a_rank_hangs(started: Command) -> None:
    ranks = started.ranks()
    os.kill(ranks[1], signal.SIGSTOP)
    for _ in range(2):
        started.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    code, _ = started.end(30)  # without the second one it would be data.worker_timeout, two minutes
    assert code == 130
    assert "error[stopped]: stopped by SIGINT" in started.stderr
    assert are_gone(ranks)


def test_no_rank_outlives_a_killed_command(started: Command) -> None:
    ranks = started.ranks()
    started.process.kill()
    assert len(ranks) == 2
    assert are_gone(ranks)


def test_a_wrong_recipe_is_told_once(tmp_path: Path) -> None:
    command = Command(tmp_path, "--set", "optimizer.momentun=0.9")
    code, _ = command.end()
    assert code == 2
    assert "momentun" in command.stderr
    assert command.stderr.count("error[") == 1
    assert not (tmp_path / "runs").exists()


def test_no_gpu_is_told(tmp_path: Path) -> None:
    import torch

    if torch.cuda.device_count() > 1:
        pytest.skip("this machine has several GPUs")
    command = Command(tmp_path, "--device", "auto")
    code, _ = command.end()
    assert code == 2
    assert "2 devices are asked for, PyTorch sees" in command.stderr


def test_under_torchrun(tmp_path: Path) -> None:
    words = ["--standalone", "--nproc-per-node", "2", "-m", "zoo", "run", "quickstart", "--device", "cpu"]
    words += ["--set", "train.epochs=1", "--set", "reports=[]"]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stderr
    assert done.stdout.count("test accuracy") == 1
