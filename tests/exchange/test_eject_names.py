"""Names in an ejected file: those of YAML, unless Python or the file itself needs them for something else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

from tests.exchange.test_eject import assert_clean, assert_twins, network_of, plan_text
from zoo.assemble import plugins
from zoo.exchange.eject import eject
from zoo.layers import ops

TAKEN = """
name: f
input: [8, 8, 8]
blocks:
  F:
    params: {nn: int, self: 1, class: 3, lambda: 1, super: false}
    layers:
      conv:
        op: Conv2d
        out_channels: $nn
        kernel_size: $class
        padding: $(class // 2)
        groups: $self
        dilation: $lambda
        bias: $super
      relu: relu
  Tensor:
    params: {torch: int, x: 1.0, math: 1, conv: int, training: 2, range: 1}
    layers:
      conv: {op: Conv2d, out_channels: $torch, kernel_size: 1, groups: $math}
      mul: {op: mul, other: $x}
      again: {op: Conv2d, out_channels: $conv, kernel_size: 1}
      many: {op: Conv2d, repeat: $range, out_channels: $conv, kernel_size: 1}
      pool: {op: avg_pool2d, kernel_size: $training, stride: 1, padding: 1}
  Inner:
    params: {F: 1, Tensor: int, add: 1.5}
    layers:
      norm: LayerNorm2d
      conv: {op: Conv2d, out_channels: $Tensor, kernel_size: 1, groups: $F}
      gate: {op: add, other: $add}
      add: {op: add, from: [gate, conv]}
  Outer:
    params: {Inner: int}
    layers:
      inner: {op: Inner, Tensor: $Inner}
      conv: {op: Conv2d, out_channels: $(2 * Inner), kernel_size: 1}
layers:
  a: {op: F, nn: 8}
  b: {op: F, nn: 16, class: 1, self: 2, super: true}
  c: {op: F, nn: 16, class: 5}
  t: {op: Tensor, torch: 8, x: 2.0, math: 2, conv: 4, training: 2}
  t2: {op: Tensor, torch: 12, x: 0.5, conv: 8, training: 3, range: 4}
  l: {op: Inner, Tensor: 8, F: 2, add: 0.5}
  o: {op: Outer, Inner: 8}
  o2: {op: Outer, Inner: 16}
  LayerNorm2d:
    layers: {norm: LayerNorm2d, tanh: tanh}
  last: LayerNorm2d
"""


def test_names_that_the_file_needs_itself(tmp_path: Path) -> None:
    plan = plan_text(TAKEN)
    text = eject(plan)
    assert "class LayerNorm2dLayer(" in text  # LayerNorm2d is torchvision's
    assert "class TensorLayer(" in text
    assert "self.x = x" in text
    assert_twins(plan, text)
    assert_clean(text, tmp_path)


INCEPTION = """
name: inception
input: [3, 8, 8]
blocks:
  Inception:
    params: {channels: int}
    layers:
      conv: {op: Conv2d, out_channels: $channels, kernel_size: 1}
      relu: relu
layers:
  one: {op: Inception, channels: 4}
  two: {op: Inception, channels: 8}
"""


def test_a_class_bears_its_blocks_name_and_the_network_gives_way() -> None:
    plan = plan_text(INCEPTION)
    text = eject(plan)
    assert type(assert_twins(plan, text)).__name__ == "InceptionNet"
    assert "self.two = Inception(4, 8)" in text


LIST = """
name: plain
input: [3, 8, 8]
layers:
  - {op: Conv2d, out_channels: 8, kernel_size: 3, freeze: true}
  - ReLU
  - {op: AdaptiveAvgPool2d, output_size: 1}
  - Flatten
  - {op: Linear, out_features: 5, init: {bias: zeros}}
"""


def test_a_network_that_is_a_list_is_a_sequential(tmp_path: Path) -> None:
    plan = plan_text(LIST)
    text = eject(plan)
    assert "getattr" not in text
    assert "add_module" not in text
    assert isinstance(network_of(text), nn.Sequential)
    assert_twins(plan, text)
    assert_clean(text, tmp_path)


PLUGIN = """
from torch import Tensor

import zoo


@zoo.op
def shifted(x: Tensor, *, by: float = 1.0) -> Tensor:
    return x + by


@zoo.op
def h(x: Tensor) -> Tensor:
    return 2 * x


@zoo.op
def Gate(x: Tensor) -> Tensor:
    return x * x
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(plugins, "_loaded", set())
    monkeypatch.setattr(plugins, "_files", [])
    (tmp_path / "own_functions.py").write_text(PLUGIN)
    with ops.temporarily():
        plugins.load_plugins([tmp_path / "own_functions.py"])
        yield
    sys.modules.pop("own_functions", None)


CONV = "conv: {op: Conv2d, out_channels: 8, kernel_size: 1}"


@pytest.mark.parametrize(
    "yaml",
    [
        f"""input: [8, 8, 8]
layers:
  {CONV}
  shifted: shifted
  again: {{op: Conv2d, out_channels: 8, kernel_size: 1}}
  more: {{op: Conv2d, out_channels: 8, kernel_size: 1}}
  last: {{op: shifted, by: 2.0}}
  sum: {{op: add, from: [shifted, last]}}
""",
        """input: {shifted: [8, 8, 8], b: [8, 8, 8]}
layers:
  conv: {op: Conv2d, from: shifted, out_channels: 8, kernel_size: 1}
  a: shifted
  sum: {op: add, from: [shifted, a, b]}
""",
        f"""input: {{x: [8, 8, 8], out: [8, 8, 8]}}
layers:
  {CONV.replace("op: Conv2d", "op: Conv2d, from: x")}
  a: h
  b: {{op: Conv2d, out_channels: 8, kernel_size: 1}}
  c: h
  d: {{op: add, from: [c, x, out]}}
""",
        f"""input: [8, 8, 8]
layers:
  Gate: {{layers: {{{CONV}, gate: Gate, sum: {{op: add, from: [gate, input]}}}}}}
""",
    ],
)
def test_a_plugins_function_is_not_hidden_by_what_bears_its_name(yaml: str, plugin: None) -> None:
    plan = plan_text(yaml)
    assert_twins(plan, eject(plan))
