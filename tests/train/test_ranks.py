"""Several ranks train as one: real processes, real gloo. Rows 26, 34, 36 and 37 of the acceptance table."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.train.small_world import Small, Trap, in_process, in_ranks, traces
from zoo.errors import UsageError
from zoo.train.ranks import ALONE, Ranks, join
from zoo.train.runtime import choose_device

# Five batches of 16 and one of three, of which the second rank gets none; nor of the test's last.
PLAIN = Small(train={"epochs": 2}, samples=83, tests=41, plain=True)
# Batch norm and dropout, and a checkpoint after every step.
SMALL = Small(train={"epochs": 2, "checkpoint": {"every_minutes": 1e-9}}, samples=64)
ENDED_WELL = [0, 0]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoints" / "last" / "model.safetensors")


def distance(one: Path, other: Path) -> float:
    mine, theirs = weights(one), weights(other)
    return max(float((mine[name].double() - theirs[name].double()).abs().max()) for name in mine)


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def codes(ends: list[tuple[int | None, str]]) -> list[int | None]:
    return [code for code, _ in ends]


# ── the same training ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("accumulate", [1, 4])
def test_two_ranks_take_the_steps_of_one(tmp_path: Path, reduction: str, accumulate: int) -> None:
    lr = 0.1 if reduction == "mean" else 0.005
    small = replace(PLAIN, train={"epochs": 2, "accumulate": accumulate}, reduction=reduction, lr=lr)
    one, two = tmp_path / "one", tmp_path / "two"
    assert in_process(one, small)[0] == 0
    ends = in_ranks(two, small)
    assert codes(ends) == ENDED_WELL, ends
    assert distance(one, two) < 2e-6
    for alone, shared in zip(metrics(one), metrics(two), strict=True):
        assert shared["train"] == pytest.approx(alone["train"], abs=1e-6)
        assert shared["test"] == pytest.approx(alone["test"], abs=1e-6)


def test_control_ranks_that_do_not_add_up_differ(tmp_path: Path) -> None:
    """A rank by itself has half the images, and other weights in the end: the tolerance above tells them apart."""
    one, half = tmp_path / "one", tmp_path / "half"
    assert in_process(one, PLAIN)[0] == 0
    assert in_process(half, replace(PLAIN, batch_size=8))[0] == 0
    assert distance(one, half) > 1e-3


def test_the_first_alone_writes_and_tells(tmp_path: Path) -> None:
    (_, first), (_, second) = in_ranks(tmp_path / "run", SMALL)
    assert "CheckpointSaved" in first
    assert "CheckpointSaved" not in second
    shown = [line for line in first.splitlines() if line.startswith("EpochFinished")]
    assert len(shown) == 2


# ── interrupted ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert codes(in_ranks(folder, SMALL)) == ENDED_WELL
    return traces(folder)


def resumed(folder: Path, small: Small) -> dict[str, Any]:
    ends = in_ranks(folder, replace(small, resume=True))
    assert codes(ends) == ENDED_WELL, ends
    return traces(folder)


def test_a_signal_to_one_stops_all_at_the_same_step(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    ends = in_ranks(tmp_path / "run", SMALL, [None, Trap("forward", 5, signal=signal.SIGTERM)])
    assert codes(ends) == [143, 143], ends
    words = {said.splitlines()[-1] for _, said in ends}
    assert len(words) == 1, "they stopped at different steps"
    assert resumed(tmp_path / "run", SMALL) == uninterrupted


def test_a_killed_rank_ends_the_other_and_can_be_resumed(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    ends = in_ranks(tmp_path / "run", SMALL, [None, Trap("forward", 5)])
    assert codes(ends) == [7, -signal.SIGKILL], ends
    assert "rank 0 of 2 stops: the connection to another rank broke" in ends[0][1]
    assert resumed(tmp_path / "run", SMALL) == uninterrupted


def test_control_a_lost_random_state_differs(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    in_ranks(tmp_path / "run", SMALL, [None, Trap("forward", 5)])
    assert resumed(tmp_path / "run", replace(SMALL, forgets_random_state=True))["model"] != uninterrupted["model"]


def test_a_hanging_rank_ends_the_other_in_time(tmp_path: Path) -> None:
    small = replace(SMALL, timeout=3.0)
    ends = in_ranks(tmp_path / "run", small, [None, Trap("forward", 5, signal=signal.SIGSTOP)], limit=60)
    assert codes(ends)[0] == 7
    assert "another rank did not answer in time" in ends[0][1] or "the connection" in ends[0][1]


def test_one_goes_on_where_two_stopped(tmp_path: Path) -> None:
    small = replace(PLAIN, train={"epochs": 2, "checkpoint": {"every_minutes": 1e-9}})
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert in_process(whole, small)[0] == 0
    in_ranks(run, small, [None, Trap("forward", 9)])
    assert in_process(run, replace(small, resume=True))[0] == 0
    assert distance(whole, run) < 2e-6
    for alone, shared in zip(metrics(whole), metrics(run), strict=True):
        assert shared["train"] == pytest.approx(alone["train"], abs=1e-6)


def test_a_gradient_that_is_not_finite_ends_both_and_names_all_samples(tmp_path: Path) -> None:
    ends = in_ranks(tmp_path / "run", replace(SMALL, poison=(2, 1)))
    assert codes(ends) == [5, 5], ends
    listed = [line for line in ends[0][1].splitlines() if line.startswith("training samples of that step")]
    assert len(listed[0].split(",")) == 16, listed
    assert listed[0] in ends[1][1]


# ── meetings ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _told_beside_a_meeting(ranks: Ranks) -> int:
    ranks.highest(2)
    return ranks.told(lambda: 0)


def _meet(rank: int, port: int, folder: Path) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = join("cpu", 60.0)
    filters = torch.full((2, 3, 4, 5), rank + 1.0).to(memory_format=torch.channels_last)
    filters[rank] = 10.0
    whole, double = torch.tensor([rank + 1]), torch.tensor(0.5, dtype=torch.float64)
    ranks.add_up([filters, whole, double])
    buffer = torch.arange(6.0).view(2, 3).t() + rank
    ranks.take_over([buffer])
    found = {
        "told": ranks.told(lambda: {"path": f"from {rank}", "rates": (0.5, None)}),
        "told_again": ranks.told(lambda: ranks.highest(3) + 4 + rank) if rank == 0 else _told_beside_a_meeting(ranks),
        "gathered": ranks.gather({"sums": torch.tensor([rank]), "name": "x" * (1 + 1000 * rank)}),
        "highest": ranks.highest(15 * rank),
        "met": ranks.meet(),
        "filters": filters,
        "is_channels_last": filters.is_contiguous(memory_format=torch.channels_last),
        "whole": whole,
        "double": double,
        "buffer": buffer,
        "same": join("cpu", 60.0) is ranks,
    }
    torch.save(found, folder / f"{rank}.pt")
    if rank == 1:
        time.sleep(1)
    ranks.meet(to_part=True)
    (folder / f"{rank}.end").write_text(str(time.time()))


def test_what_ranks_tell_each_other(tmp_path: Path, two_processes: Callable[..., None]) -> None:
    two_processes(_meet, tmp_path)
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found["told"] == {"path": "from 0", "rates": (0.5, None)}
        assert found["told_again"] == 7
        assert [int(one["sums"]) for one in found["gathered"]] == [0, 1]
        assert [len(one["name"]) for one in found["gathered"]] == [1, 1001]
        assert found["highest"] == 15
        assert found["met"] is None
        assert torch.equal(found["filters"][0], torch.full((3, 4, 5), 12.0))
        assert torch.equal(found["filters"][1], torch.full((3, 4, 5), 11.0))
        assert found["is_channels_last"]
        assert found["whole"].tolist() == [3]
        assert found["double"].item() == 1.0
        assert torch.equal(found["buffer"], torch.arange(6.0).view(2, 3).t())
        assert found["same"]
    first, second = (float((tmp_path / f"{rank}.end").read_text()) for rank in (0, 1))
    assert first > second - 0.1, "the first is the last to go"


def test_alone_nothing_is_asked_of_anyone() -> None:
    tensor = torch.tensor([1.0])
    ALONE.add_up([tensor])
    ALONE.take_over([tensor])
    assert (ALONE.told(lambda: 3), ALONE.gather(4), ALONE.highest(5), tensor.item()) == (3, [4], 5, 1.0)


@pytest.mark.parametrize(
    ("device", "gpus", "wanted"),
    [
        ("auto", 2, "cuda:1"),
        ("cuda", 2, "cuda:1"),
        ("cpu", 2, "cpu"),
        ("auto", 0, "2 devices are asked for, PyTorch sees 0 GPUs"),
        ("auto", 1, "2 devices are asked for, PyTorch sees 1 GPU"),
        ("cuda:1", 2, "several devices are auto, cuda or cpu, not cuda:1"),
    ],
)
def test_each_rank_has_a_device(monkeypatch: pytest.MonkeyPatch, device: str, gpus: int, wanted: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "a GPU")
    second = Ranks(1, 2, 1)
    if " " not in wanted:
        assert choose_device(device, second).value == wanted
        return
    with pytest.raises(UsageError, match=wanted):
        choose_device(device, second)


def test_each_rank_draws_numbers_of_its_own() -> None:
    from zoo.train.state import seed_everything

    def drawn(*rank: int) -> tuple[float, float, float]:
        seed_everything(5, *rank)
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    ranks = [drawn(rank) for rank in (0, 1, 2)]
    assert drawn() == ranks[0]
    for of_one_generator in zip(*ranks, strict=True):
        assert len(set(of_one_generator)) == 3
