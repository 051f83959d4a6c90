"""Measurements compare like with like, and the bare loop knows nothing of zoo."""

from __future__ import annotations

import ast
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.train.small_world import Small, small_net, small_training
from zoo.assemble import benching
from zoo.assemble.options import RunOptions
from zoo.bench import bare_loop
from zoo.bench.engine import EngineBench, Turn, WatchedBatches, _engine, bench_engine
from zoo.cli import main
from zoo.errors import UsageError, raise_if_errors
from zoo.train.training import BatchLike


def imported_modules(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_the_bare_loop_imports_no_zoo() -> None:
    assert imported_modules(Path(bare_loop.__file__)) == {"__future__", "collections", "time", "torch"}


def test_the_bare_loop_trains() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    before = network[1].weight.detach().clone()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    step = bare_loop.bare_step(
        network,
        optimizer,
        torch.randn(4, 3, 2, 2),
        torch.tensor([0, 1, 0, 1]),
        loss_function=nn.CrossEntropyLoss(),
        autocast=None,
    )
    assert bare_loop.seconds_for(step, 2, torch.device("cpu")) > 0
    assert not torch.equal(before, network[1].weight)


def test_an_interval_that_the_training_cuts_short_is_not_measured() -> None:
    training = small_training(Small(train={"max_steps": 5}), None)  # within an epoch: 2, 4, 5
    assert training.log_every == 2
    assert len(list(_engine(training, WatchedBatches(training.train)))) == 2


def test_the_share_of_the_peak_counts_three_passes() -> None:
    turns = (Turn(0.08, 0.04, 0.01), Turn(0.08, 0.04, 0.01), Turn(0.16, 0.20, 0.01))
    bench = EngineBench(turns, 0.01, 0.01, 2, 8, 1e9, 1_000_000, "cpu", "fp32")
    assert bench.engine_images_per_second == 100
    assert bench.share_of_peak == pytest.approx(0.3)


def test_the_ratio_is_taken_within_each_round() -> None:
    """A machine that slows down between rounds changes the seconds of both, and no ratio."""
    turns = tuple(Turn(0.10 * slow, 0.09 * slow, 0.0) for slow in (1.0, 3.0, 2.0, 5.0))
    bench = EngineBench(turns, 0.0, 0.0, 2, 8, 1e9, 1_000_000, "cpu", "fp32")
    assert bench.ratio == pytest.approx(0.9)


def test_batches_made_at_once_are_charged_to_all_the_steps_that_take_them() -> None:
    """Only the first of four turns waited, for the batches of all."""
    turns = (Turn(0.12, 0.09, 0.04), *[Turn(0.08, 0.09, 0.0)] * 3)
    bench = EngineBench(turns, 0.01, 0.01, 2, 8, 1e9, 1_000_000, "cpu", "fp32")
    assert bench.ratio == pytest.approx(1.0)
    assert bench.data_share == pytest.approx(1 / 9)
    assert bench.engine_images_per_second == pytest.approx(8 / 0.09)


def test_what_an_engine_waits_for_its_batches_is_seen() -> None:
    training = small_training(Small(train={"max_steps": 5}), None)
    slow = SlowBatches(training.train)
    training.train = watched = WatchedBatches(slow)
    turns = list(_engine(training, watched))
    assert watched.taken == 5
    assert watched.seconds >= 5 * SlowBatches.WAIT
    assert all(seconds > waited >= 2 * SlowBatches.WAIT for seconds, waited in turns)


class SlowBatches(WatchedBatches):
    """Batches that take a while to make."""

    WAIT = 0.02

    def epoch(self, epoch: int, start: int = 0) -> Iterator[BatchLike]:
        for batch in super().epoch(epoch, start):
            time.sleep(self.WAIT)
            yield batch


@pytest.mark.slow
@pytest.mark.parametrize("what", ["transforms", "engine"])
def test_the_command_prints_both_rates(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", what, "quickstart", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    ours, other = ("batched", "albumentations") if what == "transforms" else ("engine", "bare")
    of_medians = found[ours]["images_per_second"] / found[other]["images_per_second"]
    assert found["ratio"] == pytest.approx(of_medians, rel=0.3)


def test_transforms_are_measured_on_the_samples_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(benching, "bench_transforms", lambda *both: given.extend(both))
    options = RunOptions(sets=("data.sampling=sqrt", "data.repeats=4"), quiet=True)
    benching.bench_recipe_transforms("quickstart", options, raise_if_errors)
    assert [(made.sampling.kind, made.sampling.repeats) for made in given] == [("sqrt", 4)] * 2


@pytest.mark.slow
def test_transforms_in_a_oneof_are_measured_as_others_are(capsys: pytest.CaptureFixture[str]) -> None:
    train = "[{OneOf: {transforms: [HorizontalFlip, OTHER]}}, Normalize]"
    words = ["bench", "transforms", "quickstart", "--json", "--set"]
    assert main([*words, f"transforms.train={train.replace('OTHER', 'RandomBrightnessContrast')}"]) == 0
    assert json.loads(capsys.readouterr().out)["ratio"] > 1
    assert main([*words, f"transforms.train={train.replace('OTHER', 'ZoomBlur')}"]) == 2
    assert "there is nothing to compare: no batched form: ZoomBlur, in OneOf" in capsys.readouterr().err


@pytest.mark.slow
def test_both_forms_are_measured_where_auto_would_take_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    data = "data={source: synthetic, shape: [3, 96, 96], train: 64, test: 8, batch_size: 32}"
    assert main(["bench", "transforms", "quickstart", "--json", "--set", data, "--set", "transforms=null"]) == 0
    assert json.loads(capsys.readouterr().out)["ratio"] > 0


def test_a_step_of_several_batches_counts_all_their_images() -> None:
    bench = EngineBench((Turn(0.4, 0.2, 0.1),), 0.1, 0.1, 2, 8, 1e9, 1_000_000, "cpu", "fp32", batches_per_step=4)
    assert bench.engine_images_per_second == pytest.approx(80)
    assert bench.bare_images_per_second == pytest.approx(160)
    assert bench.share_of_peak == pytest.approx(0.24)


def test_engine_and_bare_loop_take_steps_of_as_many_batches() -> None:
    seen: list[int] = []

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(12, 2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(len(images))
            found: torch.Tensor = self.linear(images.flatten(1))
            return found

    network = Counting()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    images, labels = torch.randn(4, 3, 2, 2), torch.tensor([0, 1, 0, 1])
    step = bare_loop.bare_step(
        network, optimizer, images, labels, loss_function=nn.CrossEntropyLoss(), autocast=None, batches=3
    )
    step()
    assert seen == [4, 4, 4]


@pytest.mark.parametrize("short", [{"samples": 40, "batch_size": 40}, {"train": {"epochs": 2, "max_steps": 1}}])
def test_a_training_without_two_steps_in_a_row_is_too_short(short: dict[str, Any]) -> None:
    training = small_training(Small(**short), None)
    with pytest.raises(UsageError, match="too short to measure: it needs at least 2 steps in an epoch"):
        bench_engine(training, small_net(), flops_per_image=1)


def test_two_steps_in_an_epoch_can_be_measured() -> None:
    training = small_training(Small(samples=80, batch_size=40, train={"epochs": 2}), None)
    bench = bench_engine(training, small_net(), flops_per_image=1, rounds=1)
    assert bench.steps == 1
    assert bench.engine_images_per_second > 0
