"""The recipes that ship, and those of the design, say something that can be built."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.conftest import ROOT
from tests.optim.rates import preview
from zoo.diagnostics import Diagnostics, render
from zoo.document import load
from zoo.errors import ConfigError
from zoo.optim import OptimizationSpec, parse_optimization

RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))


class Airbench(nn.Module):
    """airbench94's names and kinds of parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        self.whiten.weight.requires_grad_(False)
        self.conv = nn.Conv2d(24, 16, 3, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.norm.weight.requires_grad_(False)
        self.head = nn.Linear(16, 10, bias=False)


def spec_of(path: Path) -> OptimizationSpec:
    diagnostics = Diagnostics()
    document = load(path, diagnostics)
    assert document is not None
    optimizer = document.get("optimizer")
    assert optimizer is not None
    spec = parse_optimization(optimizer, document.get("schedule"), diagnostics)
    assert spec is not None, "\n".join(render(item) for item in diagnostics)
    assert not diagnostics.warnings
    return spec


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipe_previews(path: Path) -> None:
    if "$(" in path.read_text(encoding="utf-8"):
        pytest.skip("has expressions, which are evaluated before; tested with the whole recipe")
    curves = preview(spec_of(path), steps_per_epoch=4, epochs=20)
    assert all(len(curve) == 80 for curve in curves.values())


def test_cifar10_94_of_the_design(shared_dir: Path, tmp_path: Path) -> None:
    text = (shared_dir / "design" / "examples" / "cifar10_94.yaml").read_text(encoding="utf-8")
    text = text.replace("$(2e-6 * 2000 / 0.053)", "0.0755").replace("$(2e-6 * 2000 / 0.67)", "0.006")
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    spec, model = spec_of(path), Airbench()
    optimization = spec.build(model, steps_per_epoch=25, epochs=8, diagnostics=Diagnostics())
    assert {group.label: group.names for group in optimization.groups} == {
        "Muon": ("conv.weight",),
        "SGD": ("norm.bias",),
        "SGD head.weight": ("head.weight",),
        "SGD whiten.bias": ("whiten.bias",),
    }
    curves = preview(spec, steps_per_epoch=25, epochs=8)
    for step in (0, 1, 74, 75, 199):  # airbench94_muon's own formulas
        assert curves["Muon"][step] == pytest.approx(0.24 * (1 - step / 200))
        assert curves["SGD head.weight"][step] == pytest.approx(0.67 * (1 - step / 200))
        assert curves["SGD whiten.bias"][step] == pytest.approx(0.053 * max(0, 1 - step / 75))
    trained = 0
    for _ in range(100):
        trained += model.whiten.bias.requires_grad
        optimization.after_step()
    assert trained == 75  # afterwards its gradient is not computed either, as in the original
    assert torch.is_tensor(model.whiten.bias)


def test_a_model_without_a_head_is_told(tmp_path: Path) -> None:
    text = "optimizer: {name: SGD, groups: [{match: head.weight, lr: 1}]}\nmodel: {}\n"
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    model = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(ConfigError, match=r"no parameter of the model fits 'head.weight'"):
        spec_of(path).build(model, steps_per_epoch=1, epochs=1, diagnostics=Diagnostics())
