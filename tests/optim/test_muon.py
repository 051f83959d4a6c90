"""Muon against the published iteration, written here a second time from the formula, and against what it is for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from zoo.optim.muon import Muon, orthogonalise

A, B, C = 3.4445, -4.7750, 2.0315


def published(gradients: list[Tensor], weight: Tensor, lr: float, momentum: float, steps: int = 3) -> Tensor:
    """airbench94_muon's step in float64, by singular values: each runs through x -> a x + b x^3 + c x^5."""
    buffer = torch.zeros_like(weight, dtype=torch.float64)
    weight = weight.double().clone()
    for gradient in gradients:
        buffer = momentum * buffer + gradient.double()
        direction = gradient.double() + momentum * buffer
        weight = weight * (len(weight) ** 0.5 / torch.linalg.vector_norm(weight))
        u, values, v = torch.linalg.svd(direction.reshape(len(direction), -1), full_matrices=False)
        values = values / (torch.linalg.vector_norm(values) + 1e-7)
        for _ in range(steps):
            values = A * values + B * values**3 + C * values**5
        weight = weight - lr * (u @ torch.diag(values) @ v).reshape(weight.shape)
    return weight


def run(shape: tuple[int, ...], channels_last: bool = False, **arguments: object) -> tuple[Tensor, Tensor]:
    """The weight after four steps of Muon, and that of the published iteration."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator)
    gradients = [torch.randn(shape, generator=generator) for _ in range(4)]
    parameter = nn.Parameter(weight.clone())
    if channels_last:
        parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    optimizer = Muon([parameter], lr=0.24, momentum=0.6, **arguments)  # type: ignore[arg-type]
    for gradient in gradients:
        parameter.grad = gradient.to(memory_format=torch.channels_last) if channels_last else gradient.clone()
        optimizer.step()
    return parameter.detach(), published(gradients, weight, 0.24, 0.6)


def distance(found: Tensor, expected: Tensor) -> float:
    """Largest difference, as a share of the largest value: what bfloat16 leaves is about 1e-2."""
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("shape", [(16, 8, 3, 3), (24, 3, 2, 2), (8, 40), (40, 8)])
def test_equals_the_published_iteration(shape: tuple[int, ...]) -> None:
    assert distance(*run(shape)) < 0.02


def test_does_not_depend_on_the_memory_format() -> None:
    assert distance(run((16, 8, 3, 3), channels_last=True)[0], run((16, 8, 3, 3))[0]) < 1e-2
    assert run((16, 8, 3, 3), channels_last=True)[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("change", [{"nesterov": False}, {"steps": 2}, {"normalize": False}])
def test_control_any_other_form_differs(change: dict[str, object]) -> None:
    assert distance(*run((16, 8, 3, 3), **change)) > 0.05


def test_singular_values_end_near_one() -> None:
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(32, 100, generator=generator)
    values = torch.linalg.svdvals(orthogonalise(matrix, steps=5).float())
    assert values.min() > 0.5
    assert values.max() < 1.3
    before = torch.linalg.svdvals(matrix / matrix.norm())
    assert before.max() / before.min() > 2.5  # a control: they were far apart


def test_a_gradient_of_zero_stays_zero() -> None:
    assert torch.equal(orthogonalise(torch.zeros(4, 6)), torch.zeros(4, 6, dtype=torch.bfloat16))


def test_weights_have_the_norm_of_the_root_of_their_rows() -> None:
    parameter = nn.Parameter(torch.randn(16, 4, 3, 3))
    parameter.grad = torch.randn(16, 4, 3, 3)
    Muon([parameter], lr=0.0).step()
    assert parameter.norm().item() == pytest.approx(4.0, rel=1e-5)


@pytest.mark.parametrize(
    "arguments", [{"lr": -1.0}, {"momentum": 1.0}, {"momentum": 0.0}, {"steps": 0}], ids=lambda value: str(value)
)
def test_refuses(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments)) if "momentum" not in arguments else "momentum"):
        Muon([nn.Parameter(torch.zeros(2, 2))], **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="two and more dimensions"):
        Muon([nn.Parameter(torch.zeros(2))])


def test_filters_that_begin_at_zero_stay_finite() -> None:
    parameter = nn.Parameter(torch.zeros(4, 3, 3, 3))
    parameter.grad = torch.rand(4, 3, 3, 3)
    Muon([parameter], lr=0.1).step()
    assert torch.isfinite(parameter).all()
    assert parameter.any()
