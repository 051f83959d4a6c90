"""Networks that are ejected rarely: loops in loops, tensors without sizes, blocks that give more or fewer values."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exchange.test_eject import assert_clean, assert_twins, plan_text
from zoo.exchange.eject import eject
from zoo.graph import compile_plan

GROWING = """
name: growing
input: [8, 8, 8]
layers:
  dense:
    repeat: 3
    layers:
      - {op: Conv2d, repeat: 3, kernel_size: 1, out_channels: $(input.channels + 8 * (i + 1))}
"""

GROWING_BY_PARAMS = """
name: growing
input: [8, 8, 8]
blocks:
  Dense:
    params: {j: 8, k: 1}
    layers:
      list:
        repeat: $k
        layers:
          - {op: Conv2d, repeat: 3, kernel_size: 1, out_channels: $(input.channels + j * (i + 1))}
layers:
  a: {op: Dense, k: 3}
  b: {op: Dense, j: 4, k: 4}
"""


@pytest.mark.parametrize("yaml", [GROWING, GROWING_BY_PARAMS])
def test_a_loop_in_a_loop_has_an_index_of_its_own(yaml: str, tmp_path: Path) -> None:
    plan = plan_text(yaml)
    text = eject(plan)
    assert text.count(" in range(") == 2
    assert_twins(plan, text)
    assert_clean(text, tmp_path)


WITHOUT_SIZES = """
name: without-sizes
input: [8, 8, 8]
layers:
  conv: {op: Conv2d, kernel_size: 1, out_channels: 4}
  scale: {op: Parameter, shape: [], init: {name: constant, val: 2.0}}
  mul: {op: mul, from: [conv, scale]}
  count: {op: Buffer, shape: [], dtype: int64}
  add: {op: add, from: [mul, count]}
"""

DTYPES = """
name: dtypes
input: [8, 8, 8]
blocks:
  Shift:
    params: {dtype: str}
    layers:
      conv: {op: Conv2d, kernel_size: 1, out_channels: 8}
      shift: {op: Buffer, shape: [1], dtype: $dtype}
      add: {op: add, from: [conv, shift]}
layers:
  a: {op: Shift, dtype: int64}
  b: {op: Shift, dtype: float32}
"""


@pytest.mark.parametrize("yaml", [WITHOUT_SIZES, DTYPES])
def test_free_tensors(yaml: str, tmp_path: Path) -> None:
    plan = plan_text(yaml)
    text = eject(plan)
    ejected = assert_twins(plan, text)
    dtypes = [tensor.dtype for tensor in compile_plan(plan).state_dict().values()]
    assert [tensor.dtype for tensor in ejected.state_dict().values()] == dtypes
    assert_clean(text, tmp_path)


OPTIONAL = """
name: optional
input: [8, 8, 8]
blocks:
  Up:
    params: {grow: bool}
    layers:
      up:
        op: ConvTranspose2d
        when: $grow
        out_channels: 8
        kernel_size: 2
        stride: 2
        call: {output_size: [16, 16]}
      conv: {op: Conv2d, kernel_size: 1, out_channels: 8}
layers:
  a: {op: Up, grow: true}
  b: {op: Up, grow: false}
"""


def test_an_optional_module_that_is_called_with_keywords(tmp_path: Path) -> None:
    plan = plan_text(OPTIONAL)
    text = eject(plan)
    assert_twins(plan, text)
    assert_clean(text, tmp_path)


CUTS = """
name: cuts
input: [8, 8, 8]
blocks:
  Cut: {params: {n: int}, layers: {parts: {op: chunk, chunks: $n, dim: 1}}}
layers:
  conv: {op: Conv2d, kernel_size: 1, out_channels: 8}
  a: {op: Cut, n: 2}
  b: {op: Cut, n: 4, from: conv}
output: [a.0, b.3]
"""


def test_a_block_that_gives_more_or_fewer_values() -> None:
    plan = plan_text(CUTS)
    text = eject(plan)
    assert "[B, 8, 8, 8] to tensors." in text
    assert_twins(plan, text)


KEYS = """
name: keys
input: [8, 8, 8]
layers:
  pair:
    layers:
      a: {op: Conv2d, kernel_size: 1, out_channels: 8}
      b: {op: Conv2d, from: input, kernel_size: 1, out_channels: 8}
    output: {größe: a, länge: b}
  cat: {op: cat, dim: 1, from: [pair.größe, pair.länge, pair.größe, pair.länge, pair.größe, pair.länge]}
"""


def test_a_long_line_with_letters_beyond_ascii(tmp_path: Path) -> None:
    plan = plan_text(KEYS)
    text = eject(plan)
    assert_twins(plan, text)
    assert_clean(text, tmp_path)


LAYERS = """
name: returns
doc: Gives "several"
input: [8, 8, 8]
layers:
  a_layer_of_a_long_name: {op: Conv2d, kernel_size: 1, out_channels: 8}
  another_layer_of_a_long_name: {op: Conv2d, kernel_size: 1, out_channels: 8}
  yet_another_layer_of_a_long_name: {op: Conv2d, kernel_size: 1, out_channels: 8}
"""


@pytest.mark.parametrize("output", ["[{}, {}, {}]", "{{a: {}, b=c: {}, c: {}}}"])
def test_a_long_line_that_returns_several_values(output: str, tmp_path: Path) -> None:
    names = ("a_layer_of_a_long_name", "another_layer_of_a_long_name", "yet_another_layer_of_a_long_name")
    plan = plan_text(f"{LAYERS}output: {output.format(*names)}\n")
    text = eject(plan)
    assert_twins(plan, text)
    assert_clean(text, tmp_path)


METHOD = """
name: method
input: [8, 8, 8]
layers:
  conv: {op: Conv2d, kernel_size: 1, out_channels: 8}
  add: {op: add, other: 2}
  repeat: {op: repeat, repeats: [1, 2, 1, 1]}
"""


def test_a_method_of_a_sum_that_ends_in_a_number() -> None:
    plan = plan_text(METHOD)
    text = eject(plan)
    assert "(self.conv(x) + 2).repeat(" in text or "(x + 2).repeat(" in text
    assert_twins(plan, text)


LISTS = """
name: lists
input: [3, 8, 8]
blocks:
  B:
    params: {w: [4, 5], k: 1}
    layers:
      c: {op: Conv2d, repeat: 2, out_channels: "$(w[i])", kernel_size: $k, padding: $(k // 2)}
      d: {op: Conv2d, out_channels: "$(w[0])", kernel_size: 1}
layers:
  x: B
  y: {op: B, w: [6, 8]}
  z: {op: B, w: [6, 8], k: 3}
"""


@pytest.mark.parametrize("yaml", [LISTS, LISTS.partition("  y:")[0]])
def test_a_block_with_a_list_for_a_param(yaml: str, tmp_path: Path) -> None:
    plan = plan_text(yaml)
    text = eject(plan)
    assert_twins(plan, text)
    assert_clean(text, tmp_path)


STREAMS = """
name: streams
input: [3, 8, 8]
blocks:
  Two:
    inputs: [hi, lo]
    layers:
      a: {op: Conv2d, from: hi, out_channels: 8, kernel_size: 3, padding: 1}
      b: {op: Conv2d, from: lo, out_channels: 4, kernel_size: 3, padding: 1}
      both: {op: cat, from: [a, b], dim: 1}
      c: {op: Conv2d, out_channels: 4, kernel_size: 1}
    output: {hi: a, lo: c}
layers:
  x: {op: Conv2d, out_channels: 8, kernel_size: 1}
  y: {op: Conv2d, out_channels: 4, kernel_size: 1}
  h: {op: Two, from: [x, y], repeat: 3}
  add: {op: cat, from: [h.lo, h.hi], dim: 1}
"""


def test_copies_with_several_outputs() -> None:
    plan = plan_text(STREAMS)
    assert_twins(plan, eject(plan))


def test_lists_in_lists_are_ejected_however_deep_they_lie() -> None:
    layers = "[" * 24 + "{op: Conv2d, kernel_size: 1, out_channels: 4}, ReLU" + "]" * 24
    plan = plan_text(f"name: deep\ninput: [8, 8, 8]\nlayers: {{a: {layers}, b: {layers}}}\n")
    text = eject(plan)  # work that doubled with each level would take an hour
    assert text.count("nn.Sequential(") == 2 * 24
    assert_twins(plan, text)
