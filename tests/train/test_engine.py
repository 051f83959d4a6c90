"""The loop against a loop written by hand, and every setting against what it means."""

from __future__ import annotations

import gc
import json
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.train.small_world import SmallBatches, one_cycle, only, run, small_net, tensors_of
from zoo.errors import StoppedBySignal
from zoo.events import EpochFinished, Message, StepLogged, TrainingFinished, TrainingStarted
from zoo.optim import SWA
from zoo.optim.running import Optimization, RunningGroup
from zoo.schema.recipe import TrainSection
from zoo.train import Training, count_steps, engine, fit
from zoo.train.evaluation import Evaluation
from zoo.train.metrics import StepClock
from zoo.train.signals import Interrupted
from zoo.train.state import Progress

MakeTraining = Callable[..., Training]


def by_hand(epochs: int, lr: float, **loss: Any) -> tuple[nn.Module, list[float]]:
    """The plainest loop there is, on the small training's network and data."""
    model = small_net().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4, fused=True)
    schedule = one_cycle(optimizer, lr, 6 * epochs)
    batches, criterion, losses = SmallBatches(90, 16, 3), nn.CrossEntropyLoss(**loss), []
    torch.manual_seed(3)
    model.train()
    for epoch in range(1, epochs + 1):
        total = 0.0
        for batch in batches.epoch(epoch):
            output = model(batch.images.to(memory_format=torch.channels_last))
            loss_value = criterion(output, batch.labels)
            optimizer.zero_grad()
            loss_value.backward()
            optimizer.step()
            schedule.after_step()
            total += loss_value.item() * (1 if criterion.reduction == "sum" else len(output))
        losses.append(total / batches.samples)
    return model, losses


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_it_equals_a_loop_written_by_hand(training: MakeTraining, reduction: str) -> None:
    lr = 0.1 if reduction == "mean" else 0.01
    one = training(train={"epochs": 2}, reduction=reduction, lr=lr)
    events = run(one)
    model, losses = by_hand(2, lr, reduction=reduction)
    for name, tensor in model.state_dict().items():
        assert one.model.state_dict()[name].equal(tensor), name
    assert [event.train["loss"] for event in only(events, EpochFinished)] == pytest.approx(losses, rel=1e-6)
    other, _ = by_hand(2, lr * 1.01, reduction=reduction)  # control
    assert not other.state_dict()["0.weight"].equal(one.model.state_dict()["0.weight"])


def test_events_metrics_and_figures(training: MakeTraining) -> None:
    one = training(train={"epochs": 2.5}, evaluation={"tta": "flip"})
    events = run(one)
    (started,) = only(events, TrainingStarted)
    assert (started.epochs, started.steps, started.steps_per_epoch, started.start_step) == (2.5, 15, 6, 0)
    assert set(started.choices) == {"device", "precision", "layout", "compile"}
    logged = only(events, StepLogged)
    assert [event.step for event in logged] == [2, 4, 6, 8, 10, 12, 14, 15]
    assert [len(event.lrs) for event in logged] == [2] * 7 + [1]
    assert all(event.lrs[-1] == event.lr for event in logged)
    assert all(event.lr != event.lrs[0] for event in logged[:-1])
    epochs = only(events, EpochFinished)
    assert [event.step for event in epochs] == [6, 12, 15]
    assert one.folder is not None
    lines = [json.loads(text) for text in one.folder.metrics.read_text().splitlines()]
    assert [line["train"] for line in lines] == [event.train for event in epochs]
    assert lines[0].keys() >= {"event", "epoch", "train", "test", "lr", "seconds", "images_per_second"}
    assert len(one.folder.metrics_csv.read_text().splitlines()) == 4
    (finished,) = only(events, TrainingFinished)
    assert finished.result["test"] == epochs[-1].test
    assert finished.result["train"] == epochs[-1].train
    assert set(epochs[-1].test) == {"loss", "accuracy", "accuracy_tta"}
    assert one.final is not None
    assert one.final.probabilities is not None
    assert one.final.probabilities.shape == (40, 4)


def test_the_rate_of_every_group_is_logged_at_every_step(training: MakeTraining) -> None:
    one = training(train={"epochs": 1.5})
    body, head = one.model[0], one.model[8]  # type: ignore[index]
    groups = [{"params": list(body.parameters())}, {"params": list(head.parameters()), "lr": 0.3}]
    labels = [RunningGroup(label, 0, place, (), None) for place, label in enumerate(("SGD 0.*", "SGD"))]
    one.optimization = Optimization([torch.optim.SGD(groups, lr=0.1)], labels)
    events = run(one)
    logged = only(events, StepLogged)
    assert [epoch.lr_span for epoch in only(events, EpochFinished)] == [(0.1, 0.3)] * 2
    assert sum(len(event.lrs) for event in logged) == one.steps.total == 9
    assert [event.group_lrs for event in logged] == [{"SGD": (0.3,) * len(event.lrs)} for event in logged]
    assert one.folder is not None
    lines = [json.loads(text) for text in one.folder.steps.read_text().splitlines()]
    assert [line["group_lrs"] for line in lines] == [{"SGD": [0.3] * len(line["lrs"])} for line in lines]


def test_it_learns(training: MakeTraining) -> None:
    epochs = only(run(training(train={"epochs": 12})), EpochFinished)
    assert epochs[-1].train["loss"] < 0.75 * epochs[0].train["loss"]
    assert epochs[-1].test["accuracy"] > 0.45  # four classes: chance is a quarter


@pytest.mark.parametrize(
    ("batches", "settings", "per_epoch", "total"),
    [
        (98, {"epochs": 24}, 98, 2352),
        (97, {"epochs": 9.9}, 97, 961),
        (10, {"epochs": 0.3}, 10, 3),
        (10, {"epochs": 0.01}, 10, 1),
        (10, {"epochs": 2, "accumulate": 4}, 3, 6),
        (10, {"epochs": 2, "max_steps": 7}, 10, 7),
        (10, {"max_steps": 25}, 10, 25),
    ],
)
def test_steps_are_counted(batches: int, settings: dict[str, Any], per_epoch: int, total: int) -> None:
    steps = count_steps(batches, TrainSection.model_validate(settings))
    assert (steps.per_epoch, steps.total) == (per_epoch, total)


def without_noise(one: Training) -> Training:
    """Without dropout and batch statistics a split batch has the whole one's gradient."""
    for number in (1, 3):
        one.model[number] = nn.Identity()  # type: ignore[index,operator]
    return one


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_time_left_counts_every_batch(
    training: MakeTraining, monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    one = training(train={"epochs": 2, "accumulate": accumulate}, batch_size=8, samples=96)
    one.log_every, now, epoch_of = 1, 0.0, one.train.epoch

    def a_second_each(epoch: int, start: int = 0) -> Iterator[Any]:
        nonlocal now
        for batch in epoch_of(epoch, start):
            now += 1
            yield batch

    monkeypatch.setattr(one.train, "epoch", a_second_each)
    monkeypatch.setattr(engine, "StepClock", lambda: StepClock(lambda: now))
    logged = next(event for event in fit(one) if isinstance(event, StepLogged))
    assert logged.epoch_eta_seconds == 12 - accumulate
    assert logged.run_eta_seconds == 24 - accumulate


@pytest.mark.parametrize(("size", "accumulate", "samples"), [(8, 4, 64), (16, 3, 70)])  # 70: its last batch has 6
def test_accumulated_batches_make_the_step_of_their_union(
    size: int, accumulate: int, samples: int, training: MakeTraining
) -> None:
    parts = without_noise(training(train={"epochs": 2, "accumulate": accumulate}, batch_size=size, samples=samples))
    whole = without_noise(training(train={"epochs": 2}, batch_size=size * accumulate, samples=samples))
    apart = without_noise(training(train={"epochs": 2}, batch_size=size, samples=samples))
    for one in (parts, whole, apart):
        run(one)
    own, other = parts.model.state_dict(), whole.model.state_dict()
    for name in own:
        torch.testing.assert_close(own[name], other[name], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(apart.model.state_dict()["0.weight"], other["0.weight"], rtol=1e-3)


def test_the_time_left_counts_the_tests_that_are_left(training: MakeTraining, monkeypatch: pytest.MonkeyPatch) -> None:
    one = training(train={"epochs": 5}, evaluation={"every": 2})
    now = 0.0

    def evaluated(*arguments: Any, **options: Any) -> Evaluation:
        nonlocal now
        now += 100.0
        return Evaluation(loss=1.0, accuracy=0.5, samples=2)

    monkeypatch.setattr(engine.time, "monotonic", lambda: now)
    monkeypatch.setattr(engine, "evaluate", evaluated)
    monkeypatch.setattr(engine, "StepClock", lambda: StepClock(lambda: now))
    left = {event.epoch: event.run_eta_seconds for event in fit(one) if isinstance(event, StepLogged)}
    assert {epoch: round(seconds, -1) for epoch, seconds in left.items()} == {1: 0, 2: 0, 3: 200, 4: 200, 5: 100}


def test_the_gradient_is_clipped(training: MakeTraining) -> None:
    one = training(train={"epochs": 1, "grad_clip": 1e-3})
    norms = []
    step = one.optimization.step

    def watched(skip: torch.Tensor | None = None) -> None:
        norms.append(torch.nn.utils.get_total_norm([p.grad for p in one.model.parameters() if p.grad is not None]))
        step(skip)

    one.optimization.step = watched  # type: ignore[method-assign]
    run(one)
    assert max(norms) <= 1e-3 * 1.001
    assert min(norms) > 0.5e-3


def test_best_is_chosen_by_validation_where_there_is_one(training: MakeTraining) -> None:
    one = training(train={"epochs": 3})
    events = run(one)
    assert any("test set" in message.text for message in only(events, Message))
    epochs = only(events, EpochFinished)
    assert one.folder is not None
    two = training(train={"epochs": 3})
    two.validation = SmallBatches(30, 30, 9, shuffle=False)
    two.folder = None
    held_out = list(fit(two))
    assert not any("test set" in message.text for message in only(held_out, Message))
    for chosen, by in ((epochs, "test"), (only(held_out, EpochFinished), "validation")):
        accuracies = [getattr(event, by)["accuracy"] for event in chosen]
        best = [accuracy > max(accuracies[:number], default=-1) for number, accuracy in enumerate(accuracies)]
        assert [event.is_best for event in chosen] == best


@pytest.mark.parametrize(
    ("stopping", "ended", "times"),
    [(None, 4, 4), ({"metric": "accuracy", "patience": 1, "min_delta": 1.0}, 2, 3)],  # then once more, with all views
)
def test_a_split_that_is_both_is_evaluated_once_for_both(
    stopping: dict[str, Any] | None, ended: int, times: int, training: MakeTraining
) -> None:
    class Counted(SmallBatches):
        times = 0

        def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
            self.times += 1
            return super().epoch(epoch, start)

    found = []
    for is_both in (True, False):
        one = training(train={"epochs": 4, "early_stopping": stopping}, evaluation={"tta": "flip"}, ema=True)
        one.folder, one.test = None, Counted(40, 16, 0, shuffle=False)
        one.validation = one.test if is_both else Counted(40, 16, 0, shuffle=False)
        events = list(fit(one))
        epochs = [replace(event, seconds=0.0, images_per_second=0.0) for event in only(events, EpochFinished)]
        assert one.final is not None
        found.append((epochs, tensors_of(one), one.final, one.test.times))
    (both, weights, final, counted), (apart, weights_apart, final_apart, control) = found
    assert both == apart
    assert [each.validation == each.test for each in both] == [True] * (ended - 1) + [False]
    assert both[-1].test == {**(both[-1].validation or {}), "accuracy_tta": final.accuracy_tta}
    assert all(torch.equal(weights[name], tensor) for name, tensor in weights_apart.items())
    assert np.array_equal(final.probabilities, final_apart.probabilities)  # type: ignore[arg-type]
    assert (counted, control) == (times, ended)


def test_tests_come_every_so_many_epochs_and_at_the_end(training: MakeTraining) -> None:
    epochs = only(run(training(train={"epochs": 5}, evaluation={"every": 3})), EpochFinished)
    assert [event.test is not None for event in epochs] == [False, False, True, False, True]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_trains_close_to_fp32(training: MakeTraining, precision: str) -> None:
    exact = only(run(training(train={"epochs": 2})), EpochFinished)[-1].train["loss"]
    one = training(train={"epochs": 2}, precision=precision)
    kinds = set()
    one.model[0].register_forward_hook(lambda *given: kinds.add(given[2].dtype))  # type: ignore[union-attr,operator]
    loss = only(run(one), EpochFinished)[-1].train["loss"]
    assert kinds == {torch.bfloat16 if precision == "bf16" else torch.float16}
    assert loss == pytest.approx(exact, rel=0.05)
    assert loss != exact
    assert (one.runtime.scaler is not None) == (precision == "fp16")


def test_the_averaged_weights_are_tested_saved_and_left_in_the_model(training: MakeTraining) -> None:
    one = training(train={"epochs": 2}, ema=True)
    run(one)
    average: Any = one.averaging[0]
    assert one.folder is not None
    saved = load_file(one.folder.checkpoints / "last" / "model.safetensors")
    for name, tensor in one.model.state_dict().items():
        assert tensor.equal(average.average[name])
        assert saved[name].equal(tensor)


def test_a_training_does_not_depend_on_what_ran_before(training: MakeTraining) -> None:
    one = training(train={"epochs": 1})
    run(one)
    two = training(train={"epochs": 1})
    two.folder = None
    torch.rand(1000)
    list(fit(two))
    assert one.model.state_dict()["0.weight"].equal(two.model.state_dict()["0.weight"])


def test_nothing_piles_up_over_epochs(training: MakeTraining) -> None:
    one = training(train={"epochs": 9}, samples=32)
    one.folder = None
    alive = []
    for event in fit(one):
        if isinstance(event, EpochFinished):
            gc.collect()
            alive.append(len(gc.get_objects()))
    assert max(alive[4:]) - min(alive[4:]) < 20


def test_memory_is_constant_over_epochs(training: MakeTraining) -> None:
    """Python's allocations and the tensors alive, after each of twenty epochs; the control keeps one batch an epoch."""

    def watched(*, leaks: bool) -> tuple[int, int]:
        one, kept = training(train={"epochs": 20}, samples=64), []
        one.folder = None
        sizes = []
        gc.freeze()  # what is there already is nobody's growth, and need not be looked through twenty times
        tracemalloc.start()
        for event in fit(one):
            if isinstance(event, EpochFinished):
                if leaks:
                    kept.append(next(one.train.epoch(1)).images)
                gc.collect()
                tensors = sum(thing.nbytes for thing in gc.get_objects() if type(thing) is torch.Tensor)
                sizes.append((tracemalloc.get_traced_memory()[0], tensors))
        tracemalloc.stop()
        gc.unfreeze()
        # Not the last epoch, whose predictions are kept.
        (early, early_tensors), (late, late_tensors) = sizes[8], sizes[18]
        return late - early, late_tensors - early_tensors

    grown, grown_tensors = watched(leaks=False)
    assert grown < 10 * 1024  # a kilobyte an epoch: the figures that this test itself takes down, and the clock's
    assert grown_tensors == 0
    assert watched(leaks=True)[1] >= 10 * 16 * 3 * 8 * 8 * 4


class Reads(TorchDispatchMode):
    """Counts what makes the host wait for a device: a scalar read off a tensor, a copy back."""

    WAITS = ("_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.overloadpacket.__name__ in self.WAITS
        return func(*args, **(kwargs or {}))


def reads_of_an_epoch(one: Training, *, spoilt: bool = False) -> int:
    one.folder, one.log_every = None, 1000
    if spoilt:
        after_step = one.optimization.after_step
        one.optimization.after_step = lambda: (one.model[0].weight.sum().item(), after_step())[1]  # type: ignore
    with Reads() as reads:
        list(fit(one))
    return reads.count


@pytest.mark.parametrize("settings", [{}, {"grad_clip": 1.0}, {"accumulate": 2}])
def test_the_host_waits_no_more_often_for_a_longer_epoch(training: MakeTraining, settings: dict[str, Any]) -> None:
    """Whatever is read within torch's own kernels is counted too, not only ``Tensor.item`` and its like."""

    def reads(samples: int, *, spoilt: bool = False) -> int:
        return reads_of_an_epoch(training(train={"epochs": 1, **settings}, samples=samples), spoilt=spoilt)

    assert reads(64) == reads(320)
    assert reads(320, spoilt=True) > reads(64, spoilt=True)  # the control: one look a step


def test_a_run_resumed_behind_its_last_test_takes_only_that(training: MakeTraining) -> None:
    one = training(train={"epochs": 2})
    first = only(run(one), TrainingFinished)[0]
    two = training(train={"epochs": 2}, resume=True)
    events = run(two)
    assert not only(events, EpochFinished)
    assert only(events, TrainingFinished)[0].result["test"] == first.result["test"]
    assert one.final is not None
    assert two.final is not None
    assert (two.final.predictions == one.final.predictions).all()


def test_swa_is_tested_with_statistics_of_its_own_and_changes_no_step(training: MakeTraining) -> None:
    plain = training(train={"epochs": 3})
    plain.folder = None
    steps = [event.loss for event in fit(plain) if isinstance(event, StepLogged)]
    one = training(train={"epochs": 3})
    swa = SWA(one.model, steps_per_epoch=6, start_epoch=1)
    one.averaging = [swa]
    events = run(one)
    assert [event.loss for event in only(events, StepLogged)] == steps
    assert int(one.model[1].num_batches_tracked) == 6  # type: ignore[index,operator,arg-type]  # of one pass, not 18
    assert one.folder is not None
    saved = load_file(one.folder.checkpoints / "last" / "model.safetensors")
    assert all(saved[name].equal(tensor) for name, tensor in one.model.state_dict().items())


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_stopped_after_its_last_step_within_an_epoch_takes_no_other(
    accumulate: int, training: MakeTraining
) -> None:
    def stopped(images: object) -> None:
        raise Interrupted(signal.SIGTERM)

    train = {"max_steps": 4 if accumulate == 2 else 7, "accumulate": accumulate}  # of 3 and 6 an epoch
    small: dict[str, Any] = {"train": train, "evaluation": {"every": 9}, "ema": True}
    expected = only(run(training(**small)), TrainingFinished)[0].result
    begun: Any = training(**small)
    begun.averaging[0].refresh_statistics = stopped
    with pytest.raises(StoppedBySignal):
        list(fit(begun))
    resumed = only(run(training(**small, resume=True)), TrainingFinished)[0].result
    assert (resumed["steps"], resumed["test"]) == (train["max_steps"], expected["test"])
    assert resumed["images_per_second"] > 0  # the process before took the steps


def test_a_best_accuracy_of_nought_is_not_beaten_by_another_nought() -> None:
    progress = Progress()
    assert [progress.note_accuracy(0.0), progress.note_accuracy(0.0)] == [True, False]
