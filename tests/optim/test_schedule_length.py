"""Schedules that were written for a training of another length."""

from __future__ import annotations

import pytest

from tests.conftest import CheckGolden
from tests.optim.conftest import Parse
from zoo.diagnostics import Diagnostics, count_line, render

WRONG = {
    "step_size": "{name: StepLR, step_size: 30}",
    "milestones": "{name: MultiStepLR, milestones: [5, 30, 60]}",
    "milestones_in_steps": "{name: MultiStepLR, milestones: [100, 300], interval: step}",
    "cosine": "{name: CosineAnnealingLR, T_max: 5}",
    "polynomial": "{name: PolynomialLR, total_iters: 5}",
    "one_cycle": "{name: OneCycleLR, total_steps: 100}",
    "one_cycle_too_long": "{name: OneCycleLR, total_steps: 1000}",
    "warm_up_of_one_value": "{name: SequentialLR, schedulers: [{name: LinearLR}, {name: CosineAnnealingLR}], "
    "milestones: [1]}",
    "stretch": "{name: SequentialLR, schedulers: [{name: ConstantLR}, {name: CosineAnnealingLR, T_max: 4}], "
    "milestones: [2]}",
    "sequence": "{name: SequentialLR, schedulers: [{name: ConstantLR}, {name: CosineAnnealingLR}], milestones: [20]}",
}
RIGHT = [
    "{name: StepLR, step_size: 9}",
    "{name: StepLR, step_size: 30, interval: step}",
    "{name: MultiStepLR, milestones: [3, 9]}",
    "{name: CosineAnnealingLR, T_max: 9}",
    "{name: CosineAnnealingLR, T_max: 20}",
    "{name: CosineAnnealingLR}",
    "{name: LinearLR, total_iters: 3}",
    "{name: PolynomialLR, total_iters: 10}",
    "{name: OneCycleLR, total_steps: 230}",
    "{name: CyclicLR, base_lr: 0.01, max_lr: 0.1, step_size_up: 500}",
    "{name: SequentialLR, schedulers: [{name: LinearLR}, {name: CosineAnnealingLR}], milestones: [2]}",
    "{name: SequentialLR, schedulers: [{name: LinearLR}, {name: CosineAnnealingLR}], milestones: [23], interval: step}",
    "{name: SequentialLR, schedulers: [{name: ConstantLR}, {name: CosineAnnealingLR}], milestones: [1]}",
    "{name: ChainedScheduler, schedulers: [{name: LinearLR}, {name: StepLR, step_size: 4}]}",
]


def told(parse: Parse, schedule: str, steps: int | None = 230) -> str:
    lr = "" if "max_lr" in schedule else ", lr: 0.1"
    spec, found = parse(f"optimizer: {{name: SGD{lr}}}\nschedule: {schedule}"), Diagnostics()
    spec.check(10, found, steps=steps)
    return "\n\n".join([*map(render, found), count_line(found)]) + "\n"


@pytest.mark.parametrize("name", WRONG)
def test_counts_of_another_training_are_warned_of(name: str, parse: Parse, golden: CheckGolden) -> None:
    golden(f"length_{name}.txt", told(parse, WRONG[name]))


@pytest.mark.parametrize("schedule", RIGHT)
def test_counts_of_this_training_are_right(schedule: str, parse: Parse) -> None:
    assert told(parse, schedule) == "no errors\n"


def test_what_counts_in_steps_is_not_judged_before_they_are_known(parse: Parse) -> None:
    assert told(parse, WRONG["one_cycle"], steps=None) == "no errors\n"
    assert parse(f"optimizer: {{name: SGD, lr: 0.1}}\nschedule: {WRONG['one_cycle']}").counts_steps
    assert not parse(f"optimizer: {{name: SGD, lr: 0.1}}\nschedule: {WRONG['cosine']}").counts_steps


def test_a_group_may_stand_still_before_the_end(parse: Parse) -> None:
    spec = parse(f"optimizer: {{name: SGD, lr: 0.1, groups: [{{kind: bias, schedule: {WRONG['polynomial']}}}]}}")
    found = Diagnostics()
    spec.check(10, found)
    assert not len(found)
