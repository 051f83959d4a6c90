"""What compiling and the compiled forward cost."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from zoo.diagnostics import Diagnostics
from zoo.document import read_text
from zoo.graph import TensorSpec, compile_plan, plan_architecture

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "forward_overhead.py"


def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("forward_overhead", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_generated_forward_costs_no_more_than_one_by_hand() -> None:
    threads = torch.get_num_threads()
    measured = [benchmark().overhead(60)]
    while min(measured) > 0.02 and len(measured) < 4:  # a busy machine: only a cost that stays is ours
        measured.append(benchmark().overhead(100))
    torch.set_num_threads(threads)
    assert min(measured) <= 0.02, measured


THOUSAND = """
name: thousand
input: [3, 8, 8]
blocks:
  Unit:
    layers:
      conv: {op: Conv2d, out_channels: $input.channels, kernel_size: 1}
      norm: BatchNorm2d
      relu: relu
      add: {op: add, from: [relu, input]}
layers:
  stem: {op: Conv2d, out_channels: 4, kernel_size: 1}
  units: {op: Unit, repeat: 249}
  pool: {op: mean, dim: [2, 3]}
  fc: {op: Linear, out_features: 10}
"""


def layers_of_a_thousand() -> nn.ModuleList:
    """What torch itself has to build."""
    return nn.ModuleList([nn.ModuleList([nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)]) for _ in range(249)])


def flat_thousand() -> str:
    lines = [f"  conv{i}: {{op: Conv2d, out_channels: {4 + i % 7}, kernel_size: 1}}" for i in range(500)]
    lines += [f"  act{i}: relu" for i in range(500)]
    return "name: flat\ninput: [3, 8, 8]\nlayers:\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "shape"), [(THOUSAND, (10,)), (flat_thousand(), (4 + 499 % 7, 8, 8))], ids=["blocks", "flat"]
)
def test_a_thousand_layers_are_planned_and_compiled_in_two_seconds(text: str, shape: tuple[int, ...]) -> None:
    torch.nn.functional.relu(nn.Conv2d(3, 4, 1)(torch.zeros(1, 3, 8, 8)))
    diagnostics = Diagnostics()
    warm = read_text("name: warm\ninput: [3, 8, 8]\nlayers: {a: relu}", diagnostics)
    assert warm is not None
    assert plan_architecture(warm, diagnostics) is not None  # the catalogue is loaded once a process
    document = read_text(text, diagnostics)
    assert document is not None
    start = time.process_time()
    plan = plan_architecture(document, diagnostics)
    assert plan is not None
    module = compile_plan(plan)
    ours = time.process_time() - start
    start = time.process_time()
    layers_of_a_thousand()
    assert ours - (time.process_time() - start) < 2.0
    assert isinstance(plan.output, TensorSpec)
    assert module(torch.zeros(2, 3, 8, 8)).shape == (2, *plan.output.shape[1:]) == (2, *shape)
    assert sum(1 for _, step in plan.walk() if step.kind in ("module", "function")) >= 998
