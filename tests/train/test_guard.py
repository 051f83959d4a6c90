"""Row 34: what is not finite changes no weight, is told with its step, and never reaches a checkpoint."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.train.small_world import SmallBatches, only, run
from zoo.errors import DivergedError
from zoo.events import CheckpointSaved, Event, StepLogged
from zoo.optim.running import FrozenStretch, Optimization, RunningGroup
from zoo.train import Shelf, Training, fit

MakeTraining = Callable[..., Training]


def test_the_update_does_not_happen_and_step_rate_and_samples_are_told(training: MakeTraining) -> None:
    one = training(train={"epochs": 2}, poison=(2, 2))  # step 9 of 12; the host looks every second step
    weights: dict[int, torch.Tensor] = {}
    rates: dict[int, float] = {}
    after_step = one.optimization.after_step

    def watched() -> None:
        step = len(weights) + 1
        weights[step] = one.model[0].weight.detach().clone()  # type: ignore
        rates[step] = one.optimization.lrs["all"]
        after_step()

    one.optimization.after_step = watched  # type: ignore[method-assign]
    with pytest.raises(DivergedError) as caught:
        run(one)
    assert weights[8].ne(weights[7]).any()  # control: good steps do move
    assert weights[9].equal(weights[8])
    assert max(weights) == 10  # noticed at the log interval, not at the step
    assert weights[10].equal(weights[8])
    assert caught.value.exit_code == 5
    assert f"the loss is not finite at step 9, learning rate {rates[9]:.6g}" in caught.value.message
    samples = list(one.train.epoch(2))[2].indices.tolist()
    assert caught.value.notes[0].message == f"training samples of that step: {', '.join(map(str, samples))}"


def test_a_sample_that_came_several_times_is_named_once(training: MakeTraining) -> None:
    one = training(train={"epochs": 2}, poison=(2, 2))
    steps_of = one.train.epoch

    def repeated(epoch: int, start: int = 0) -> Iterator[Any]:
        return (replace(batch, indices=batch.indices // 8) for batch in steps_of(epoch, start))

    one.train.epoch = repeated  # type: ignore[method-assign]
    with pytest.raises(DivergedError) as caught:
        run(one)
    named = caught.value.notes[0].message.partition(": ")[2].split(", ")
    bad = {str(index) for index in list(repeated(2))[2].indices.tolist()}
    assert len(named) == len(bad) < 16
    assert set(named) == bad


def test_the_last_good_checkpoint_is_kept(training: MakeTraining) -> None:
    one = training(train={"epochs": 3}, poison=(2, 5))  # the epoch's last batch: a checkpoint is due right after it
    events: list[Event] = []
    with pytest.raises(DivergedError):
        events.extend(fit(one))
    assert [event.step for event in only(events, CheckpointSaved)] == [6, 6]
    assert one.folder is not None
    checkpoint = Shelf(one.folder.checkpoints).newest(pytest.fail)
    assert checkpoint is not None
    assert checkpoint.manifest.step == 6
    assert all(bool(tensor.isfinite().all()) for tensor in checkpoint.model.values())


@pytest.mark.parametrize("validates", [False, True])
def test_a_test_whose_loss_is_not_finite_ends_the_training(training: MakeTraining, validates: bool) -> None:
    one = training(train={"epochs": 2})
    if validates:
        one.validation = SmallBatches(40, 40, 1, shuffle=False)
    tested = one.validation or one.test
    assert isinstance(tested, SmallBatches)

    def poisoned() -> None:
        for event in fit(one):
            if only([event], CheckpointSaved):  # of the first epoch, whose test was sound
                tested.poison = (1, 0)

    with pytest.raises(DivergedError, match="the loss of the test is not finite after step 12, learning rate") as error:
        poisoned()
    assert error.value.exit_code == 5
    assert one.folder is not None
    checkpoint = Shelf(one.folder.checkpoints).newest(pytest.fail)
    assert checkpoint is not None
    assert checkpoint.manifest.step == 6


def test_a_gradient_alone_is_enough(training: MakeTraining) -> None:
    one = training(train={"epochs": 1})
    count = 0

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += 1
        return gradient * float("inf") if count == 3 else gradient

    one.model[0].weight.register_hook(spoil)  # type: ignore[index]
    with pytest.raises(DivergedError, match="a gradient is not finite at step 3"):
        run(one)


def test_an_average_that_is_not_finite_is_not_saved(training: MakeTraining) -> None:
    one = training(train={"epochs": 1}, ema=True)
    average: Any = one.averaging[0]
    after_step = average.after_step

    def spoil(step: int) -> None:
        after_step(step)
        if step == 6:
            average.average["0.weight"][0] = float("nan")

    average.after_step = spoil
    with pytest.raises(DivergedError, match=r"average\.0\.weight is not finite after step 6"):
        run(one)
    assert one.folder is not None
    assert Shelf(one.folder.checkpoints).newest(pytest.fail) is None


def test_optimizers_that_are_not_fused_leave_the_weights_too(training: MakeTraining) -> None:
    one = training(train={"epochs": 1}, poison=(1, 3), fused=False)
    seen: list[torch.Tensor] = []
    original = one.optimization.after_step

    def watched() -> None:
        seen.append(one.model[0].weight.detach().clone())  # type: ignore[index]
        original()

    one.optimization.after_step = watched  # type: ignore[method-assign]
    with pytest.raises(DivergedError):
        run(one)
    assert seen[3].equal(seen[2])
    assert seen[2].ne(seen[1]).any()


def test_with_loss_scaling_too(training: MakeTraining) -> None:
    one = training(train={"epochs": 1}, poison=(1, 3), precision="fp16")
    with pytest.raises(DivergedError, match="the loss is not finite at step 4"):
        run(one)
    assert all(bool(parameter.isfinite().all()) for parameter in one.model.parameters())


def spoiled(one: Training, value: float, steps: range) -> None:
    """Multiplies a gradient by ``value`` in these steps, counted from 1."""
    count = itertools.count(1)
    one.model[0].weight.register_hook(lambda gradient: gradient * (value if next(count) in steps else 1.0))  # type: ignore


def test_a_gradient_that_overflows_at_no_loss_scale_is_told(training: MakeTraining) -> None:
    one = training(train={"epochs": 7}, precision="fp16")
    before = one.model[0].weight.detach().clone()  # type: ignore[index]
    spoiled(one, float("nan"), range(1, 99))
    with pytest.raises(DivergedError, match=r"gradients are not finite at any loss scale, seen at step 32, learning"):
        run(one)  # 2^16 halved to below 2^-14
    assert one.model[0].weight.equal(before)  # type: ignore[index]


@pytest.mark.parametrize("fused", [True, False])
def test_an_overflow_costs_one_update_and_halves_the_loss_scale(training: MakeTraining, fused: bool) -> None:
    one = training(train={"epochs": 2}, precision="fp16", fused=fused)
    spoiled(one, float("inf"), range(4, 5))
    weights = weights_after_steps(one)
    run(one)
    assert [weights[step].equal(weights[step - 1]) for step in (3, 4, 5)] == [False, True, False]
    assert one.runtime.scaler.get_scale() == 2.0**15


def test_with_loss_scaling_nothing_moves_after_a_loss_that_is_not_finite(training: MakeTraining) -> None:
    one = training(train={"epochs": 1}, poison=(1, 2), precision="fp16")  # step 3; the host looks after step 4
    weights = weights_after_steps(one)
    with pytest.raises(DivergedError, match="the loss is not finite at step 3"):
        run(one)
    assert weights[2].ne(weights[1]).any()  # control
    assert weights[3].equal(weights[2])
    assert weights[4].equal(weights[2])


def test_with_loss_scaling_an_optimizer_may_have_nothing_to_do(training: MakeTraining) -> None:
    """GradScaler.step asserts that every optimizer has gradients; a frozen stretch's has none."""
    one = training(train={"epochs": 2}, precision="fp16")
    head, body = [*one.model[8].parameters()], [*one.model[:8].parameters()]  # type: ignore[index]
    optimizers = [torch.optim.NAdam(head, 0.01), torch.optim.SGD(body, 0.1, fused=True)]
    groups = [RunningGroup("head", 0, 0, (), 1.0), RunningGroup("body", 1, 0, (), 1.0)]
    one.optimization = Optimization(optimizers, groups, frozen=[FrozenStretch(tuple(head), 4, float("inf"))])
    control = torch.amp.GradScaler("cpu")
    control.scale(torch.zeros(()))
    control.unscale_(optimizers[0])
    with pytest.raises(AssertionError, match="No inf checks"):
        control.step(optimizers[0])
    before = one.model[8].weight.detach().clone()  # type: ignore[index]
    moved = []
    after_step = one.optimization.after_step
    one.optimization.after_step = lambda: (moved.append(one.model[8].weight.ne(before).any().item()), after_step())  # type: ignore
    run(one)
    assert moved == [False] * 4 + [True] * 8


def weights_after_steps(one: Training) -> dict[int, torch.Tensor]:
    """Fills while it trains: the first layer's weights after each step, counted from 1; 0 is before."""
    weights = {0: one.model[0].weight.detach().clone()}  # type: ignore[index]
    after_step = one.optimization.after_step

    def watched() -> None:
        weights[len(weights)] = one.model[0].weight.detach().clone()  # type: ignore[index]
        after_step()

    one.optimization.after_step = watched  # type: ignore[method-assign]
    return weights


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_no_step_asks_the_device(training: MakeTraining, monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    """Between two looks of the host no tensor is read: ``item``, ``tolist``, ``bool`` and copies back are counted."""
    one = training(train={"epochs": 1}, samples=320, precision=precision, fused=precision == "fp32")
    one.log_every = 5
    reads: list[str] = []
    for name in ("item", "tolist", "__bool__", "__float__", "__int__", "cpu", "numpy"):
        original = getattr(torch.Tensor, name)

        def counted(self: torch.Tensor, *given: Any, _original: Any = original, _name: str = name) -> Any:
            reads.append(_name)
            return _original(self, *given)

        monkeypatch.setattr(torch.Tensor, name, counted)
    steps = fit(one)
    while "StepLogged" not in type(next(steps)).__name__:
        pass
    reads.clear()
    event = next(steps)  # steps 6 to 10
    assert isinstance(event, StepLogged)
    assert event.step == 10
    assert len(reads) <= 3 + (precision == "fp16"), reads  # not one a step: the log line, and whether all was finite
    steps.close()


def test_control_the_poison_is_what_it_is_about(training: MakeTraining) -> None:
    one = training(train={"epochs": 2})
    assert isinstance(one.train, SmallBatches)
    run(one)
