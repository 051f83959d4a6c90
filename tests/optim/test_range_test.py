"""The LR range test: what each rule reads off a curve, that nothing stays behind, that it is repeatable."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.optim.conftest import Parse, backward, small_net
from tests.optim.rates import first_lr, preview, with_lr
from zoo.diagnostics import Diagnostics
from zoo.errors import DivergedError
from zoo.optim import FindSettings, LRRangeTest, Optimization, lr_range_test
from zoo.optim.range_test import suggest

RECIPE = """\
optimizer:
  name: SGD
  momentum: 0.9
  groups:
    - {match: 4.bias, lr: 0.5}
    - {kind: bias, lr_scale: 2}
    - {match: 1.weight, freeze: {until: 1}}
schedule: {name: OneCycleLR, max_lr: find}
"""
SETTINGS = FindSettings(steps=60, start_lr=1e-5, smoothing=0.9)


@dataclass
class Batch:
    images: Tensor
    labels: Tensor


class Batches:
    """Five batches an epoch of a task that can be learned; random numbers are drawn on the way."""

    def epoch(self, epoch: int) -> Iterator[Batch]:
        for number in range(5):
            generator = torch.Generator().manual_seed(10 * epoch + number)
            labels = torch.randint(0, 5, (16,), generator=generator)
            images = torch.randn(16, 3, 4, 4, generator=generator) * 0.3
            images[torch.arange(16), 0, 0, labels % 4] += 2.0
            torch.rand(1), random.random(), np.random.rand()
            yield Batch(images, labels)


class Net(nn.Sequential):
    """With dropout, and a buffer that is put in anew at each pass."""

    def __init__(self) -> None:
        super().__init__(*small_net(), nn.Dropout(0.1))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return super().forward(images)


def find(parse: Parse, model: nn.Module, settings: FindSettings = SETTINGS, text: str = RECIPE) -> LRRangeTest:
    optimization = parse(text).build_for_range_test(model, Diagnostics())
    return lr_range_test(model, nn.CrossEntropyLoss(), optimization, Batches(), settings)


def fresh() -> Net:
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    return Net()


def randomness() -> tuple[float, float, float]:
    return torch.rand(()).item(), random.random(), float(np.random.rand())


def train(parse: Parse, model: nn.Module, text: str, lr: float | None = None) -> Optimization:
    spec = parse(text)
    if lr is not None:
        spec = with_lr(spec, lr)
    optimization = spec.build(model, steps_per_epoch=5, epochs=2, diagnostics=Diagnostics())
    for step in range(10):
        optimization.zero_grad()
        backward(model, step)
        optimization.step()
        optimization.after_step()
    return optimization


def test_what_follows_is_what_would_follow_had_the_number_been_written(parse: Parse) -> None:
    searched = fresh()
    found = find(parse, searched)
    train(parse, searched, RECIPE, found.chosen)
    written = fresh()
    train(parse, written, RECIPE.replace("max_lr: find", f"max_lr: {found.chosen!r}"))
    for (name, a), b in zip(searched.state_dict().items(), written.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert randomness() == (fresh(), train(parse, fresh(), RECIPE, found.chosen), randomness())[-1]
    other = fresh()
    train(parse, other, RECIPE, math.nextafter(found.chosen, 1) * (1 + 1e-6))  # a control
    assert not torch.equal(other[0].weight, written[0].weight)


def test_everything_is_as_before(parse: Parse) -> None:
    model = fresh().eval().to(memory_format=torch.channels_last)
    model[0].train()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    calls, gradient = model.calls, model[0].weight.grad
    strides = [parameter.stride() for parameter in model.parameters()]
    optimization = parse(RECIPE).build_for_range_test(model, Diagnostics())
    lr_range_test(model, nn.CrossEntropyLoss(), optimization, Batches(), SETTINGS)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.calls is calls
    assert model[0].weight.grad is gradient
    assert [parameter.stride() for parameter in model.parameters()] == strides
    assert [module.training for module in model.children()] == [True, *[False] * 5]
    assert all(parameter.requires_grad for parameter in model.parameters())
    buffers = [state["momentum_buffer"] for state in optimization.optimizers[0].state.values()]
    assert not any(bool(buffer.any()) for buffer in buffers)
    assert optimization.steps == 0


def test_a_buffer_that_a_pass_fills_first_is_empty_again(parse: Parse) -> None:
    class FirstScale(Net):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", None)

        def forward(self, images: Tensor) -> Tensor:
            if self.scale is None:
                self.scale = images.std()
            return super().forward(images / self.scale)

    model = FirstScale()
    find(parse, model)
    assert model.scale is None


def test_control_the_sweep_does_train(parse: Parse) -> None:
    curve = find(parse, fresh())
    assert min(curve.raw_losses) < 0.5 * curve.raw_losses[0]


def test_repeatable_and_a_function_of_the_settings(parse: Parse) -> None:
    first, second = find(parse, fresh()), find(parse, fresh())
    assert first == second
    assert find(parse, fresh(), SETTINGS.model_copy(update={"steps": 50})) != first


def test_the_sweep_is_even_on_a_log_scale_and_stops_on_divergence(parse: Parse) -> None:
    curve = find(parse, fresh(), SETTINGS.model_copy(update={"end_lr": 1e4, "diverges_at": 1.5}))
    ratios = [late / early for early, late in zip(curve.lrs, curve.lrs[1:], strict=False)]
    assert ratios == pytest.approx([1e9 ** (1 / 59)] * len(ratios))
    assert curve.lrs[0] == 1e-5
    assert len(curve.lrs) < 60
    assert curve.losses[-1] <= 1.5 * min(curve.losses)


def test_groups_follow_as_they_are_related(parse: Parse) -> None:
    optimization = parse(RECIPE).build_for_range_test(fresh(), Diagnostics())
    optimization.sweep(0.25)
    assert optimization.lrs == {"SGD": 0.25, "SGD 4.bias": 0.5, "SGD bias": 0.5, "SGD 1.weight": 0.25}


@pytest.mark.parametrize(
    ("text", "swept"),
    [
        (
            "optimizer: [{name: Muon, params: {kind: matrix}, lr: find},"
            " {name: SGD, params: rest, schedule: {name: OneCycleLR, max_lr: 0.5}}]",
            {"Muon": 0.25, "SGD": 0.5},
        ),
        (
            "optimizer: [{name: Muon, params: {kind: matrix}, lr: find, schedule: CosineAnnealingLR},"
            " {name: SGD, params: rest, groups: [{kind: bias, lr_scale: 3}]}]\n"
            "schedule: {name: OneCycleLR, max_lr: 0.5}",
            {"Muon": 0.25, "SGD": 0.5, "SGD bias": 1.5},
        ),
        (
            "optimizer: {name: SGD, lr: find, groups: [{kind: bias, lr_scale: 2, schedule: {name: OneCycleLR,"
            " max_lr: 0.1}}, {kind: norm, lr_scale: 3, schedule: CosineAnnealingLR}]}",
            {"SGD": 0.25, "SGD bias": 0.2, "SGD norm": 0.75},
        ),
        (
            "optimizer: {name: SGD, groups: [{kind: bias, schedule: CosineAnnealingLR}]}\n"
            "schedule: {name: OneCycleLR, max_lr: find}",
            {"SGD": 0.25, "SGD bias": 0.001},
        ),
        (
            "optimizer: {name: SGD, groups: [{kind: bias, lr_scale: 2}]}\nschedule: {name: OneCycleLR, max_lr: 4}",
            {"SGD": 0.25, "SGD bias": 0.5},
        ),
    ],
)
def test_what_the_found_rate_does_not_move_stands_at_its_own(text: str, swept: dict[str, float], parse: Parse) -> None:
    spec = parse(text)
    optimization = spec.build_for_range_test(small_net(), Diagnostics())
    optimization.sweep(0.25)
    assert optimization.lrs == swept
    built = with_lr(spec, 0.25) if spec.finds_lr else parse(text.replace("max_lr: 4", "max_lr: 0.25"))
    curves = preview(built, steps_per_epoch=30, epochs=10)
    assert {label: pytest.approx(max(curve), rel=0.01) for label, curve in curves.items()} == swept


def test_a_recipe_without_find_can_be_tested_too(parse: Parse) -> None:
    text = "optimizer: [{name: Adam, params: {kind: conv}, lr: 3}, {name: SGD, params: rest, lr: 0.1}]"
    optimization = parse(text).build_for_range_test(fresh(), Diagnostics())
    optimization.sweep(0.25)
    assert optimization.lrs == {"Adam": 0.25, "SGD": 0.1}


def test_find_in_the_optimizer_and_its_settings(parse: Parse) -> None:
    spec = parse("optimizer: {name: Adam, lr: {find: {rule: steep, steps: 40}}}\nschedule: CosineAnnealingLR")
    assert spec.finds_lr
    assert spec.find_settings == FindSettings(rule="steep", steps=40)
    with pytest.raises(ValueError, match="still to be found"):
        spec.build(fresh(), steps_per_epoch=1, epochs=1, diagnostics=Diagnostics())
    settled = with_lr(spec, 0.123)
    assert not settled.finds_lr
    built = settled.build(fresh(), steps_per_epoch=1, epochs=1, diagnostics=Diagnostics())
    assert first_lr(built) == 0.123


def test_the_rule_that_was_asked_for_is_chosen(parse: Parse) -> None:
    for rule in ("valley", "steep", "minimum", "slide"):
        curve = find(parse, fresh(), SETTINGS.model_copy(update={"rule": rule}))
        assert curve.chosen == curve.suggestions[rule]


def test_a_sum_over_samples_is_shown_per_sample(parse: Parse) -> None:
    optimization = parse(RECIPE).build_for_range_test(model := fresh(), Diagnostics())
    curve = lr_range_test(model, nn.CrossEntropyLoss(reduction="sum"), optimization, Batches(), SETTINGS)
    assert curve.raw_losses[0] == pytest.approx(find(parse, fresh()).raw_losses[0], rel=1e-5)


def test_a_loss_that_only_rises_is_told(parse: Parse) -> None:
    def ascends(loss: Tensor) -> None:
        (-loss).backward()

    optimization = parse(RECIPE).build_for_range_test(model := fresh(), Diagnostics())
    assert not lr_range_test(model, nn.CrossEntropyLoss(), optimization, Batches(), SETTINGS, backward=ascends).falls
    assert find(parse, fresh()).falls


def test_a_loss_that_is_never_finite_is_told(parse: Parse) -> None:
    model = fresh()
    with torch.no_grad():
        model[4].weight.fill_(float("nan"))
    with pytest.raises(DivergedError, match="found no learning rate"):
        find(parse, model)


def test_rules_on_a_curve_drawn_by_hand() -> None:
    """The loss falls from 3 to 1 around 10**-2.5, where it is steepest, and rises from 0.1 on."""
    lrs = [10 ** (-6 + number / 20) for number in range(126)]  # twenty a decade
    losses = [3 - 2 / (1 + math.exp(-4 * (math.log10(lr) + 2.5))) + 5 * max(0.0, math.log10(lr) + 1) ** 2 for lr in lrs]
    found = suggest(lrs, losses)
    lowest = losses.index(min(losses))
    assert found["minimum"] == pytest.approx(lrs[lowest] / 10)
    assert found["steep"] == pytest.approx(10**-2.5, rel=10 ** (1 / 20) - 1 + 1e-6)
    # It falls from the first point to the lowest: a third of that, and half of the next third.
    assert found["valley"] == lrs[int((lowest + 1) / 3) + int((lowest + 1) / 6) - 1]
    # The slopes 15 points apart agree just below what `slide` gives, and nowhere above.
    slopes = np.gradient(losses[:-5])
    agree = [at for at in range(len(slopes) - 15) if abs(slopes[at + 15] - slopes[at]) <= 0.005]
    assert found["slide"] == lrs[max(agree) + 1]


def test_the_valley_ignores_ups_and_downs() -> None:
    lrs = [10 ** (-4 + number / 10) for number in range(40)]
    smooth = [4.0 - number / 10 for number in range(30)] + [2.0 + number for number in range(10)]
    rough = [loss + 0.3 * (number % 3 == 1) for number, loss in enumerate(smooth)]
    first, second = suggest(lrs, smooth)["valley"], suggest(lrs, rough)["valley"]
    assert first == lrs[10 + 5 - 1]
    assert first / second < 10**1.1


def test_rules_need_points() -> None:
    assert suggest([0.1], [1.0]) == {}
    found = suggest([0.1, 0.2, 0.3], [3.0, 2.0, 1.0])
    assert set(found) == {"valley", "steep", "minimum", "slide"}
    assert found.pop("minimum") == pytest.approx(0.3 / 10)
    assert set(found.values()) <= {0.1, 0.2, 0.3}


def test_accumulated_batches_and_a_scaled_loss_make_the_step_of_their_union(parse: Parse) -> None:
    """As a training takes it: what ``backward`` scales ``update`` takes out again."""
    halves = [batch for epoch in (1, 2) for batch in Batches().epoch(epoch)]

    class Unions:
        def epoch(self, epoch: int) -> Iterator[Batch]:
            for one, two in zip(halves[::2], halves[1::2], strict=True):
                yield Batch(torch.cat([one.images, two.images]), torch.cat([one.labels, two.labels]))

    class Halves:
        def epoch(self, epoch: int) -> Iterator[Batch]:
            yield from halves

    def update() -> None:
        for parameter in model.parameters():
            parameter.grad = None if parameter.grad is None else parameter.grad / 1024
        optimization.step()

    settings = FindSettings(steps=10, end_lr=1e-2, start_lr=1e-3)
    whole = parse(RECIPE).build_for_range_test(model := small_net(), Diagnostics())
    expected = lr_range_test(model, nn.CrossEntropyLoss(), whole, Unions(), settings)
    optimization = parse(RECIPE).build_for_range_test(model := small_net(), Diagnostics())
    found = lr_range_test(
        model,
        nn.CrossEntropyLoss(),
        optimization,
        Halves(),
        settings,
        backward=lambda loss: (loss * 1024).backward(),
        update=update,
        accumulate=2,
    )
    assert found.raw_losses == pytest.approx(expected.raw_losses, rel=1e-4)
