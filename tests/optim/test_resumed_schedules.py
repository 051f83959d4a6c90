"""A schedule that is taken up again stands where that of an uninterrupted training does."""

from __future__ import annotations

import time

import pytest
import torch
from torch.optim import SGD, lr_scheduler

from tests.optim.conftest import Parse, small_net
from tests.optim.rates import first_lr
from tests.optim.test_running import through_json
from tests.optim.test_schedules import EPOCHS, EVERY, STEPS
from zoo.diagnostics import Diagnostics
from zoo.optim import Optimization


def of(parse: Parse, schedule: str, epochs: float = EPOCHS, optimizer: str = "SGD") -> Optimization:
    momentum = "betas: [0.9, 0.99]" if optimizer == "Adam" else "momentum: 0.9"
    lr = "" if "max_lr" in schedule else "lr: 0.3, "
    groups = (
        "[{kind: bias, lr_scale: 2}, {kind: norm, schedule: {name: PiecewiseLinear, epochs: [0, 4], factors: [1, 0]}}]"
    )
    spec = parse(f"optimizer: {{name: {optimizer}, {lr}{momentum}, groups: {groups}}}\nschedule: {schedule}")
    return spec.build(small_net(), steps_per_epoch=STEPS, epochs=epochs, diagnostics=Diagnostics())


def hyperparameters(optimization: Optimization) -> list[object]:
    groups = [group for optimizer in optimization.optimizers for group in optimizer.param_groups]
    return [(group["lr"], group.get("momentum"), group.get("betas")) for group in groups]


def walked(optimization: Optimization, steps: int) -> list[list[object]]:
    """Rates, momenta and betas at each of so many steps on."""
    seen = []
    for _ in range(steps):
        seen.append(hyperparameters(optimization))
        optimization.after_step()
        if optimization.steps % STEPS == 0:
            optimization.after_epoch()
    return seen


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("name", EVERY)
def test_a_resumed_schedule_stands_where_that_of_the_recipe_does(name: str, optimizer: str, parse: Parse) -> None:
    """Also of a recipe whose training is longer by now; bit for bit."""
    total = STEPS * EPOCHS
    for longer in (1, 2):
        whole = walked(of(parse, EVERY[name], EPOCHS * longer, optimizer), total * longer)
        for done in (1, STEPS, 20, total):
            begun = of(parse, EVERY[name], EPOCHS, optimizer)
            walked(begun, done)
            resumed = of(parse, EVERY[name], EPOCHS * longer, optimizer)
            resumed.load_state_dict(through_json(begun.state_dict(), {}, contiguous=True))
            assert walked(resumed, total * longer - done) == whole[done:], (longer, done)


def test_a_schedule_of_the_longer_training_is_halfway_where_the_shorter_one_ended(parse: Parse) -> None:
    halves = {"CosineAnnealingLR": 0.5, "LinearLR, start_factor: 1, end_factor: 0.01": 0.505, "PolynomialLR": 0.5}
    for name, half in halves.items():
        begun, longer = (
            parse(f"optimizer: {{name: SGD, lr: 1.0}}\nschedule: {{name: {name}}}").build(
                small_net(), steps_per_epoch=10, epochs=epochs, diagnostics=Diagnostics()
            )
            for epochs in (2, 4)
        )
        for _ in range(20):
            begun.after_step()
        longer.load_state_dict(begun.state_dict())
        assert first_lr(longer) == pytest.approx(half)


def test_a_state_with_the_positions_that_were_kept_once_is_taken_up(parse: Parse) -> None:
    whole, begun, resumed = (of(parse, EVERY["CosineAnnealingLR"]) for _ in range(3))
    walked(whole, 9)
    walked(begun, 9)
    position = {"last_epoch": 9, "_step_count": 10, "_last_lr": [0.1, 0.2]}
    resumed.load_state_dict({**begun.state_dict(), "schedules": [position, position]})
    assert walked(resumed, 9) == walked(whole, 9)


def test_many_steps_are_walked_again_in_no_time(parse: Parse) -> None:
    spec = parse("optimizer: {name: SGD, momentum: 0.9}\nschedule: {name: OneCycleLR, max_lr: 0.1}")
    begun, resumed = (
        spec.build(small_net(), steps_per_epoch=1000, epochs=10, diagnostics=Diagnostics()) for _ in range(2)
    )
    began = time.process_time()
    resumed.load_state_dict({**begun.state_dict(), "steps": 9000})
    assert time.process_time() - began < 2
    stepped = SGD([torch.zeros(1)], lr=0.1, momentum=0.9)
    by_hand = lr_scheduler.OneCycleLR(stepped, 0.1, total_steps=10_000)
    stepped.step()
    for _ in range(9000):
        by_hand.step()
    assert first_lr(resumed) == by_hand.get_last_lr()[0]
    assert 0 < first_lr(resumed) < 0.1
