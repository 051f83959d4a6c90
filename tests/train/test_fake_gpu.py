"""Steps and tests as a GPU runs them, on a machine that has none.

Under torch's fake tensors no operation is computed, and any read of a value by the host (``.item()``, ``bool``,
``tolist``), which on a GPU is a wait, raises; so does an operation that mixes devices, under :class:`OneDevice`.
Autograd alone wants a real GPU: gradients are filled in by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision, Precision
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.optim import NAdam
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.train.small_world import SmallBatch, small_net
from zoo.optim import EMA, Lookahead, skipping
from zoo.optim.running import FrozenStretch, Optimization, RunningGroup
from zoo.schema.recipe import DistillationSection, TrainSection
from zoo.train import Runtime, Training, evaluate
from zoo.train.distillation import Distillation, Teacher
from zoo.train.guard import FiniteGuard
from zoo.train.metrics import Meter
from zoo.train.step import Stepper

pytestmark = [
    pytest.mark.filterwarnings("ignore:CUDA is not available"),  # autocast says so
    pytest.mark.skipif(torch.cuda.is_available(), reason="a real GPU is there: test_gpu.py"),
]

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
STEPS = 8

MakeOptimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
OPTIMIZERS: dict[str, MakeOptimizer] = {
    "fused": lambda parameters: torch.optim.AdamW(parameters, fused=True),
    "foreach": lambda parameters: NAdam(parameters, foreach=True),
}


class OneDevice(TorchDispatchMode):
    """Refuses operations on several devices. Fake tensors alone let lists of tensors and fused kernels pass.

    As in torch, copies may cross, and a scalar may lie on the CPU, except for kernels that read it on the device.
    """

    COPIES = (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        reads_scalars = func.name().startswith(("aten::_amp", "aten::_fused"))
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        devices = {tensor.device for tensor in tensors if tensor.dim() or reads_scalars}
        if len(devices) > 1 and func not in self.COPIES:
            raise RuntimeError(f"{func.name()} was given tensors on more than one device")
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: torch.no_grad())  # it asks the driver for its state
    with FakeTensorMode(), OneDevice():
        yield


@dataclass
class FakeBatches:
    """Batches of eight images whose tensors lie on a device; only shapes, types and devices are real."""

    device: torch.device = GPU
    steps: int = 3
    samples: int = 24
    batch_size: int = 8
    given: int = field(default=0)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[SmallBatch]:
        for _ in range(start, self.steps):
            self.given += 1
            labels = torch.empty(8, dtype=torch.int64, device=self.device)
            yield SmallBatch(torch.empty(8, 3, 8, 8, device=self.device), labels, torch.empty(8, dtype=torch.int64), 8)


def on_gpu(model: nn.Module) -> nn.Module:
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(torch.empty(parameter.shape, device=GPU))
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=GPU)
    return model


def runtime(precision: str = "fp32") -> Runtime:
    plugins: dict[str, Callable[[], Any]] = {
        "fp32": Precision,
        "bf16": lambda: MixedPrecision("bf16-mixed", device="cuda"),
        # A scaler made for "cuda" switches itself off where there is none; its scale lies where the loss does anyway.
        "fp16": lambda: MixedPrecision("16-mixed", device="cuda", scaler=torch.amp.GradScaler("cpu")),
    }
    fabric = Fabric(accelerator="cpu", devices=1, plugins=[plugins[precision]()])
    return Runtime(fabric, GPU, precision, channels_last=True, compile_mode=None)


def training(make: MakeOptimizer, precision: str = "fp32") -> Training:
    """Two optimizers, the second with nothing to do at first; gradients clipped, weights averaged and pulled back."""
    model: Any = on_gpu(small_net())
    head, body = list(model[8].parameters()), list(model[:8].parameters())
    groups = [RunningGroup("body", 0, 0, (), 1.0), RunningGroup("head", 1, 0, (), 1.0)]
    batches = FakeBatches()
    return Training(
        model=model,
        loss=nn.CrossEntropyLoss(),
        optimization=Optimization([make(body), make(head)], groups, frozen=[FrozenStretch(tuple(head), 2, 99)]),
        train=batches,
        test=batches,
        runtime=runtime(precision),
        settings=TrainSection(epochs=1, grad_clip=1.0),
        averaging=(Lookahead(model, total_steps=STEPS), EMA(model, 0.9)),
    )


def without_autograd(one: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    def backward(loss: Tensor) -> None:
        assert loss.device == GPU
        if one.runtime.scaler is not None:
            one.runtime.scaler.scale(loss.detach())
        for parameter in one.model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.empty_like(parameter)

    monkeypatch.setattr(one.runtime.fabric, "backward", backward)


def take_steps(one: Training, stepper: Stepper) -> None:
    one.model.train()
    for step in range(1, STEPS + 1):
        (batch,) = FakeBatches(steps=1).epoch(1)
        stepper.backward(batch, share=1.0)
        assert stepper.update(step, one.optimization.lrs["body"]) == 8


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_are_taken_on_the_gpu_without_a_wait(
    optimizer: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = training(OPTIMIZERS[optimizer], precision)
    without_autograd(one, monkeypatch)
    stepper = Stepper(one)
    for one_of in one.optimization.optimizers:  # one that is not fused asks at a parameter's first step, and no later
        vars(one_of)[skipping._STEPPED] = {id(parameter) for parameter in one.model.parameters()}
    take_steps(one, stepper)
    states = [
        value for one_of in one.optimization.optimizers for state in one_of.state.values() for value in state.values()
    ]
    moments = [value for value in states if isinstance(value, Tensor) and value.dim()]
    assert len(moments) == 2 * len(list(one.model.parameters()))
    assert {tensor.device for tensor in (*one.model.state_dict().values(), *moments, stepper.meter.sums)} == {GPU}
    with pytest.raises(DataDependentOutputException):  # control: the log line's look is a wait
        stepper.meter.read()
    with pytest.raises(DataDependentOutputException):  # likewise
        stepper.guard.check()


def test_a_teacher_is_asked_on_the_gpu_without_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    one = training(OPTIMIZERS["fused"], "bf16")
    without_autograd(one, monkeypatch)
    monkeypatch.setattr(one.runtime, "place", lambda module: module)  # it is there: fake parameters cannot be moved
    teacher = Teacher(on_gpu(small_net()), one.runtime)
    for kind in ("soft", "hard"):
        one.distillation = Distillation(one.loss, teacher, DistillationSection(teacher="big", kind=kind))
        take_steps(one, Stepper(one))
    elsewhere = DistillationSection(teacher="big")  # control: its logits lie on the CPU
    one.distillation = Distillation(one.loss, lambda images_BCHW: torch.empty(8, 4), elsewhere)
    with pytest.raises(RuntimeError, match="device"):
        take_steps(one, Stepper(one))


def test_control_a_scaler_that_steps_by_itself_waits() -> None:
    one = training(OPTIMIZERS["foreach"], "fp16")
    scaler, (body, _) = one.runtime.scaler, one.optimization.optimizers
    scaler.scale(torch.empty((), device=GPU))
    for parameter in one.model.parameters():
        parameter.grad = torch.empty_like(parameter)
    with pytest.raises(DataDependentOutputException):
        scaler.step(body)


@pytest.mark.parametrize("left_behind", ["a layer", "an average", "the guard"])
def test_control_what_lies_on_another_device_is_found(left_behind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = training(OPTIMIZERS["fused"])
    without_autograd(one, monkeypatch)
    stepper = Stepper(one)
    if left_behind == "a layer":
        one.model.register_module("4", nn.Conv2d(8, 8, 3, padding=1))
    elif left_behind == "the guard":
        stepper.guard = FiniteGuard(one.model, CPU)
    else:
        model = small_net()
        one.averaging = (EMA(model, 0.9),)
        on_gpu(model)  # after the average was made of it
    with pytest.raises(RuntimeError, match="device"):
        take_steps(one, stepper)


class AllBatchesSeen(Exception):
    """The test reads its figures: it has come to its end."""


@pytest.mark.parametrize("tta", ["none", "flip", "flip_translate"])
def test_a_test_waits_for_the_gpu_only_at_its_end(tta: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(meter: Meter) -> dict[str, float]:
        with pytest.raises(DataDependentOutputException):  # control: that is a wait
            meter.sums.tolist()
        raise AllBatchesSeen

    one, batches = training(OPTIMIZERS["fused"]), FakeBatches()
    monkeypatch.setattr(Meter, "read", read)
    with pytest.raises(AllBatchesSeen):
        evaluate(one.model, batches, one.loss, runtime=one.runtime, tta=tta, keep=True)
    assert batches.given == batches.steps
    assert all(module.training for module in one.model.modules())


def test_batches_that_come_on_the_cpu_are_brought_over(monkeypatch: pytest.MonkeyPatch) -> None:
    one = training(OPTIMIZERS["fused"])
    without_autograd(one, monkeypatch)
    stepper = Stepper(one)
    (batch,) = FakeBatches(CPU, steps=1).epoch(1)
    stepper.backward(batch, share=1.0)
    with pytest.raises(RuntimeError, match="device"):  # control: without that they do not fit
        stepper.forward(batch.images)
