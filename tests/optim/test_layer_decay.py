"""`layer_decay`: the rate, and nothing else, is multiplied, whatever else moves it."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from tests.optim.conftest import Parse, backward, small_net
from zoo.diagnostics import Diagnostics, render
from zoo.optim import Optimization, group_lines, listed_groups
from zoo.optim.schedules import ScheduleSpec

DEPTHS = {"0": 0, "1": 0, "4": 2}
SCALES = {0: 0.25, 2: 1.0}


def depths(model: nn.Module) -> dict[str, int]:
    """The head lies two deeper than the rest, as if something without parameters of this optimizer lay between."""
    return {name: DEPTHS[name.partition(".")[0]] for name, _ in model.named_parameters()}


def build(parse: Parse, text: str, model: nn.Module) -> Optimization:
    return parse(text).build(model, steps_per_epoch=4, epochs=8, diagnostics=Diagnostics(), depths=depths)


def by_parameter(optimization: Optimization, key: str = "lr") -> dict[str, float]:
    """An argument of the torch group that each parameter is in."""
    groups = [
        (group, optimization.optimizers[group.optimizer].param_groups[group.index]) for group in optimization.groups
    ]
    return {name: torch_group[key] for group, torch_group in groups for name in group.names}


def rates(optimization: Optimization) -> list[dict[str, float]]:
    """The rate of each parameter in each of 32 steps; a loss that stays alike makes a plateau of it."""
    found = []
    for step in range(32):
        found.append(by_parameter(optimization))
        optimization.step()
        optimization.after_step()
        if step % 4 == 3:
            optimization.after_epoch({"loss": 1.0})
    return found


ADAMW = "optimizer: {name: AdamW, lr: 1e-3, weight_decay: 0.05, layer_decay: 0.5}"
RECIPES = {
    "none": ADAMW,
    "cosine": f"{ADAMW}\nschedule: {{name: CosineAnnealingLR, eta_min: 1e-4}}",
    "restarts": f"{ADAMW}\nschedule: {{name: CosineAnnealingWarmRestarts, T_0: 2, eta_min: 1e-4}}",
    "one_cycle": f"{ADAMW}\nschedule: {{name: OneCycleLR, max_lr: 0.01, peak_epoch: 2}}",
    "cyclic": f"{ADAMW}\nschedule: {{name: CyclicLR, base_lr: 1e-4, max_lr: 0.01, step_size_up: 5}}",
    "piecewise": f"{ADAMW}\nschedule: {{name: PiecewiseLinear, epochs: [0, 2, 8], factors: [0, 1, 0]}}",
    "plateau": f"{ADAMW}\nschedule: {{name: ReduceLROnPlateau, patience: 0, min_lr: 2e-5, eps: 1e-6}}",
    "polynomial": f"{ADAMW}\nschedule: {{name: PolynomialLR, power: 2}}",
    "sequence": f"{ADAMW}\nschedule: {{name: SequentialLR, interval: step, milestones: [5], schedulers:"
    " [{name: LinearLR, start_factor: 0.01}, {name: CosineAnnealingLR, eta_min: 1e-4}]}",
    "chain": f"{ADAMW}\nschedule: {{name: ChainedScheduler, schedulers: [{{name: ConstantLR, factor: 0.5}},"
    " {name: ExponentialLR, gamma: 0.9}]}",
    "groups": """\
optimizer:
  name: SGD
  lr: 0.1
  momentum: 0.9
  layer_decay: 0.5
  groups:
    - {match: 0.bias, freeze: {until: 2, after: 6}}
    - {kind: bias, lr: 0.4, weight_decay: 0}
    - {match: "1", lr_scale: 3, schedule: {name: StepLR, step_size: 2}}
schedule: {name: CosineAnnealingLR, eta_min: 0.01}
""",
    "muon": """\
optimizer:
  - {name: Muon, params: {kind: conv}, lr: 0.24, layer_decay: 0.5}
  - {name: SGD, params: rest, lr: 0.05, layer_decay: 0.5}
schedule: {name: PiecewiseLinear, epochs: [0, 8], factors: [1, 0]}
""",
}


@pytest.mark.parametrize("name", RECIPES)
def test_every_rate_at_every_step_is_the_plain_one_times_the_factor(name: str, parse: Parse) -> None:
    plain = rates(build(parse, RECIPES[name].replace("layer_decay: 0.5", "layer_decay: 1"), small_net()))
    decayed = rates(build(parse, RECIPES[name], small_net()))
    for before, after in zip(plain, decayed, strict=True):
        assert after == pytest.approx({key: lr * SCALES[DEPTHS[key[0]]] for key, lr in before.items()}, rel=1e-9)
    assert len({round(step["4.weight"], 9) for step in plain}) > 1 or name == "none"  # there is something to follow


@pytest.mark.parametrize("name", ["cosine", "restarts", "plateau", "sequence"])
def test_control_a_floor_that_is_not_scaled_shows(name: str, parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScheduleSpec, "scaled", lambda schedule, factor: schedule)
    with pytest.raises(AssertionError):
        test_every_rate_at_every_step_is_the_plain_one_times_the_factor(name, parse)


def test_nothing_but_the_rate_differs(parse: Parse) -> None:
    text = RECIPES["groups"]
    plain, decayed = (
        build(parse, text.replace("layer_decay: 0.5", f"layer_decay: {decay}"), small_net()) for decay in (1, 0.5)
    )
    for key in ("weight_decay", "momentum", "nesterov", "dampening"):
        assert by_parameter(plain, key) == by_parameter(decayed, key)
    assert by_parameter(plain) != by_parameter(decayed)


def test_an_optimizer_without_it_keeps_its_rates_beside_one_that_has_it(parse: Parse) -> None:
    text = RECIPES["muon"].replace("lr: 0.05, layer_decay: 0.5", "lr: 0.05")
    assert by_parameter(build(parse, text, small_net())) == {
        "0.weight": 0.06,
        "0.bias": 0.05,
        "1.weight": 0.05,
        "1.bias": 0.05,
        "4.weight": 0.05,
        "4.bias": 0.05,
    }


def test_the_rate_as_written_comes_first(parse: Parse) -> None:
    """It is the one that the epoch's line and the trackers' `lr` show."""
    optimization = build(parse, RECIPES["groups"], small_net())
    assert list(optimization.lrs.items())[:2] == [("SGD depth 2", 0.1), ("SGD depth 0", 0.025)]


def test_a_step_is_that_of_groups_written_by_hand(parse: Parse) -> None:
    by_hand = """\
optimizer:
  name: AdamW
  lr: 1e-3
  weight_decay: 0.05
  groups: [{match: ["0", "1"], lr_scale: 0.25}]
schedule: {name: OneCycleLR, max_lr: 0.01, peak_epoch: 2}
"""
    one, other = small_net(), small_net()
    for model, text in ((one, RECIPES["one_cycle"]), (other, by_hand)):
        optimization = build(parse, text, model)
        for step in range(6):
            optimization.zero_grad()
            backward(model, step)
            optimization.step()
            optimization.after_step()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", ["plateau", "sequence", "groups", "muon"])
def test_it_resumes_bit_for_bit(name: str, parse: Parse) -> None:
    def train(model: nn.Module, optimization: Optimization, first: int, last: int) -> list[dict[str, float]]:
        seen = []
        for step in range(first, last):
            optimization.zero_grad()
            backward(model, step)
            seen.append(by_parameter(optimization))
            optimization.step()
            optimization.after_step()
            if step % 4 == 3:
                optimization.after_epoch({"loss": 1.0})
        return seen

    whole, begun, later = small_net(), small_net(), small_net()
    uninterrupted = train(whole, build(parse, RECIPES[name], whole), 0, 20)
    optimization = build(parse, RECIPES[name], begun)
    train(begun, optimization, 0, 11)
    later.load_state_dict(begun.state_dict())
    again = build(parse, RECIPES[name], later)
    saved = optimization.state_dict()
    again.load_state_dict({**saved, "schedules": json.loads(json.dumps(saved["schedules"]))})
    assert train(later, again, 11, 20) == uninterrupted[11:]
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), later.parameters(), strict=True))


def test_a_range_test_sweeps_every_depth_in_proportion(parse: Parse) -> None:
    text = RECIPES["groups"].replace("lr: 0.1\n", "lr: find\n")
    optimization = parse(text).build_for_range_test(small_net(), Diagnostics(), depths)
    optimization.sweep(2.0)
    assert by_parameter(optimization) == {
        "0.weight": 0.5,
        "0.bias": 0.5,
        "1.weight": 1.5,
        "1.bias": 0.1,  # of a group with a rate of its own, which stands
        "4.weight": 2.0,
        "4.bias": 0.4,
    }


def test_every_depth_is_listed(parse: Parse) -> None:
    text = RECIPES["groups"].replace("{until: 2, after: 6}", "true")
    assert group_lines(listed_groups(parse(text), small_net(), depths)) == [
        "SGD depth 2       1 tensor  640 values  lr 0.1    weight decay 0",
        "SGD depth 0       1 tensor  216 values  lr 0.025  weight decay 0",
        "SGD 0.bias        1 tensor  8 values    frozen",
        "SGD bias depth 2  1 tensor  5 values    lr 0.4    weight decay 0",
        "SGD bias depth 0  1 tensor  8 values    lr 0.1    weight decay 0",
        "SGD 1 depth 0     1 tensor  8 values    lr 0.075  weight decay 0",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (ADAMW, False),
        (ADAMW.replace("0.5", "1"), False),
        ("optimizer: {name: AdamW, layer_decay: 0.5, groups: [{match: ['0', '1'], freeze: true}]}", True),
    ],
)
def test_a_decay_without_a_layer_to_act_on_is_warned_of(text: str, says: bool, parse: Parse) -> None:
    diagnostics = Diagnostics()
    parse(text).check_model(small_net().to("meta"), diagnostics, depths)
    assert ["layer_decay changes nothing" in render(item) for item in diagnostics] == [True] * says


def test_the_deepest_of_the_network_counts_not_of_the_optimizer(parse: Parse) -> None:
    text = """\
optimizer:
  - {name: Muon, params: {kind: conv}, lr: 0.2, layer_decay: 0.7}
  - {name: SGD, params: rest, lr: 0.1}
"""
    rate = by_parameter(build(parse, text, small_net()))["0.weight"]
    assert math.isclose(rate, 0.2 * 0.7**2)
