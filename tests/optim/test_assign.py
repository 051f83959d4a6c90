"""Every trainable parameter is owned exactly once; what owns nothing is told."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.optim.conftest import Parse, small_net
from zoo.diagnostics import Diagnostics, count_line, render
from zoo.errors import ConfigError
from zoo.optim import Optimization
from zoo.optim.selection import KINDS, fits, named_parameters


class Mixed(nn.Module):
    """One of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.stem = nn.Conv2d(3, 4, 3)
        self.norm = nn.GroupNorm(2, 4)
        self.act = nn.PReLU()
        self.words = nn.Embedding(5, 4)
        self.attention = nn.MultiheadAttention(4, 2)
        self.up = nn.ConvTranspose2d(4, 4, 2, bias=False)
        self.head = nn.Linear(4, 2)


def build(parse: Parse, text: str, model: nn.Module) -> Optimization:
    return parse(text).build(model, steps_per_epoch=4, epochs=3, diagnostics=Diagnostics())


def owned(optimization: Optimization) -> dict[str, tuple[str, ...]]:
    return {group.label: group.names for group in optimization.groups}


def told(parse: Parse, text: str, model: nn.Module) -> str:
    diagnostics = Diagnostics()
    parse(text).check_model(model, diagnostics)
    return "\n\n".join([*(render(item) for item in diagnostics), count_line(diagnostics)]) + "\n"


def test_kinds() -> None:
    kinds = {parameter.name: set(parameter.kinds) for parameter in named_parameters(Mixed())}
    assert kinds == {
        "token": {"parameter", "matrix"},
        "stem.weight": {"conv", "matrix"},
        "stem.bias": {"bias", "vector"},
        "norm.weight": {"norm", "vector"},
        "norm.bias": {"norm", "bias", "vector"},
        "act.weight": {"parameter", "vector"},
        "words.weight": {"embedding", "matrix"},
        "attention.in_proj_weight": {"linear", "matrix"},
        "attention.in_proj_bias": {"bias", "vector"},
        "attention.out_proj.weight": {"linear", "matrix"},
        "attention.out_proj.bias": {"bias", "vector"},
        "up.weight": {"conv", "matrix"},
        "head.weight": {"linear", "matrix"},
        "head.bias": {"bias", "vector"},
    }
    assert set().union(*kinds.values()) == set(KINDS)


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("layer4.0.conv1.weight", "layer4", True),
        ("layer4.0.conv1.weight", "layer4.*", True),
        ("layer4.0.conv1.weight", "*.weight", True),
        ("layer4.0.conv1.weight", "layer?.0", True),
        ("layer4.0.conv1.weight", "*.conv[12]", True),
        ("layer40.conv1.weight", "layer4", False),
        ("layer4.0.conv1.weight", "conv1", False),
        ("layer4.0.conv1.weight", "Layer4", False),
    ],
)
def test_patterns(name: str, pattern: str, expected: bool) -> None:
    assert fits(name, pattern) is expected


def test_first_group_that_fits_takes_it(parse: Parse) -> None:
    text = """\
optimizer:
  name: SGD
  lr: 0.1
  weight_decay: 0.01
  groups:
    - {match: head, lr: 0.5}
    - {kind: bias, lr_scale: 64, weight_decay: 0}
    - {kind: [norm, embedding], match: "*.weight", momentum: 0.5}
"""
    optimization = build(parse, text, Mixed())
    assert owned(optimization) == {
        "SGD": (
            "token",
            "stem.weight",
            "act.weight",
            "attention.in_proj_weight",
            "attention.out_proj.weight",
            "up.weight",
        ),
        "SGD head": ("head.weight", "head.bias"),
        "SGD bias": ("stem.bias", "norm.bias", "attention.in_proj_bias", "attention.out_proj.bias"),
        "SGD norm embedding *.weight": ("norm.weight", "words.weight"),
    }
    groups = optimization.optimizers[0].param_groups
    assert [(g["lr"], g["weight_decay"], g["momentum"]) for g in groups] == [
        (0.1, 0.01, 0),
        (0.5, 0.01, 0),
        (6.4, 0, 0),
        (0.1, 0.01, 0.5),
    ]


def test_several_optimizers_own_everything_once(parse: Parse) -> None:
    text = """\
optimizer:
  - {name: Muon, params: {kind: conv}}
  - {name: AdamW, params: {match: [head, words]}, lr: 0.01}
  - {name: SGD, params: rest, lr: 0.1}
"""
    model = Mixed()
    model.up.weight.requires_grad_(False)
    optimization = build(parse, text, model)
    assert owned(optimization)["Muon"] == ("stem.weight",)
    names = [name for group in optimization.groups for name in group.names]
    assert sorted(names) == sorted(name for name, p in model.named_parameters() if p.requires_grad)
    taken = [p for optimizer in optimization.optimizers for group in optimizer.param_groups for p in group["params"]]
    assert [id(p) for p in taken] == [id(model.get_parameter(name)) for name in names]


def test_shared_parameters_are_owned_once(parse: Parse) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    assert owned(build(parse, "optimizer: {name: SGD}", model)) == {"SGD": ("0.weight", "0.bias", "1.bias")}


MESSAGES = {
    "owned_twice": """\
optimizer:
  - {name: Muon, params: {kind: conv}}
  - {name: SGD, params: {match: stem.*}}
  - {name: Adam, params: rest}
""",
    "unowned": "optimizer:\n  - {name: Muon, params: {kind: conv}}\n  - {name: SGD, params: {match: head}}",
    "owns_nothing": "optimizer:\n  - {name: Muon, params: {match: haed.*}}\n  - {name: SGD, params: rest}",
    "nothing_left": "optimizer:\n  - {name: SGD, params: {match: '*'}}\n  - {name: Adam, params: rest}",
    "groups": """\
optimizer:
  name: SGD
  groups:
    - {match: haed.weight, lr: 1}
    - {match: stem, lr: 1}
    - {match: stem.bias, lr: 1}
    - {match: up, lr: 1}
    - {kind: conv, match: head, lr: 1}
""",
    "partly_frozen": """\
optimizer:
  name: SGD
  groups:
    - {kind: [norm, bias], weight_decay: 0}
    - {match: [stem, norm, attention], freeze: true}
""",
    "other_optimizers": """\
optimizer:
  - {name: Muon, params: {kind: conv}}
  - {name: SGD, params: rest, groups: [{match: stem.weight, lr: 1}]}
""",
}


@pytest.mark.parametrize("name", MESSAGES)
def test_message_is_golden(name: str, parse: Parse, golden: object) -> None:
    model = Mixed()
    model.up.weight.requires_grad_(False)
    golden(f"assign_{name}.txt", told(parse, MESSAGES[name], model))  # type: ignore[operator]


@pytest.mark.parametrize(
    "groups",
    [
        "{match: head, lr_scale: 10}, {match: '*', freeze: true}",
        "{kind: [norm, bias], weight_decay: 0}, {match: '*', freeze: {until: 1}}",
        "{kind: bias, freeze: true}, {match: stem, freeze: true}",
        "{match: stem, freeze: true}, {kind: bias, weight_decay: 0}",
    ],
)
def test_exceptions_of_what_is_frozen_are_no_slips(groups: str, parse: Parse) -> None:
    assert told(parse, f"optimizer: {{name: SGD, groups: [{groups}]}}", Mixed()) == "no errors\n"


def test_parameters_an_optimizer_refuses_are_told_with_its_place(parse: Parse) -> None:
    with pytest.raises(ConfigError, match=r"Muon takes tensors of two and more dimensions") as error:
        build(parse, "optimizer: {name: Muon}", small_net())
    assert str(error.value.span) == "recipe.yaml:1:12"
    assert "Muon takes tensors of two and more dimensions" in told(parse, "optimizer: {name: Muon}", small_net())


def test_checking_a_model_leaves_it_alone(parse: Parse) -> None:
    model = Mixed().to("meta")
    assert told(parse, "optimizer: {name: SGD, groups: [{match: head, freeze: true}]}", model) == "no errors\n"
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_freeze_for_good(parse: Parse) -> None:
    model = small_net()
    optimization = build(parse, "optimizer: {name: SGD, groups: [{match: '0', freeze: true}]}", model)
    assert owned(optimization) == {"SGD": ("1.weight", "1.bias", "4.weight", "4.bias")}
    assert not model[0].weight.requires_grad


def test_freeze_for_a_stretch(parse: Parse) -> None:
    model = small_net()
    text = """\
optimizer:
  name: SGD
  lr: 0.1
  groups:
    - {match: '0.bias', freeze: {after: 1.5}}
    - {match: '1', freeze: {until: 0.5, after: 2}}
"""
    optimization = build(parse, text, model)  # 4 steps an epoch
    trains = []
    for _ in range(10):
        trains.append((model[0].bias.requires_grad, model[1].weight.requires_grad, model[4].bias.requires_grad))
        optimization.after_step()
    assert [first for first, _, _ in trains] == [True] * 6 + [False] * 4
    assert [second for _, second, _ in trains] == [False] * 2 + [True] * 6 + [False] * 2
    assert all(third for _, _, third in trains)


@pytest.mark.parametrize(("name", "freezes"), [("SGD", True), ("Muon", False)])
def test_a_rate_of_zero_for_good_needs_no_gradient(name: str, freezes: bool, parse: Parse) -> None:
    """Muon renormalises its weights even at a rate of zero, so it is left alone."""
    schedule = "schedule: {name: PiecewiseLinear, epochs: [0, 1.5], factors: [1, 0]}"
    optimization = build(
        parse,
        f"optimizer: [{{name: {name}, params: {{match: '0.weight'}}, {schedule}}}, {{name: SGD, params: rest}}]",
        model := small_net(),
    )
    trains = []
    for _ in range(8):
        trains.append(model[0].weight.requires_grad)
        optimization.after_step()
    assert trains == [True] * 6 + [not freezes] * 2
