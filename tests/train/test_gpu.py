"""The engine on a real GPU, where there is one: without a wait, without a trace of the warming up, exactly resumed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import NAdam

from tests.train.small_world import SmallBatches, one_cycle, small_net
from zoo.events import StepLogged
from zoo.models.recomputing import recompute
from zoo.optim.averaging import EMA, Lookahead
from zoo.optim.muon import Muon
from zoo.optim.running import Optimization, RunningGroup
from zoo.schema.recipe import TrainSection
from zoo.train import Runtime, Training, fit
from zoo.train.step import Stepper

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

OPTIMIZERS: dict[str, Any] = {
    "fused": lambda parameters: torch.optim.AdamW(parameters, fused=True),
    "foreach": lambda parameters: NAdam(parameters, foreach=True),
    "Muon": lambda parameters: Muon([one for one in parameters if one.dim() > 1], lr=0.02),
}


@contextmanager
def no_waiting() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def training(make: Any = None, precision: str = "bf16", compile: bool = False, plain: bool = False) -> Training:
    runtime = Runtime.choose("cuda", precision, compile=compile, deterministic=True)
    model = runtime.place(small_net(plain=plain))
    batches = SmallBatches(90, 16, 3)
    one = Training(
        model=model,
        loss=nn.CrossEntropyLoss(),
        optimization=None,  # type: ignore[arg-type]  # made below: its schedule needs the steps
        train=batches,
        test=SmallBatches(40, 40, 0, shuffle=False),
        runtime=runtime,
        settings=TrainSection.model_validate({"epochs": 3, "grad_clip": 1.0}),
        averaging=[EMA(model, 0.9), Lookahead(model, total_steps=18)],
        seed=3,
    )
    if make is None:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, fused=True)
        one.optimization = one_cycle(optimizer, 0.05, one.steps.total)
    else:
        groups = [RunningGroup("all", 0, 0, (), 1.0)]
        one.optimization = Optimization([make(list(model.parameters()))], groups)
    return one


def trained(one: Training) -> dict[str, torch.Tensor]:
    for _ in fit(one):
        pass
    return {name: tensor.cpu() for name, tensor in one.model.state_dict().items()}


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_steps_make_nobody_wait(name: str, precision: str) -> None:
    one = training(OPTIMIZERS[name], precision)
    stepper = Stepper(one)
    batches = [batch for _ in range(2) for batch in one.train.epoch(1)]
    for batch in batches:
        batch.images, batch.labels = batch.images.cuda(), batch.labels.cuda()  # type: ignore[misc]
    one.model.train()
    for number, batch in enumerate(batches, start=1):
        if number == 3:  # a first step makes the optimizer's state, and asks once
            torch.cuda.set_sync_debug_mode("error")
        try:
            stepper.backward(batch, share=1.0)
            stepper.update(number, 0.1)
        finally:
            if number == len(batches):
                torch.cuda.set_sync_debug_mode("default")
    assert stepper.meter.read()["loss"] > 0


def test_control_a_wait_is_noticed() -> None:
    with pytest.raises(RuntimeError, match="synchroniz"), no_waiting():
        float(torch.ones(1, device="cuda"))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_warming_up_leaves_no_trace(name: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert training().runtime.warms_up
    warmed = trained(training(OPTIMIZERS[name], precision))
    monkeypatch.setattr(Runtime, "warms_up", False)
    cold = trained(training(OPTIMIZERS[name], precision))
    assert all(torch.equal(warmed[name], cold[name]) for name in cold)


def test_a_gpu_is_looked_at_once_an_epoch() -> None:
    steps = [event.step for event in fit(training()) if isinstance(event, StepLogged)]
    assert steps == [6, 12, 18]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_activations_computed_twice_are_the_same(precision: str) -> None:
    plain, twice = training(precision=precision), training(precision=precision)
    recompute(twice.model, [name for name, _ in twice.model.named_children()])
    learned = trained(plain)
    assert all(torch.equal(learned[name], tensor) for name, tensor in trained(twice).items())


def test_to_compute_them_twice_makes_nobody_wait() -> None:
    model = small_net().cuda().train()
    recompute(model, [name for name, _ in model.named_children()])
    images = torch.randn(8, 3, 8, 8, device="cuda")
    model(images).sum().backward()
    with no_waiting():
        model(images).sum().backward()


@pytest.mark.slow
def test_compiled_and_eager_learn_alike() -> None:
    eager, compiled = (trained(training(precision="fp32", compile=on, plain=True)) for on in (False, True))
    for name, tensor in eager.items():
        assert torch.allclose(compiled[name].float(), tensor.float(), rtol=1e-2, atol=1e-3), name
