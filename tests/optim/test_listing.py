"""The groups of parameters as a dry run lists them."""

from __future__ import annotations

from tests.optim.conftest import Parse, small_net
from zoo.optim import group_lines, listed_groups

GROUPS = """\
optimizer:
  name: SGD
  lr: 0.1
  weight_decay: 5e-4
  groups:
    - {match: "0.weight", freeze: true}
    - {kind: bias, lr: 0.01, weight_decay: 0, freeze: {until: 1, after: 3}}
    - {match: "1", lr_scale: 0.1}
"""


def test_every_group_stands_in_a_line(parse: Parse) -> None:
    model = small_net().to("meta")
    assert group_lines(listed_groups(parse(GROUPS), model)) == [
        "SGD           1 tensor   640 values  lr 0.1   weight decay 0.0005",
        "SGD 0.weight  1 tensor   216 values  frozen",
        "SGD bias      3 tensors  21 values   lr 0.01  weight decay 0       frozen until epoch 1 and from epoch 3 on",
        "SGD 1         1 tensor   8 values    lr 0.01  weight decay 0.0005",
    ]
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_rate_that_a_run_would_find_is_none_yet(parse: Parse) -> None:
    text = """\
optimizer: {name: AdamW, groups: [{kind: bias, lr: 0.01}]}
schedule: {name: OneCycleLR, max_lr: find}
"""
    plain, bias = listed_groups(parse(text), small_net())
    assert (plain.lr, plain.weight_decay) == (None, 0.01)
    assert bias.lr == 0.01


def test_what_the_architecture_has_frozen_is_listed_too(parse: Parse) -> None:
    model = small_net()
    model[0].weight.requires_grad_(False)
    *_, last = listed_groups(parse("optimizer: {name: SGD, lr: 0.1}"), model)
    assert (last.name, last.tensors, last.values, last.frozen) == ("the architecture's", 1, 216, "always")
