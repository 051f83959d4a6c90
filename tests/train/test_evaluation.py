"""Evaluation against torch, test-time augmentation against its definition."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.train.small_world import SmallBatches, small_net
from zoo.train import Evaluation, Runtime, evaluate
from zoo.train.evaluation import flip_translate_views, flip_views
from zoo.train.metrics import Meter, StepClock


@pytest.fixture
def runtime() -> Runtime:
    return Runtime.choose("cpu", "fp32")


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("size", [40, 16])
def test_loss_and_accuracy_are_means_over_samples(runtime: Runtime, reduction: str, size: int) -> None:
    model, batches = runtime.place(small_net()), SmallBatches(40, size, 0, shuffle=False)
    found = evaluate(model, batches, nn.CrossEntropyLoss(reduction=reduction), runtime=runtime, keep=True)
    model.eval()
    with torch.no_grad():
        logits = model(batches.images)
    assert found.loss == pytest.approx(F.cross_entropy(logits, batches.labels).item(), rel=1e-6)
    assert found.accuracy == (logits.argmax(1) == batches.labels).double().mean().item()
    assert found.samples == 40
    assert found.labels is not None
    assert found.probabilities is not None
    np.testing.assert_array_equal(found.labels, batches.labels)
    np.testing.assert_allclose(found.probabilities, logits.softmax(1), rtol=1e-5)
    classes = found.per_class(("a", "b", "c", "d", "e"))
    assert list(classes) == ["a", "b", "c", "d"]  # of e there are none
    counts = torch.bincount(batches.labels).tolist()
    assert sum(share * count for share, count in zip(classes.values(), counts, strict=True)) == pytest.approx(
        found.accuracy * 40
    )


def test_modes_gradients_and_random_state_are_left_as_they_were(runtime: Runtime) -> None:
    model = runtime.place(small_net())
    model[1].eval()  # type: ignore[operator,index]
    before = torch.get_rng_state()
    found = evaluate(model, SmallBatches(8, 8, 0), nn.CrossEntropyLoss(), runtime=runtime)
    assert [module.training for module in model][:3] == [True, False, True]  # type: ignore[attr-defined]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.get_rng_state().equal(before)
    assert found.labels is None


class Drawing(nn.Module):
    """Draws from every generator, in a test too."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return images_BCHW + random.random() + np.random.rand() + torch.rand(())


def test_a_network_that_draws_in_a_test_leaves_every_generator_alone(runtime: Runtime) -> None:
    model = nn.Sequential(Drawing(), *small_net())
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    evaluate(model, SmallBatches(8, 8, 0), nn.CrossEntropyLoss(), runtime=runtime)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


def corner(images_BCHW: Tensor) -> Tensor:
    """A "network" that sees where things lie: the images themselves."""
    return images_BCHW.flatten(1).clone()


def test_flip_is_the_mean_of_the_image_and_its_mirror() -> None:
    images = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(flip_views(corner, images), corner((images + images.flip(-1)) / 2))


def test_flip_translate_is_the_six_weighted_views() -> None:
    images = torch.randn(2, 3, 6, 6)
    padded = F.pad(images, (1, 1, 1, 1), mode="reflect")
    views = [images, padded[:, :, :6, :6], padded[:, :, 2:, 2:]]
    by_hand = sum(w * (corner(v) + corner(v.flip(3))) / 2 for w, v in zip((0.5, 0.25, 0.25), views, strict=True))
    torch.testing.assert_close(flip_translate_views(corner, images), by_hand)
    with pytest.raises(AssertionError):  # control: equal weights are not it
        torch.testing.assert_close(flip_translate_views(corner, images), sum(flip_views(corner, v) for v in views) / 3)


@pytest.mark.parametrize("tta", ["none", "flip", "flip_translate"])
def test_accuracy_is_told_with_and_without(runtime: Runtime, tta: str) -> None:
    model, batches = runtime.place(small_net()), SmallBatches(40, 16, 0)
    plain = evaluate(model, batches, nn.CrossEntropyLoss(), runtime=runtime)
    found = evaluate(model, batches, nn.CrossEntropyLoss(), runtime=runtime, tta=tta)  # type: ignore[arg-type]
    assert (found.loss, found.accuracy) == (plain.loss, plain.accuracy)
    assert (found.accuracy_tta is None) == (tta == "none")
    assert ("accuracy_tta" in found.figures) == (tta != "none")


def test_shared_labels_count_by_their_argmax() -> None:
    meter = Meter(torch.device("cpu"), loss_is_sum=False)
    logits, shares = torch.eye(3), torch.tensor([[0.6, 0.4, 0], [0.6, 0.4, 0], [0, 0.1, 0.9]])
    meter.add(F.cross_entropy(logits, shares), logits, shares)
    assert meter.read()["accuracy"] == pytest.approx(2 / 3)
    assert meter.read()["loss"] == pytest.approx(F.cross_entropy(logits, shares).item())


def test_an_empty_evaluation_is_no_division_by_zero() -> None:
    assert Evaluation(0.0, 0.0, 0).per_class(("a",)) == {}


def test_the_clock_gives_the_median_interval_and_leaves_out_warm_up_and_pauses() -> None:
    now = 0.0
    clock = StepClock(lambda: now)
    taken = 0.0
    for seconds, pause in ((50, 0), (1, 100), (2, 0), (1, 0), (1, 0)):
        clock.start()
        for _ in range(4):
            clock.step(25)
        now += seconds
        taken += clock.stop()
        now += pause
    assert clock.images_per_second == 100
    assert taken == 55
    assert clock.stop() == 0  # no interval is under way
    assert clock.step_seconds == 0.25
