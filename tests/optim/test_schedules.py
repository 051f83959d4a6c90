"""Schedules against torch's own schedulers stepped by hand, and against figures worked out on paper."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.optim import SGD, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from tests.optim.conftest import Messages, Parse, read, small_net
from tests.optim.rates import first_lr, preview
from zoo.diagnostics import Diagnostics
from zoo.errors import ConfigError
from zoo.optim import Optimization, schedules

STEPS, EPOCHS = 7, 5  # steps an epoch, epochs

BY_TORCH: dict[str, tuple[str, Callable[[SGD], LRScheduler]]] = {
    "OneCycleLR": (
        "{name: OneCycleLR, max_lr: 0.1, pct_start: 0.4}",
        lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=35, pct_start=0.4),
    ),
    "OneCycleLR three phases": (
        "{name: OneCycleLR, max_lr: 0.1, three_phase: true, anneal_strategy: linear, div_factor: 5}",
        lambda o: lr_scheduler.OneCycleLR(
            o, 0.1, total_steps=35, three_phase=True, anneal_strategy="linear", div_factor=5
        ),
    ),
    "CosineAnnealingLR": (
        "{name: CosineAnnealingLR, eta_min: 0.01}",
        lambda o: lr_scheduler.CosineAnnealingLR(o, 35, eta_min=0.01),
    ),
    "PolynomialLR": ("{name: PolynomialLR, power: 2}", lambda o: lr_scheduler.PolynomialLR(o, 35, power=2)),
    "LinearLR": (
        "{name: LinearLR, start_factor: 1, end_factor: 0}",
        lambda o: lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=35),
    ),
    "ExponentialLR": (
        "{name: ExponentialLR, gamma: 0.9, interval: step}",
        lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    ),
    "StepLR": ("{name: StepLR, step_size: 9, interval: step}", lambda o: lr_scheduler.StepLR(o, 9)),
    "MultiStepLR": (
        "{name: MultiStepLR, milestones: [3, 20], gamma: 0.5, interval: step}",
        lambda o: lr_scheduler.MultiStepLR(o, [3, 20], 0.5),
    ),
    "ConstantLR": ("{name: ConstantLR, factor: 0.5, interval: step}", lambda o: lr_scheduler.ConstantLR(o, 0.5)),
    "CosineAnnealingWarmRestarts": (
        "{name: CosineAnnealingWarmRestarts, T_0: 5, T_mult: 2, interval: step}",
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 5, 2),
    ),
    "CyclicLR": (
        "{name: CyclicLR, base_lr: 0.01, max_lr: 0.1, step_size_up: 6, mode: triangular2}",
        lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, 6, mode="triangular2"),
    ),
    "SequentialLR": (
        "{name: SequentialLR, schedulers: [{name: LinearLR, total_iters: 5}, {name: CosineAnnealingLR}],"
        " milestones: [5], interval: step}",
        lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.LinearLR(o), lr_scheduler.CosineAnnealingLR(o, 30)], milestones=[5]
        ),
    ),
    "ChainedScheduler": (
        "{name: ChainedScheduler, schedulers: [{name: ConstantLR}, {name: ExponentialLR, gamma: 0.9}], interval: step}",
        lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.9)], o),
    ),
}


def by_hand(make: Callable[[SGD], LRScheduler], count: int) -> tuple[list[float], list[float]]:
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3, momentum=0.9)
    scheduler = make(optimizer)
    rates, momenta = [], []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        if len(rates) < count:
            scheduler.step()
    return rates, momenta


def by_zoo(parse: Parse, schedule: str, epochs: float = EPOCHS, steps: int = STEPS) -> tuple[list[float], list[float]]:
    lr = "" if "max_lr" in schedule else "lr: 0.3, "
    spec = parse(f"optimizer: {{name: SGD, {lr}momentum: 0.9}}\nschedule: {schedule}")
    return walk(spec.build(small_net(), steps_per_epoch=steps, epochs=epochs, diagnostics=Diagnostics()), epochs, steps)


def walk(optimization: Optimization, epochs: float = EPOCHS, steps: int = STEPS) -> tuple[list[float], list[float]]:
    rates, momenta = [], []
    for step in range(round(epochs * steps)):
        rates.append(first_lr(optimization))
        momenta.append(optimization.optimizers[0].param_groups[0].get("momentum", 0.0))
        optimization.step()
        optimization.after_step()
        if (step + 1) % steps == 0:
            optimization.after_epoch()
    return rates, momenta


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", BY_TORCH)
def test_same_rates_and_momenta_as_torch(name: str, parse: Parse) -> None:
    text, make = BY_TORCH[name]
    assert by_zoo(parse, text) == by_hand(make, STEPS * EPOCHS)


def test_control_another_total_gives_other_rates(parse: Parse) -> None:
    text, _ = BY_TORCH["OneCycleLR"]
    rates, _ = by_hand(lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=36, pct_start=0.4), STEPS * EPOCHS)
    assert by_zoo(parse, text)[0] != rates


def test_every_schedule_of_torch_is_there_or_has_its_reason() -> None:
    found = {
        name
        for name, value in vars(lr_scheduler).items()
        if isinstance(value, type) and issubclass(value, LRScheduler) and not name.startswith("_")
    }
    refused = {"LRScheduler", "LambdaLR", "MultiplicativeLR"}  # the base, and two that take functions
    assert found - set(schedules) == refused
    untested = set(schedules) - {name.split()[0] for name in BY_TORCH}
    assert untested == {"PiecewiseLinear", "ReduceLROnPlateau"}  # tested below


def test_seed_003_peaks_at_epoch_5_of_24_by_epoch(parse: Parse) -> None:
    rates, _ = by_zoo(parse, "{name: OneCycleLR, max_lr: 0.1834, peak_epoch: 5, interval: epoch}", 24, 3)
    epochs = rates[::3]
    expected, _ = by_hand(lambda o: lr_scheduler.OneCycleLR(o, 0.1834, total_steps=24, pct_start=5 / 24), 24)
    assert epochs == expected
    assert epochs.index(max(epochs)) == 4  # the fifth epoch
    assert rates[12] == rates[13] == rates[14]  # and no movement within it


@pytest.mark.parametrize(("peak", "first_best"), [(0.5, 49), (5, 499), (5.25, 524), (24, 2399)])
def test_peak_epoch_by_step(peak: float, first_best: int, parse: Parse) -> None:
    rates, _ = by_zoo(parse, f"{{name: OneCycleLR, max_lr: 0.2, peak_epoch: {peak}}}", 24, 100)
    assert rates.index(max(rates)) == first_best
    assert max(rates) == pytest.approx(0.2, rel=1e-12)


@pytest.mark.parametrize("text", ["peak_epoch: 1, interval: epoch", "pct_start: 0.2, interval: epoch"])
def test_peak_at_the_first_value_divides_nothing_by_zero(text: str, parse: Parse) -> None:
    rates, _ = by_zoo(parse, f"{{name: OneCycleLR, max_lr: 0.2, {text}}}", 5, 2)
    assert rates[0] == pytest.approx(0.2, rel=1e-6)
    assert rates == sorted(rates, reverse=True)
    with pytest.raises(ZeroDivisionError):  # what torch does with the same numbers
        by_hand(lambda o: lr_scheduler.OneCycleLR(o, 0.2, total_steps=5, pct_start=0.2), 5)


def test_a_peak_in_epochs_of_a_cycle_with_another_length_is_told() -> None:
    cycle = "{name: OneCycleLR, max_lr: 0.1, peak_epoch: 2, total_steps: 490}"
    _, diagnostics = read(f"optimizer: {{name: SGD}}\nschedule: {cycle}")
    (error,) = diagnostics.errors
    assert "total_steps gives the cycle a length of its own" in error.message


@pytest.mark.parametrize(
    ("freeze", "epochs", "told"), [("{until: 30}", 10, True), ("{until: 3}", 10, False), ("{after: 30}", 10, False)]
)
def test_a_freeze_that_outlasts_the_training_is_warned_of(freeze: str, epochs: int, told: bool) -> None:
    spec, _ = read(f'optimizer: {{name: SGD, groups: [{{match: "fc.*", freeze: {freeze}}}]}}')
    assert spec is not None
    diagnostics = Diagnostics()
    spec.check(epochs, diagnostics)
    assert [item.code for item in diagnostics] == (["never-thawed"] if told else [])


def test_a_freeze_that_begins_again_before_it_ends_is_told() -> None:
    _, diagnostics = read('optimizer: {name: SGD, groups: [{match: "fc.*", freeze: {until: 8, after: 2}}]}')
    (error,) = diagnostics.errors
    assert "these would never train" in error.message


def test_peak_outside_the_training_is_told_at_its_value() -> None:
    spec, _ = read("optimizer: {name: SGD}\nschedule: {name: OneCycleLR, max_lr: 0.1, peak_epoch: 30}")
    assert spec is not None
    diagnostics = Diagnostics()
    spec.check(24, diagnostics)
    (error,) = diagnostics.errors
    assert error.code == "peak-outside-training"
    assert str(error.span) == "recipe.yaml:2:55"
    with pytest.raises(ConfigError):
        spec.build(small_net(), steps_per_epoch=3, epochs=24, diagnostics=Diagnostics())


def test_no_annihilation_ends_where_it_began(parse: Parse) -> None:
    text = "{name: OneCycleLR, max_lr: 0.2, peak_epoch: 2, div_factor: 10, annihilation: false}"
    rates, _ = by_zoo(parse, text)
    assert rates[0] == pytest.approx(0.02)
    assert rates[-1] == pytest.approx(0.02)
    assert by_zoo(parse, text.replace("annihilation: false", "final_div_factor: 1")) == (rates, _)
    assert by_zoo(parse, text.replace("false", "true"))[0][-1] < 1e-5


def test_the_rate_stays_after_a_total_given_by_hand(parse: Parse) -> None:
    rates, _ = by_zoo(parse, "{name: OneCycleLR, max_lr: 0.2, total_steps: 10}")
    assert rates[9:] == [rates[9]] * (STEPS * EPOCHS - 9)


def test_onecycle_without_momentum_leaves_it_out(parse: Parse) -> None:
    spec = parse("optimizer: {name: Adagrad, lr: 0.1}\nschedule: {name: OneCycleLR}")
    rates, _ = walk(spec.build(small_net(), steps_per_epoch=STEPS, epochs=EPOCHS, diagnostics=Diagnostics()))
    assert max(rates) == pytest.approx(0.1, rel=1e-2)
    assert len(set(rates)) == STEPS * EPOCHS


def test_by_epoch_where_counts_are_written_by_step_where_they_are_not(parse: Parse) -> None:
    rates, _ = by_zoo(parse, "{name: StepLR, step_size: 2, gamma: 0.5}")
    assert rates == [0.3] * 14 + [0.15] * 14 + [0.075] * 7
    rates, _ = by_zoo(parse, "{name: CosineAnnealingLR, T_max: 5}")
    assert len(set(rates)) == 5
    rates, _ = by_zoo(parse, "{name: CosineAnnealingLR}")
    assert len(set(rates)) == 35


def test_piecewise_by_hand(parse: Parse) -> None:
    # airbench96: 0.2 to 1 over the first fifth, to 0.07 at the end.
    rates, _ = by_zoo(parse, "{name: PiecewiseLinear, epochs: [0, 1, 5], factors: [0.2, 1, 0.07]}", 5, 10)
    assert rates[:3] == pytest.approx([0.3 * 0.2, 0.3 * 0.28, 0.3 * 0.36])
    assert rates[10] == pytest.approx(0.3)
    assert rates[30] == pytest.approx(0.3 * (1 - 0.93 * 2 / 4))
    assert rates[-1] == pytest.approx(0.3 * (1 - 0.93 * 39 / 40))


def test_piecewise_with_fractional_epochs_and_flat_ends(parse: Parse) -> None:
    rates, _ = by_zoo(parse, "{name: PiecewiseLinear, epochs: [0.5, 1.5], factors: [1, 0]}", 2.5, 4)
    assert rates == pytest.approx([0.3] * 3 + [0.225, 0.15, 0.075] + [0.0] * 4)


def test_piecewise_by_epoch(parse: Parse) -> None:
    rates, _ = by_zoo(parse, "{name: PiecewiseLinear, epochs: [0, 4], factors: [1, 0], interval: epoch}", 5, 2)
    assert rates[::2] == pytest.approx([0.3, 0.225, 0.15, 0.075, 0.0])


def test_plateau_watches_its_metric(parse: Parse) -> None:
    text = (
        "optimizer: {name: SGD, lr: 0.1}\nschedule: {name: ReduceLROnPlateau, patience: 1, mode: max, metric: accuracy}"
    )
    optimization = parse(text).build(small_net(), steps_per_epoch=2, epochs=9, diagnostics=Diagnostics())
    rates = []
    for accuracy in [0.5, 0.6, 0.6, 0.6, None, 0.6]:
        optimization.after_epoch({} if accuracy is None else {"accuracy": accuracy, "loss": 1.0})
        rates.append(first_lr(optimization))
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.01, 0.01])


def test_preview_is_what_the_training_takes(parse: Parse) -> None:
    spec = parse(
        "optimizer: {name: SGD, lr: 0.1, groups: [{kind: bias, lr_scale: 64}, {kind: norm, schedule: {name: StepLR,"
        " step_size: 1}}]}\nschedule: {name: CosineAnnealingLR}"
    )
    optimization = spec.build(small_net(), steps_per_epoch=STEPS, epochs=EPOCHS, diagnostics=Diagnostics())
    curves: dict[str, list[float]] = {label: [] for label in optimization.lrs}
    for step in range(STEPS * EPOCHS):
        for label, rate in optimization.lrs.items():
            curves[label].append(rate)
        optimization.after_step()
        if (step + 1) % STEPS == 0:
            optimization.after_epoch()
    assert preview(spec, steps_per_epoch=STEPS, epochs=EPOCHS) == curves
    assert set(curves) == {"SGD", "SGD bias", "SGD norm"}


def test_groups_under_onecycle_peak_at_their_own_rates(parse: Parse) -> None:
    spec = parse(
        "optimizer: {name: SGD, momentum: 0.9, groups: [{match: '4.weight', lr: 0.7}, {kind: bias, lr_scale: 2}]}\n"
        "schedule: {name: OneCycleLR, max_lr: 0.1}"
    )
    curves = preview(spec, steps_per_epoch=10, epochs=10)
    peaks = {label: max(curve) for label, curve in curves.items()}
    assert peaks == pytest.approx({"SGD": 0.1, "SGD 4.weight": 0.7, "SGD bias": 0.2}, rel=1e-3)


def test_plateau_follows_its_metric_upwards_by_itself(parse: Parse) -> None:
    schedule = "{name: ReduceLROnPlateau, patience: 0, metric: accuracy}"
    optimization = parse(f"optimizer: {{name: SGD, lr: 0.1}}\nschedule: {schedule}").build(
        small_net(), steps_per_epoch=2, epochs=9, diagnostics=Diagnostics()
    )
    rates = []
    for accuracy in [0.5, 0.6, 0.7, 0.7]:
        optimization.after_epoch({"accuracy": accuracy})
        rates.append(first_lr(optimization))
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.01])


@pytest.mark.parametrize(("metric", "mode"), [("train.accuracy", "min"), ("loss", "max")])
def test_plateau_with_a_mode_against_its_metric_is_told_at_its_value(metric: str, mode: str) -> None:
    _, diagnostics = read(
        f"optimizer: {{name: SGD}}\nschedule: {{name: ReduceLROnPlateau, mode: {mode}, metric: {metric}}}"
    )
    (error,) = diagnostics.errors
    assert error.code == "bad-value"
    assert str(error.span) == "recipe.yaml:2:43"


EVERY = {
    **{name: text for name, (text, _) in BY_TORCH.items()},
    "PiecewiseLinear": "{name: PiecewiseLinear, epochs: [0, 2, 5], factors: [0.2, 1, 0.1]}",
    "OneCycleLR by epoch": "{name: OneCycleLR, max_lr: 0.1, peak_epoch: 2, interval: epoch}",
    "a total by hand": "{name: OneCycleLR, max_lr: 0.2, total_steps: 10}",
    "by epoch in a chain": "{name: ChainedScheduler, schedulers: [{name: LinearLR}, {name: StepLR, step_size: 2}]}",
}


def test_piecewise_linear_in_a_sequence_runs_on_the_sequences_clock(parse: Parse) -> None:
    """By epochs, fractional trainings too: one epoch after the milestone its two corners are behind it."""
    text = """optimizer: {name: SGD, lr: 1.0}
schedule:
  name: SequentialLR
  interval: epoch
  milestones: [1]
  schedulers: [{name: ConstantLR, factor: 1.0}, {name: PiecewiseLinear, epochs: [0, 1], factors: [1, 0]}]
"""
    for epochs in (3, 2.5):
        made = parse(text).build(small_net(), steps_per_epoch=4, epochs=epochs, diagnostics=Diagnostics())
        made.after_epoch({})
        made.after_epoch({})
        assert first_lr(made) == 0.0


def test_piecewise_linear_is_not_chained(messages: Messages) -> None:
    told = messages(
        "optimizer: {name: SGD, lr: 1.0}\nschedule: {name: ChainedScheduler, schedulers: "
        "[{name: ExponentialLR, gamma: 0.5}, {name: PiecewiseLinear, epochs: [0, 1], factors: [1, 0]}]}"
    )
    assert "PiecewiseLinear sets the rate whatever the others made of it" in told


def test_differentiable_optimizers_are_refused(messages: Messages) -> None:
    assert "differentiable is for gradients" in messages("optimizer: {name: Adam, lr: 0.1, differentiable: true}")


def test_capturable_optimizers_are_refused(messages: Messages) -> None:
    assert "capturable is for CUDA graphs" in messages("optimizer: {name: AdamW, lr: 0.1, capturable: true}")
    assert messages("optimizer: {name: AdamW, lr: 0.1, capturable: false}") == "no errors\n"
