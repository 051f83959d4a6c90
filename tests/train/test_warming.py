"""Warming up: done on the CPU here, where it is not needed, and must change nothing."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.data.test_batches import batches, noise
from tests.train.small_world import Small, Trap, in_process, in_ranks, only, small_training, traces
from zoo.events import Message, TrainingFinished
from zoo.launch import part_of
from zoo.optim import undoing
from zoo.optim.averaging import EMA, Lookahead
from zoo.optim.muon import Muon
from zoo.optim.running import FrozenStretch, Optimization, RunningGroup
from zoo.train import Runtime, Training, fit
from zoo.train.checkpoint import read_checkpoint
from zoo.train.encoding import decode

SMALL = Small(samples=70)


def trained(small: Small = SMALL, optimizer: Any = None, ema: bool = False) -> dict[str, torch.Tensor]:
    training = small_training(small, None)
    if optimizer is not None:
        made = optimizer(list(training.model.parameters()))
        training.optimization = Optimization([made], [RunningGroup("all", 0, 0, (), 1.0)])
    if ema:
        training.averaging = [EMA(training.model, 0.9), Lookahead(training.model, total_steps=15)]
    events = list(fit(training))
    said = [event.text for event in only(events, Message) if "part of the training's time" in event.text]
    warmed = only(events, TrainingFinished)[0].result["seconds"]["warm_up"]
    assert len(said) == (warmed > 0)
    return {"warmed": torch.tensor(warmed > 0), **training.model.state_dict()}


def assert_alike(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert bool(first["warmed"]) != bool(second["warmed"])
    for name in first.keys() - {"warmed"}:
        assert torch.equal(first[name], second[name]), name


@pytest.mark.parametrize(
    "optimizer",
    [
        None,
        lambda parameters: torch.optim.AdamW(parameters, lr=0.01, fused=True),
        lambda parameters: torch.optim.NAdam(parameters, lr=0.01),
        lambda parameters: Muon([one for one in parameters if one.dim() > 1], lr=0.02),
    ],
    ids=["SGD", "AdamW", "NAdam", "Muon"],
)
def test_a_warmed_up_training_is_the_same_to_the_last_bit(optimizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cold = trained(optimizer=optimizer, ema=True)
    monkeypatch.setattr(Runtime, "warms_up", True)
    assert_alike(cold, trained(optimizer=optimizer, ema=True))


@pytest.mark.parametrize("forgotten", ["buffers", "random"])
def test_control_a_trace_would_be_seen(forgotten: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cold = trained()
    monkeypatch.setattr(Runtime, "warms_up", True)
    if forgotten == "random":
        monkeypatch.setattr(undoing, "same_randomness", lambda *networks: nullcontext())
    else:
        monkeypatch.setattr(nn.Module, "modules", lambda module: iter(()))
    warmed = trained()
    with pytest.raises(AssertionError):
        assert_alike(cold, warmed)


class Centre(nn.Module):
    """Puts another tensor into its buffer's place in every pass."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3, 1, 1), persistent=False)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * images_BCHW.mean(dim=(0, 2, 3))[:, None, None]
        return images_BCHW - self.mean


class FirstScale(nn.Module):
    """Fills a buffer that is not there at first."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", None)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        if self.scale is None:
            self.scale = images_BCHW.std()
        return images_BCHW / self.scale


class Dimming(nn.Module):
    """Writes into its input."""

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        return images_BCHW.mul_(0.5)


class Following(nn.Module):
    """Writes into a parameter that no optimizer moves."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(3, 1, 1), requires_grad=False)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.offset.lerp_(images_BCHW.mean(dim=(0, 2, 3))[:, None, None], 0.1)
        return images_BCHW - self.offset


@pytest.mark.parametrize("odd", [Centre, FirstScale, Dimming, Following])
def test_what_odd_networks_write_leaves_no_trace(odd: type[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for warms_up in (False, True):
        monkeypatch.setattr(Runtime, "warms_up", warms_up)
        training = small_training(SMALL, None)
        training.model.insert(0, odd())  # type: ignore[operator]
        list(fit(training))
        found.append([*training.model.buffers(), *training.model.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_parts_are_those_of_the_batches(ranks: int) -> None:
    for images in range(1, 20):
        parts = [part_of(images, rank, ranks) for rank in range(ranks)]
        assert sum(parts) == images
        assert all(part >= 2 for part in parts if part) or images == 1
        made = batches(noise(images), "[Normalize]", batch_size=images)
        for rank, part in enumerate(parts):
            (batch,) = made.part(rank, ranks).epoch(1)
            assert len(batch) == (part or images)


def resumed(folder: Path, small: Small, stop: str | None) -> dict[str, Any]:
    """A run's traces; stopped after an event and resumed where one is named."""
    if stop is not None:
        code, said = in_process(folder, small, Trap(after=stop))
        assert code < 0, said
    code, said = in_process(folder, replace(small, resume=stop is not None))
    assert code == 0, said
    return traces(folder)


def test_a_run_that_is_killed_and_warmed_up_again_is_the_cold_one(tmp_path: Path) -> None:
    warm = replace(SMALL, warms_up=True)
    found = resumed(tmp_path / "killed", warm, "step=6,")
    assert found["steps"]
    cold = resumed(tmp_path / "cold", SMALL, None)
    assert found == cold
    seconds = [checkpoint_progress(tmp_path / name)["warm_up_seconds"] for name in ("killed", "cold")]
    assert seconds[0] > 0
    assert seconds[1] == 0


def checkpoint_progress(folder: Path) -> dict[str, Any]:
    found = read_checkpoint(folder / "checkpoints" / "last")
    progress: dict[str, Any] = decode(found.state, found.tensors, found.strides)["progress"]
    return progress


def frozen_training(*, until: int) -> Training:
    training = small_training(replace(SMALL, plain=True), None)
    body = tuple(training.model[:5].parameters())  # type: ignore[index]
    optimizer = torch.optim.SGD(training.model.parameters(), lr=0.1, momentum=0.9)
    groups = [RunningGroup("all", 0, 0, (), 1.0)]
    training.optimization = Optimization([optimizer], groups, frozen=[FrozenStretch(body, until, float("inf"))])
    return training


def test_what_will_be_frozen_is_rehearsed_and_put_back() -> None:
    training = frozen_training(until=7)
    optimization = training.optimization
    body, *_ = training.model.parameters()
    assert not body.requires_grad
    assert [(step, body.requires_grad) for step in optimization.rehearse()] == [(7, True)]
    assert not body.requires_grad
    walk = optimization.rehearse()
    next(walk)
    walk.close()  # whoever stops in between leaves it as it was too
    assert not body.requires_grad


@pytest.mark.slow
def test_what_thaws_in_a_compiled_training_is_trained() -> None:
    """torch 2.11 left to itself goes on with the graph in which it was frozen."""
    training = frozen_training(until=5)
    training.runtime.compile_mode = "default"
    body, *_ = training.model.parameters()
    before = body.detach().clone()
    events = list(fit(training))
    assert any("compiled in" in event.text for event in only(events, Message))
    assert not torch.equal(before, body)


def test_the_first_step_of_fused_sgd_is_never_a_skipped_one() -> None:
    """torch would leave its momentum uninitialised."""
    parameter = nn.Parameter(torch.ones(4))
    parameter.grad = torch.ones(4)
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9, fused=True)
    one = Optimization([optimizer], [RunningGroup("all", 0, 0, (), 1.0)])
    one.skip_step(torch.device("cpu"))
    assert not optimizer.state
    one.step(skip=torch.zeros(()))
    momentum = optimizer.state[parameter]["momentum_buffer"].clone()
    one.skip_step(torch.device("cpu"))
    assert torch.equal(optimizer.state[parameter]["momentum_buffer"], momentum)
    assert torch.equal(parameter, torch.full((4,), 0.9))


@pytest.mark.parametrize(("device", "samples", "apart"), [("cuda", 90, 6), ("cpu", 90, 1), ("cuda", 1600, 50)])
def test_a_gpu_is_looked_at_less_often(device: str, samples: int, apart: int) -> None:
    training = small_training(Small(samples=samples), None)
    training.log_every = None
    training.runtime.device = torch.device(device)
    assert training.logging_steps == apart


def test_ranks_warm_up_together_whatever_their_parts(tmp_path: Path) -> None:
    """Of the last batch, one image, the second rank has no part."""
    small = Small(samples=33, plain=True, train={"epochs": 2}, timeout=20.0)
    for name, warms_up in (("cold", False), ("warm", True)):
        ends = in_ranks(tmp_path / name, replace(small, warms_up=warms_up))
        assert [code for code, _ in ends] == [0, 0], ends
    assert traces(tmp_path / "cold") == traces(tmp_path / "warm")
