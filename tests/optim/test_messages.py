"""What is told about an optimizer section that is wrong, and where."""

from __future__ import annotations

import pytest

from tests.optim.conftest import Messages

CASES = {
    "optimizer_name": "optimizer: {name: SDG, lr: 0.1}",
    "optimizer_of_timm": "optimizer: {name: sgd, lr: 0.1}",
    "optimizer_refused": "optimizer: {name: LBFGS}",
    "optimizer_nameless": "optimizer: {lr: 0.1, momentum: 0.9}",
    "argument_name": "optimizer: {name: SGD, lr: 0.1, momentun: 0.9, group: []}",
    "argument_type": "optimizer: {name: Adam, lr: fast, betas: [0.9], eps: true}",
    "argument_value": "optimizer: {name: Adam, lr: 0.1, betas: [0.9, 1.5]}",
    "argument_together": "optimizer: {name: SGD, lr: 0.1, nesterov: true}",
    "group_keys": """\
optimizer:
  name: SGD
  lr: 0.1
  groups:
    - {weight_decay: 0}
    - {kind: biases, lr: 0.1, lr_scale: 2}
    - {match: head.*, momentum: -1}
    - {match: stem, maximise: true}
""",
    "freeze_at_once": "optimizer: {name: SGD, lr: 0.1, groups: [{match: '*', freeze: {after: 0}}]}",
    "group_whole": "optimizer: {name: AdamW, lr: 0.1, groups: [{kind: bias, fused: true}]}",
    "nested_groups": """\
optimizer:
  SGD:
    lr: 0.1
    groups:
      - {kind: bias, momentum: -1}
      - {kind: norm, nesterov: true}
""",
    "nested_name": "optimizer: {SGD: {name: Adam, lr: 0.1}}",
    "list_params": """\
optimizer:
  - {name: Muon, lr: 0.1}
  - {name: SGD, lr: 0.1, params: all}
  - {name: SGD, lr: 0.1, params: rest}
  - {name: Adam, params: rest}
""",
    "schedule_name": "optimizer: {name: SGD}\nschedule: {name: CosineLR}",
    "schedule_refused": "optimizer: {name: SGD}\nschedule: {name: LambdaLR}",
    "schedule_keys": "optimizer: {name: SGD}\nschedule: {name: OneCycleLR, max_lr: 0.1, peak: 5, interval: batch}",
    "schedule_values": "optimizer: {name: SGD}\nschedule: {name: OneCycleLR, max_lr: 0.1, pct_start: 2, div_factor: 0}",
    "schedule_torch": "optimizer: {name: SGD}\nschedule: {name: LinearLR, start_factor: 3}",
    "onecycle_no_peak": "optimizer: {name: SGD}\nschedule: {name: OneCycleLR, peak_epoch: 5}",
    "onecycle_both": """\
optimizer: {name: SGD, lr: 0.1}
schedule: {name: OneCycleLR, max_lr: 0.1, peak_epoch: 5, pct_start: 0.3, annihilation: false, final_div_factor: 10}
""",
    "unused_lr": "optimizer: {name: SGD, lr: 0.1}\nschedule: {name: OneCycleLR, max_lr: 0.4}",
    "piecewise": """\
optimizer:
  name: SGD
  lr: 0.1
  groups:
    - {kind: bias, schedule: {name: PiecewiseLinear, epochs: [0, 5], factors: [1]}}
    - {kind: conv, schedule: {name: PiecewiseLinear, epochs: [5, 0], factors: [1, 0]}}
    - {kind: norm, schedule: {name: PiecewiseLinear, epochs: [-1, 0], factors: [1, 0]}}
    - {kind: linear, schedule: {name: PiecewiseLinear, factors: []}}
""",
    "sequential": """\
optimizer: {name: SGD, lr: 0.1}
schedule:
  name: SequentialLR
  schedulers: [{name: LinearLR}, {name: OneCycleLR, max_lr: 1}, {name: StepLR, step_size: 3, interval: step}]
  milestones: [5]
""",
    "sequential_order": """\
optimizer: {name: SGD, lr: 0.1}
schedule: {name: SequentialLR, schedulers: [{name: LinearLR}, {name: LinearLR}, {name: LinearLR}], milestones: [4, 2]}
""",
    "sequential_negative": """\
optimizer: {name: SGD, lr: 0.1}
schedule: {name: SequentialLR, schedulers: [{name: LinearLR}, {name: LinearLR}], milestones: [-5]}
""",
    "schedule_step": "optimizer: {name: SGD, lr: 0.1}\nschedule: {name: ConstantLR, factor: 0, total_iters: 2}",
    "schedule_power": "optimizer: {name: SGD, lr: 0.1}\nschedule: {name: PolynomialLR, power: -1, total_iters: 1500}",
    "schedule_inside": """\
optimizer: {name: SGD, lr: 0.1}
schedule:
  name: SequentialLR
  schedulers: [{name: LinearLR}, {name: ConstantLR, factor: 0, total_iters: 3}]
  milestones: [2000]
  interval: step
""",
    "plateau_list": "optimizer: {name: SGD, lr: 0.1}\nschedule: {name: ReduceLROnPlateau, min_lr: [0.1, 0.2]}",
    "find_twice": "optimizer: {name: SGD, lr: find}\nschedule: {name: OneCycleLR, max_lr: find}",
    "find_settings": "optimizer: {name: SGD, lr: {find: {rule: steepest, end_lr: 1e-9}}}",
    "layer_decay_zero": "optimizer: {name: AdamW, lr: 1e-3, layer_decay: 0}",
    "layer_decay_above_one": "optimizer: {name: AdamW, lr: 1e-3, layer_decay: 1.5}",
    "layer_decay_negative": "optimizer: {name: AdamW, lr: 1e-3, layer_decay: -0.75}",
    "layer_decay_per_cent": "optimizer: {name: AdamW, lr: 1e-3, layer_decay: 75}",
    "layer_decay_text": "optimizer: {name: AdamW, lr: 1e-3, layer_decay: strong}",
    "layer_decay_mistyped": "optimizer: {name: AdamW, lr: 1e-3, layerdecay: 0.75, layer_decai: 0.75}",
    "layer_decay_in_group": "optimizer: {name: AdamW, lr: 1e-3, groups: [{kind: bias, layer_decay: 0.75}]}",
    "find_in_group": """\
optimizer:
  name: SGD
  groups: [{kind: bias, schedule: {name: OneCycleLR, max_lr: find}}]
""",
}


@pytest.mark.parametrize("name", CASES)
def test_message_is_golden(name: str, messages: Messages, golden: object) -> None:
    golden(f"{name}.txt", messages(CASES[name]))  # type: ignore[operator]


def test_right_sections_say_nothing(messages: Messages) -> None:
    assert messages("optimizer: {name: SGD, lr: 0.1}\nschedule: CosineAnnealingLR") == "no errors\n"
