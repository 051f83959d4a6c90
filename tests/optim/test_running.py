"""Optimizers at work: equal to torch's own, resumed bit for bit, skipping a step where told to."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.optim.conftest import Parse, backward, small_net
from zoo.diagnostics import Diagnostics
from zoo.errors import ConfigError
from zoo.optim import Optimization, find_optimizer, optimizers
from zoo.optim.catalogue import REFUSED, optimizer_names
from zoo.optim.running import RunningGroup
from zoo.optim.skipping import stepped_unless

CIFAR10_94 = """\
optimizer:
  - {name: Muon, params: {kind: conv}, lr: 0.24, momentum: 0.6, nesterov: true, steps: 3}
  - name: SGD
    params: rest
    lr: 0.053
    momentum: 0.85
    nesterov: true
    weight_decay: 0.07
    groups:
      - {match: 4.weight, lr: 0.67, weight_decay: 0.006}
      - {match: 0.bias, schedule: {name: PiecewiseLinear, epochs: [0, 3], factors: [1, 0]}}
schedule: {name: PiecewiseLinear, epochs: [0, 8], factors: [1, 0]}
"""
RECIPES = {
    "sgd": "optimizer: {name: SGD, momentum: 0.9, nesterov: true}\nschedule: {name: OneCycleLR, max_lr: 0.1}",
    "adam": "optimizer: {name: Adam}\nschedule: {name: OneCycleLR, max_lr: 0.01, peak_epoch: 2, interval: epoch}",
    "adamw": "optimizer: {name: AdamW, lr: 0.01, groups: [{kind: bias, weight_decay: 0}]}\nschedule: CosineAnnealingLR",
    "lion": "optimizer: {name: Lion, lr: 0.001}\nschedule: {name: CosineAnnealingWarmRestarts, T_0: 2}",
    "rmsprop": "optimizer: {name: RMSprop, lr: 0.001}\nschedule: {name: ReduceLROnPlateau, patience: 0}",
    "cifar10_94": CIFAR10_94,
    "sequence": "optimizer: {name: NAdam}\nschedule: {name: SequentialLR, schedulers: [{name: LinearLR},"
    " {name: CosineAnnealingLR}], milestones: [5], interval: step}",
}


def build(parse: Parse, text: str, model: nn.Module) -> Optimization:
    return parse(text).build(model, steps_per_epoch=4, epochs=8, diagnostics=Diagnostics())


def train(model: nn.Module, optimization: Optimization, first: int, last: int) -> list[float]:
    rates = []
    for step in range(first, last):
        optimization.zero_grad()
        loss = backward(model, step)
        rates += optimization.lrs.values()
        optimization.step()
        optimization.after_step()
        if (step + 1) % 4 == 0:
            optimization.after_epoch({"loss": float(loss)})
    return rates


def through_json(state: Any, tensors: dict[str, Tensor], *, contiguous: bool) -> Any:
    """The state as a checkpoint keeps it: plain parts as JSON, tensors elsewhere, their layout perhaps forgotten."""

    def out(value: Any) -> Any:
        if isinstance(value, Tensor):
            tensors[str(len(tensors))] = value.contiguous().clone() if contiguous else value.clone()
            return {"tensor": str(len(tensors) - 1)}
        if isinstance(value, dict):
            return {"pairs": [[key, out(item)] for key, item in value.items()]}
        return [out(item) for item in value] if isinstance(value, list | tuple) else value

    def back(value: Any) -> Any:
        if isinstance(value, dict):
            return tensors[value["tensor"]] if "tensor" in value else {k: back(v) for k, v in value["pairs"]}
        return [back(item) for item in value] if isinstance(value, list) else value

    return back(json.loads(json.dumps(out(state))))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("name", RECIPES)
def test_resumes_bit_for_bit(name: str, layout: torch.memory_format, parse: Parse) -> None:
    whole = small_net().to(memory_format=layout)
    rates = train(whole, build(parse, RECIPES[name], whole), 0, 30)

    first = small_net().to(memory_format=layout)
    optimization = build(parse, RECIPES[name], first)
    before = train(first, optimization, 0, 14)
    state = through_json(optimization.state_dict(), {}, contiguous=True)
    second = small_net(seed=1).to(memory_format=layout)
    resumed = build(parse, RECIPES[name], second)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(state)
    after = train(second, resumed, 14, 30)

    assert before + after == rates
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.parameters(), strict=True))


def test_control_without_its_state_the_resumed_run_differs(parse: Parse) -> None:
    whole = small_net()
    train(whole, build(parse, RECIPES["sgd"], whole), 0, 20)
    second = small_net()
    train(second, build(parse, RECIPES["sgd"], second), 0, 10)
    train(second, build(parse, RECIPES["sgd"], second), 10, 20)
    assert not torch.equal(whole[0].weight, second[0].weight)


def test_same_steps_as_torch(parse: Parse) -> None:
    mine, theirs = small_net(), small_net()
    train(mine, build(parse, RECIPES["sgd"], mine), 0, 32)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, nesterov=True, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=32)
    for step in range(32):
        optimizer.zero_grad()
        backward(theirs, step)
        optimizer.step()
        if step < 31:
            schedule.step()
    assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad"])
def test_fused_is_chosen_and_computes_the_same(name: str, parse: Parse) -> None:
    fused, loop = small_net(), small_net()
    mine = build(parse, f"optimizer: {{name: {name}, lr: 0.01}}", fused)
    assert mine.choices == {name: "fused: one kernel a step"}
    train(fused, mine, 0, 10)
    declared = build(parse, f"optimizer: {{name: {name}, lr: 0.01, foreach: false}}", loop)
    assert declared.choices == {name: "as declared"}
    train(loop, declared, 0, 10)
    for a, b in zip(fused.parameters(), loop.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_gradients_have_the_strides_that_fused_kernels_count_on() -> None:
    """Fused kernels walk memory in order: autograd must lay gradients out as their parameters."""
    model = small_net().to(memory_format=torch.channels_last)
    backward(model, 0)
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.stride() == parameter.stride()


@pytest.mark.parametrize("name", [*optimizers, "Lion", "Lamb", "lars", "nadamw", "adopt", "timm:Muon"])
def test_every_optimizer_steps(name: str, parse: Parse) -> None:
    model = small_net()
    params = "{kind: matrix}" if name == "Muon" else "rest"
    rest = ", {name: SGD, params: rest}" if name == "Muon" else ""
    optimization = build(parse, f"optimizer: [{{name: '{name}', params: {params}}}{rest}]", model)
    before = [parameter.clone() for parameter in model.parameters()]
    train(model, optimization, 0, 3)
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())


@pytest.mark.parametrize("name", [*optimizers, "timm:Adafactor", "timm:AdafactorBigVision", "NvNovoGrad", "LaProp"])
def test_every_optimizer_takes_its_own_state_back(name: str) -> None:
    entry = find_optimizer(name)
    assert entry is not None
    shapes = [(160, 130, 3, 3), (160, 130)] if name == "Muon" else [(160, 130, 3, 3), (160, 130), (160,)]
    parameters = [nn.Parameter(torch.rand(shape)) for shape in shapes]
    optimizer = entry.target(parameters, lr=0.01)
    for parameter in parameters:
        parameter.grad = torch.rand_like(parameter)
    optimizer.step()
    one = Optimization([optimizer], [RunningGroup(name, 0, 0, (), None)])
    one.load_state_dict(one.state_dict())


@pytest.mark.parametrize(
    ("name", "key", "forged"),
    [
        ("SGD", "momentum_buffer", torch.zeros(3)),
        ("SGD", "momentum_buffer", torch.zeros(())),
        ("Adam", "exp_avg_sq", torch.zeros(6, 1)),
        ("Adam", "step", torch.zeros(6, 4)),
        ("Muon", "momentum_buffer", torch.zeros(4, 6)),
        ("RMSprop", "square_avg", torch.zeros(6)),
        ("Adafactor", "row_var", torch.zeros(5, 1)),
    ],
)
def test_a_state_of_another_shape_is_refused(name: str, key: str, forged: Tensor) -> None:
    entry = find_optimizer(name)
    assert entry is not None
    parameter = nn.Parameter(torch.rand(6, 4))
    one = Optimization([entry.target([parameter], lr=0.1)], [RunningGroup(name, 0, 0, (), None)])
    state = one.state_dict()
    state["optimizers"][0]["state"] = {0: {key: forged}}
    with pytest.raises(ValueError, match=rf"optimizers\.0\.state\.0\.{key} is .*, its parameter \[6, 4\]"):
        one.load_state_dict(state)


def test_every_optimizer_of_torch_and_timm_is_known() -> None:
    names = set(optimizer_names())
    of_torch = {
        name
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and value is not torch.optim.Optimizer
    }
    assert of_torch - names == {"LBFGS", "SparseAdam"} <= set(REFUSED)
    assert {"Lion", "Lamb", "Adan", "lion", "nadamw", "madgrad", "muon"} <= names
    assert not names & {"Adahessian", "Lookahead", "bnbadam", "fusedlamb"}


def test_a_name_may_say_which_library_it_means() -> None:
    found = {name: find_optimizer(name) for name in ("Muon", "torch:Muon", "timm:Muon", "torch:Lion", "numpy:Muon")}
    modules = {name: entry.target.__module__ if entry else None for name, entry in found.items()}
    assert modules["Muon"] == "zoo.optim.muon"
    assert modules["torch:Muon"].startswith("torch.optim")
    assert modules["timm:Muon"] == "timm.optim.muon"
    assert modules["torch:Lion"] is None
    assert modules["numpy:Muon"] is None


@pytest.mark.parametrize("name", ["sgd", "adamw", "rmsprop", "cifar10_94"])
def test_a_step_that_is_skipped_leaves_no_trace(name: str, parse: Parse) -> None:
    model, twin = small_net(), small_net()
    mine, theirs = build(parse, RECIPES[name], model), build(parse, RECIPES[name], twin)
    go, stop = torch.zeros(()), torch.ones(())
    for step in (0, 1, 2, 3):
        for net, optimization in ((model, mine), (twin, theirs)):
            optimization.zero_grad()
            backward(net, step)
            if step == 2 and net is model:
                for parameter in net.parameters():
                    assert parameter.grad is not None
                    parameter.grad.fill_(float("nan"))
            if step != 2:
                optimization.step(skip=go)
            elif net is model:
                optimization.step(skip=stop)
    counters = [s["step"] for o in mine.optimizers for s in o.state.values() if "step" in s]
    tolerance = 1e-3 if counters else 0.0  # a counter kept on the host has counted the skipped step
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["sgd", "adam", "cifar10_94", "Rprop", "rmsproptf", "madgrad"])
def test_a_first_step_that_is_skipped_leaves_no_trace(name: str, parse: Parse) -> None:
    """fp16 begins so: the loss scale is too large at first. State may begin with ones, or with the weights."""
    model, twin = small_net(), small_net()
    text = RECIPES.get(name, f"optimizer: {{name: {name}, lr: 0.01}}")
    mine, theirs = build(parse, text, model), build(parse, text, twin)
    backward(model, 0)
    mine.step(skip=torch.ones(()))
    for net, optimization in ((model, mine), (twin, theirs)):
        for step in (1, 2):
            optimization.zero_grad()
            backward(net, step)
            optimization.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


class Nested(torch.optim.Optimizer):
    """An optimizer whose state lies in a list, in which it puts a new tensor at each step."""

    def step(self, closure: Any = None) -> None:
        with torch.no_grad():
            for parameter in self.param_groups[0]["params"]:
                sums = self.state[parameter].setdefault("sums", [torch.ones_like(parameter)])
                sums[0] = sums[0] + parameter.grad
                parameter -= sums[0]


def test_state_in_lists_comes_back_after_a_skipped_step() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = Nested([parameter], {})
    for gradient, skip in ((1.0, 0.0), (float("nan"), 1.0), (2.0, 0.0)):
        parameter.grad = torch.full((2,), gradient)
        stepped_unless(torch.tensor(skip), optimizer)
    assert optimizer.state[parameter]["sums"][0].tolist() == [4.0, 4.0]
    assert parameter.tolist() == [-6.0, -6.0]


def test_control_the_same_step_not_skipped_is_seen(parse: Parse) -> None:
    model = small_net()
    optimization = build(parse, RECIPES["cifar10_94"], model)
    backward(model, 0)
    for parameter in model.parameters():
        assert parameter.grad is not None
        parameter.grad.fill_(float("nan"))
    optimization.step(skip=torch.zeros(()))
    assert all(bool(parameter.isnan().any()) for parameter in model.parameters())


@pytest.mark.parametrize(
    "text",
    [
        "optimizer: {name: SGD, lr: 0.1, momentum: 0.9, fused: true}",
        "optimizer: {name: SGD, lr: 0.1}\nschedule: {name: OneCycleLR, max_lr: 0.1}",  # which turns momentum on
    ],
)
def test_fused_sgd_goes_on_from_no_leftovers_after_a_skipped_first_step(parse: Parse, text: str) -> None:
    model = small_net()
    before = [p.detach().clone() for p in model.parameters()]
    optimization = parse(text).build(model, steps_per_epoch=10, epochs=2, diagnostics=Diagnostics())
    for skip in (torch.ones(()), torch.zeros(())):
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimization.step(skip=skip)
        optimization.after_step()
    assert all(map(torch.equal, before, model.parameters()))  # no gradient, no movement


def test_what_trains_nothing_is_refused(parse: Parse) -> None:
    spec = parse("optimizer: {name: SGD, lr: 0.1, groups: [{match: '*', freeze: true}]}")
    with pytest.raises(ConfigError, match="nothing to train"):
        spec.build(small_net(), steps_per_epoch=10, epochs=2, diagnostics=Diagnostics())


def test_a_rate_that_ended_freezes_nothing_whose_gradient_counts_for_the_others_norm(parse: Parse) -> None:
    text = CIFAR10_94.replace("epochs: [0, 8], factors: [1, 0]", "epochs: [0, 1], factors: [1, 0]")
    for clips, stretches in ((False, True), (True, False)):
        made = parse(text).build(small_net(), steps_per_epoch=10, epochs=3, diagnostics=Diagnostics(), clips=clips)
        for _ in range(15):
            made.after_step()
        frozen = [
            p for group in made.optimizers for g in group.param_groups for p in g["params"] if not p.requires_grad
        ]
        assert bool(frozen) == stretches
