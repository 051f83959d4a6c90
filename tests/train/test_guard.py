"""Row 34: what is not finite changes no weight, is told with its step, and never reaches a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.train.small_world import SmallBatches, only, run
from zoo.errors import DivergedError
from zoo.events import CheckpointSaved, Event, StepLogged
from zoo.train import Shelf, Training, fit

MakeTraining = Callable[..., Training]


def test_the_update_does_not_happen_and_step_rate_and_samples_are_told(training: MakeTraining) -> None:
    one = training(train={"epochs": 2}, poison=(2, 2))  # step 9 of 12; the host looks every second step
    weights: dict[int, torch.Tensor] = {}
    rates: dict[int, float] = {}
    after_step = one.optimization.after_step

    def watched() -> None:
        step = len(weights) + 1
        weights[step], rates[step] = one.model[0].weight.detach().clone(), one.optimization.lr  # type: ignore
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


def test_a_gradient_alone_is_enough(training: MakeTraining) -> None:
    one = training(train={"epochs": 1})
    count = 0

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += 1
        return gradient * float("inf") if count == 3 else gradient

    one.model[0].weight.register_hook(spoil)  # type: ignore[union-attr,operator]
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
        seen.append(one.model[0].weight.detach().clone())  # type: ignore[union-attr,operator]
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


def test_no_step_asks_the_device(training: MakeTraining, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks of the host no tensor is read: ``item``, ``tolist``, ``bool`` and copies back are counted."""
    one = training(train={"epochs": 1}, samples=320)
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
    assert len(reads) <= 3, reads
    steps.close()


def test_control_the_poison_is_what_it_is_about(training: MakeTraining) -> None:
    one = training(train={"epochs": 2})
    assert isinstance(one.train, SmallBatches)
    run(one)
