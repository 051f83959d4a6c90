"""What a teacher adds to a loss, against hand computations and torch; and that it is asked as it should be."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.train.small_world import Small, only, small_net, small_training
from zoo.events import EpochFinished
from zoo.models.heads import AuxiliaryLoss
from zoo.schema.recipe import DistillationSection
from zoo.train import Runtime, Training, evaluate, fit
from zoo.train.distillation import Distillation, Renormalized, Teacher
from zoo.train.step import Stepper

OWN = torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]])
TAUGHT = torch.tensor([[2.0, 1.0, 0.0], [-1.0, 0.0, 3.0]])
LABELS = torch.tensor([0, 1])
IMAGES = torch.zeros(2, 1, 1, 1)


def distillation(loss: nn.Module, taught: Tensor = TAUGHT, **said: Any) -> Distillation:
    return Distillation(loss, lambda images_BCHW: taught, DistillationSection(teacher="big", **said))


def shares(row: list[float], temperature: float) -> list[float]:
    powers = [math.exp(logit / temperature) for logit in row]
    return [power / sum(powers) for power in powers]


def divergence(temperature: float) -> list[float]:
    """KL(teacher || own) of each image, by hand."""
    pairs = zip(TAUGHT.tolist(), OWN.tolist(), strict=True)
    each = [(shares(taught, temperature), shares(own, temperature)) for taught, own in pairs]
    return [sum(t * math.log(t / s) for t, s in zip(taught, own, strict=True)) for taught, own in each]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_soft_loss_is_the_one_computed_by_hand_and_torchs(reduction: str) -> None:
    plain = nn.CrossEntropyLoss(reduction=reduction)
    found = distillation(plain, temperature=2.0, weight=0.7)(OWN, LABELS, IMAGES).item()
    images = {"mean": 2, "sum": 1}[reduction]
    by_hand = 0.3 * plain(OWN, LABELS).item() + 0.7 * 2.0**2 * sum(divergence(2.0)) / images
    assert found == pytest.approx(by_hand, rel=1e-6)
    own, taught = (OWN / 2).log_softmax(dim=1), (TAUGHT / 2).softmax(dim=1)
    of_torch = F.kl_div(own, taught, reduction="sum") / images * 4
    assert found == pytest.approx((0.3 * plain(OWN, LABELS) + 0.7 * of_torch).item(), rel=1e-6)
    assert found != pytest.approx(by_hand - 0.7 * 3 * sum(divergence(2.0)) / images)  # control: without T squared


def test_the_gradient_keeps_its_size_at_high_temperatures() -> None:
    """At a high T the gradient of T² KL is the difference of the centred logits over the classes (Hinton's eq. 4)."""
    own = OWN.clone().requires_grad_()
    distillation(nn.CrossEntropyLoss(reduction="sum"), weight=1.0, temperature=1e3)(own, LABELS, IMAGES).backward()
    centred = [logits - logits.mean(dim=1, keepdim=True) for logits in (OWN, TAUGHT)]
    torch.testing.assert_close(own.grad, (centred[0] - centred[1]) / 3, rtol=1e-2, atol=1e-3)


def test_the_hard_loss_is_the_cross_entropy_with_the_teachers_class() -> None:
    smoothed = nn.CrossEntropyLoss(label_smoothing=0.1)
    found = distillation(smoothed, kind="hard", weight=0.5)(OWN, LABELS, IMAGES)
    of_teacher = F.cross_entropy(OWN, torch.tensor([0, 2]))  # as in DeiT it is not smoothed
    torch.testing.assert_close(found, 0.5 * smoothed(OWN, LABELS) + 0.5 * of_teacher)


def test_mixed_labels_and_label_smoothing_are_the_labels_own() -> None:
    mixed = torch.tensor([[0.3, 0.7, 0.0], [0.0, 0.5, 0.5]])
    plain = nn.CrossEntropyLoss(label_smoothing=0.1)
    soft = 16 * sum(divergence(4.0)) / 2
    found = distillation(plain, weight=0.25)(OWN, mixed, IMAGES).item()
    assert found == pytest.approx(0.75 * plain(OWN, mixed).item() + 0.25 * soft, rel=1e-6)


def test_of_several_heads_the_logits_are_taught() -> None:
    heads = AuxiliaryLoss(nn.CrossEntropyLoss(), {"aux": 0.5})
    output = torch.stack([OWN, OWN.flip(0)])
    found = distillation(heads, weight=0.25)(output, LABELS, IMAGES).item()
    expected = 0.75 * heads(output, LABELS).item() + 0.25 * 16 * sum(divergence(4.0)) / 2
    assert found == pytest.approx(expected, rel=1e-6)


class Watched(nn.Module):
    """A teacher that keeps what it was given, and in what arithmetic it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small_net()
        self.seen: list[Tensor] = []
        self.modes: set[tuple[bool, bool, torch.dtype]] = set()

    def forward(self, images_BCHW: Tensor) -> Tensor:
        logits: Tensor = self.net(images_BCHW)
        self.seen.append(images_BCHW)
        self.modes.add((self.training, torch.is_grad_enabled(), logits.dtype))
        return logits


def taught(small: Small, module: nn.Module, **said: Any) -> Training:
    training = small_training(small, None)
    teacher = Teacher(module, training.runtime)
    settings = DistillationSection(teacher="big", **said)
    training.distillation = Distillation(training.loss, teacher, settings)
    return training


def test_the_teacher_sees_the_very_batches_and_does_not_learn() -> None:
    teacher, fed = Watched(), []
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    training = taught(Small(train={"epochs": 1}, precision="bf16"), teacher)
    training.model.register_forward_pre_hook(lambda module, given: fed.append(given[0]) if module.training else None)
    params = sum(parameter.numel() for parameter in training.model.parameters())
    (epoch,) = only(list(fit(training)), EpochFinished)
    assert [seen is own for seen, own in zip(teacher.seen, fed, strict=True)] == [True] * training.train.steps
    assert teacher.modes == {(False, False, torch.bfloat16)}
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    held = [one for group in training.optimization.optimizers[0].param_groups for one in group["params"]]
    assert sum(parameter.numel() for parameter in held) == params
    assert 0 < epoch.train["accuracy"] <= 1
    found = evaluate(training.model, training.test, nn.CrossEntropyLoss(), runtime=training.runtime)
    assert epoch.test == found.figures  # tests know nothing of the teacher


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_accumulated_batches_are_taught_as_their_union(reduction: str) -> None:
    """Five images of a step's last batch weigh as five."""
    small = Small(samples=37, batch_size=16, train={"epochs": 1, "accumulate": 3}, plain=True, reduction=reduction)
    parts = taught(small, small_net(plain=True), temperature=2.0)
    stepper = Stepper(parts)
    for number, batch in enumerate(parts.train.epoch(1)):
        stepper.backward(batch, share=batch.whole / parts.images_of_step(number))
    (union,) = taught(replace(small, batch_size=37), small_net(plain=True)).train.epoch(1)
    whole = taught(small, small_net(plain=True), temperature=2.0)
    Stepper(whole).backward(union, share=1.0)
    for own, other in zip(parts.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_images_are_turned_into_the_teachers_own_normalisation() -> None:
    pixels = torch.rand(2, 3, 4, 4)
    mean, std, other_mean, other_std = ([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], [0.4, 0.5, 0.6], [0.2, 0.3, 0.4])

    def normal(mean: list[float], std: list[float]) -> Tensor:
        return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)

    factor = [own / other for own, other in zip(std, other_std, strict=True)]
    offset = [(own - other) / by for own, other, by in zip(mean, other_mean, other_std, strict=True)]
    turned = Renormalized(nn.Identity(), factor, offset)(normal(mean, std))
    torch.testing.assert_close(turned, normal(other_mean, other_std))
    runtime = Runtime.choose("cpu", "fp32")
    seen = Teacher(Renormalized(nn.Identity(), [1.0], [0.5]), runtime)(runtime.images(pixels))
    assert seen.is_contiguous(memory_format=torch.channels_last)
