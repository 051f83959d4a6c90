"""What the tests of optim share: recipes' sections from text, small networks, steps on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from zoo.diagnostics import Diagnostics, count_line, render
from zoo.document import read_text
from zoo.optim import OptimizationSpec, parse_optimization

Parse = Callable[[str], OptimizationSpec]
Messages = Callable[[str], str]


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """These networks are tiny: a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def read(text: str) -> tuple[OptimizationSpec | None, Diagnostics]:
    diagnostics = Diagnostics()
    document = read_text(text, diagnostics, name="recipe.yaml")
    assert document is not None, [render(item) for item in diagnostics]
    optimizer = document.get("optimizer")
    assert optimizer is not None
    return parse_optimization(optimizer, document.get("schedule"), diagnostics), diagnostics


@pytest.fixture
def parse() -> Parse:
    """The spec of a text that is right."""

    def parsed(text: str) -> OptimizationSpec:
        spec, diagnostics = read(text)
        assert spec is not None, "\n".join(render(item) for item in diagnostics)
        return spec

    return parsed


@pytest.fixture
def messages() -> Messages:
    """What is told of a text, rendered."""

    def told(text: str) -> str:
        _, diagnostics = read(text)
        return "\n\n".join([*(render(item) for item in diagnostics), count_line(diagnostics)]) + "\n"

    return told


def small_net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 5)
    )


def backward(model: nn.Module, step: int) -> torch.Tensor:
    """Gradients that depend on the step alone."""
    generator = torch.Generator().manual_seed(step)
    images, labels = torch.randn(6, 3, 4, 4, generator=generator), torch.randint(0, 5, (6,), generator=generator)
    loss = nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    return loss.detach()
