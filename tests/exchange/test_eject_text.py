"""What an ejected class says: widths that hold for any instance, shapes in one line, nothing twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.exchange.test_eject import assert_clean, assert_twins, plan_text
from zoo.exchange.eject import eject
from zoo.exchange.eject.layout import docstring

OPTIONAL = """
name: optional
input: [8, 8, 8]
blocks:
  Unit:
    params: {mid: int, stride: 1}
    layers:
      conv: {op: Conv2d, out_channels: $mid, kernel_size: 1}
      dw: {op: Conv2d, when: $(stride > 1), out_channels: $mid, groups: $mid, kernel_size: 3, stride: $stride}
      back: {op: Conv2d, out_channels: 16, kernel_size: 1}
layers:
  one: {op: Unit, mid: 32, stride: 2}
  two: {op: Unit, mid: 24}
  pos: {op: Buffer, shape: [1, 16, 1, 1], init: zeros}
  sum: {op: add, from: [two, pos]}
"""


def test_a_width_in_an_optional_layer_is_the_parameters(tmp_path: Path) -> None:
    plan = plan_text(OPTIONAL)
    text = eject(plan)
    assert re.search(r"self\.dw = nn\.Conv2d\(\s*mid,\s*mid,", text)
    assert "groups=mid" in text
    assert "zeros_" not in text  # the buffer is zero from the start
    assert_twins(plan, text)
    assert_clean(text, tmp_path)


def test_a_docstring_keeps_a_shape_in_one_line() -> None:
    for length in range(30, 90):
        text = docstring([f"{'x' * length} [B, channels, 2 * H, 2 * W] to [B, 4 * channels, H // 2, W // 2]."], 8)
        assert "[B, channels, 2 * H, 2 * W]" in text
        assert "[B, 4 * channels, H // 2, W // 2]." in text


def test_a_docstring_of_any_length_is_as_formatters_want_it(tmp_path: Path) -> None:
    lines = ["word " * number + "x" * more for number in range(12, 20) for more in range(1, 6)]
    parts = [docstring([text], 4) for line in lines for text in (line, f'{line[:-1]}"{line[-1]}"')]
    text = '"""Classes."""\n\n\n' + "\n\n\n".join(f"class C{number}:\n{part}" for number, part in enumerate(parts))
    assert max(map(len, text.splitlines())) <= 88
    assert_clean(text + "\n", tmp_path)


RESIDUAL = """
name: residual
input: [3, 32, 32]
blocks:
  Projection:
    params: {{channels: int, stride: int}}
    layers:
      conv: {{op: Conv2d, out_channels: $channels, kernel_size: 1, stride: $stride, bias: false}}
      norm: BatchNorm2d
  Unit:
    params: {{channels: int, stride: 1}}
    layers:
      conv: {{op: Conv2d, out_channels: $channels, kernel_size: 3, padding: 1, stride: $stride, bias: false}}
      norm: BatchNorm2d
      down: {{from: input, when: $(stride != 1 or input.channels != channels), {down}}}
      add: {{op: add, from: [norm, down]}}
layers:
  stem: {{op: Conv2d, out_channels: 8, kernel_size: 3, padding: 1}}
  stage1: {{op: Unit, channels: 8, repeat: 2}}
  stage2: {{op: Unit, channels: 16, repeat: 2, first: {{stride: 2}}}}
  stage3: {{op: Unit, channels: 24, repeat: 2, first: {{stride: 2}}}}
"""
PLACED = "layers: [{op: Conv2d, out_channels: $channels, kernel_size: 1, stride: $stride, bias: false}, BatchNorm2d]"


@pytest.mark.parametrize("down", ["op: Projection, channels: $channels, stride: $stride", PLACED])
def test_an_ejected_block_serves_with_arguments_that_the_network_does_not_use(down: str, tmp_path: Path) -> None:
    plan = plan_text(RESIDUAL.format(down=down))
    text = eject(plan)
    assert_twins(plan, text)
    assert_clean(text, tmp_path)
    names: dict[str, Any] = {}
    exec(text, names)
    images = torch.randn(2, 8, 8, 8)
    for channels, stride in ((8, 1), (12, 1), (8, 2), (16, 2)):
        assert names["Unit"](8, channels, stride=stride)(images).shape == (2, channels, 8 // stride, 8 // stride)
    assert isinstance(names["Unit"](8, 8).down, torch.nn.Identity)
