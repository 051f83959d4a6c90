"""What is said of faulty architectures, word for word (`golden/`, renewed by ``pytest --update-golden``)."""

from __future__ import annotations

import pytest

from tests.conftest import CheckGolden
from tests.graph.plan_world import HEAD, messages

CASES = {
    "inputs_differ": HEAD
    + """
blocks:
  ConvPool:
    params: {channels: int}
    layers:
      conv: {op: Conv2d, out_channels: $channels, kernel_size: 3, padding: 1}
      pool: {op: MaxPool2d, kernel_size: 2}
      norm: BatchNorm2d
layers:
  prep: {op: Conv2d, out_channels: 64, kernel_size: 3, padding: 1}
  layer1: {op: ConvPool, channels: 128}
  add1: {op: add, from: [layer1, prep]}
  join: {op: cat, dim: 1, from: [prep, layer1]}
  narrow: {op: Conv2d, out_channels: 32, kernel_size: 1, from: prep}
  add2: {op: mul, from: [prep, narrow]}
""",
    "inside_a_block": HEAD
    + """
blocks:
  Inner:
    params: {channels: int}
    layers:
      conv: {op: Conv2d, out_channels: $(channels / 2), kernel_size: 3}
      add: {op: add, from: [input, input]}
      lin: {op: Linear, in_features: 7, out_features: 3}
  Outer:
    params: {width: 6}
    layers: [{op: Inner, channels: $width}, {op: Inner, channels: $width}]
layers:
  first: {op: Outer, repeat: 2}
  second: Outer
""",
    "layers_that_do_not_fit": HEAD
    + """
layers:
  a: {op: Conv3d, out_channels: 4, kernel_size: 2}
  b: {op: Conv2d, in_channels: 5, out_channels: 4, kernel_size: 2, from: input}
  c: {op: Linear, in_features: 7, out_features: 4, from: input}
  d: {op: BatchNorm2d, num_features: 7, from: input}
  e: {op: LayerNorm, normalized_shape: [32, 31], from: input}
  f: {op: Conv2d, out_channels: 4, kernel_size: 50, from: input}
  g: {op: MaxPool2d, kernel_size: 70, from: input}
  h: {op: reshape, shape: [-1, 7], from: input}
  i: {op: flatten, start_dim: 1, from: input}
  j: {op: BatchNorm2d, from: i}
  k: {op: GroupNorm, num_groups: 2, from: input}
""",
    "the_batch_mixed": HEAD
    + """
layers:
  a: {op: cat, dim: 0, from: [input, input]}
  b: {op: permute, dims: [1, 0, 2, 3], from: input}
  c: {op: Conv2d, out_channels: $b.channels, kernel_size: 1, from: input}
  d: {op: softmax, dim: 0, from: input}
""",
    "the_batch_lost": HEAD + "layers: {a: {op: permute, dims: [1, 0, 2, 3]}}",
    "overwritten": HEAD
    + """
layers:
  a: {op: Conv2d, out_channels: 3, kernel_size: 1}
  b: {op: ReLU, inplace: true}
  c: {op: add, from: [a, b]}
""",
    "cycles": HEAD
    + """
layers:
  a: {op: relu, from: c}
  b: ReLU
  c: {op: add, from: [b, d]}
  d: {op: Conv2d, out_channels: $c.channels, kernel_size: 1, from: input}
  e: {op: relu, from: e}
  f: {op: relu, from: g}
  g: {op: relu, from: input}
""",
    "a_block_in_itself": HEAD + "blocks: {A: {layers: [B]}, B: {layers: [[A]]}}\nlayers: [A]",
    "unknown_names": HEAD
    + """
params: {classes: 10}
blocks:
  Unused:
    params: {width: int}
    layers: [{op: Conv2d, out_channels: $widht, kernel_size: 3, paddding: 1}]
layers:
  a: {op: Conv2D, out_channels: 3}
  b: {op: Linear, out_features: $clases, from: inptu}
  c: {op: Linear, out_features: $b.chanels, from: input, when: false}
  d: {op: Unused, widthh: 3, from: input}
  e: {op: relu, fron: input}
  f: {op: Conv2d, out_channels: $input, kernel_size: 3, from: input}
  g: {op: Conv2d, out_channels: 3, kernel_size: 3, init: {wieght: zeros, bias: zeroes}, freeze: [biass], from: input}
""",
    "bad_values": HEAD
    + """
params: {k: {type: int, default: 9, max: 5}}
layers:
  a: {op: Conv2d, out_channels: 0, kernel_size: true, padding: -1}
  b: {op: Conv2d, out_channels: 1.5, kernel_size: 3, from: input}
  c: {op: Conv2d, out_channels: 4, kernel_size: 3, groups: 5, from: input}
  d: {op: Conv2d, out_channels: $(9**9**9), kernel_size: $(().__class__), from: input}
  e: {op: ReLU, repeat: 1000000000, from: input}
  f: {op: ReLU, repeat: 1.5, from: input}
  g: {op: ReLU, when: 1, from: input}
  h: {op: flatten, start_dim: 1, from: input}
  i: {op: Linear, out_features: 1000000000000}
  j: {op: Conv2d, from: input}
""",
    "bad_names": HEAD
    + """
blocks: {a-b: {layers: [ReLU]}, ReLU: {layers: [relu]}}
params: {i: 1, a.b: 2, if: 3}
layers: {type: ReLU, a.b: ReLU, __class__: ReLU, a/b: ReLU, input: ReLU, training: ReLU, ok: ReLU}
""",
    "keys_that_exclude_one_another": HEAD
    + """
layers:
  a: {op: ReLU, layers: [ReLU]}
  b: {from: a}
  c: {op: ReLU, first: {inplace: true}}
  d: {op: ReLU, as: "x$(i)"}
  e: {op: add, from: [input, input], when: false}
  f: {op: $x}
  g: 3
  h: {op: ReLU, else: input}
  i: {op: add, from: input}
  j: {op: chunk, chunks: 3, dim: 1, from: input}
  k: ReLU
  l: {op: relu, from: j.7}
""",
    "unused": HEAD
    + """
layers:
  a: ReLU
  b: {op: ReLU, from: a}
  c: {op: add, from: [a, b], when: false, else: a}
  d: {op: ReLU, from: a}
""",
    "the_file": "nmae: x\ninput: [3, -1, 32.5]\nlayers: foo\nuse: nothing.yaml\n",
    "no_input": "layers: [ReLU]\n",
}


@pytest.mark.parametrize("name", CASES)
def test_messages(name: str, golden: CheckGolden) -> None:
    golden(f"{name}.txt", messages(CASES[name]))


def test_the_message_of_the_handbook() -> None:
    """The example of the page on the language, line for line."""
    text = "\n" * 18 + CASES["inputs_differ"].replace(HEAD, "")
    text = HEAD + text[1:]
    first = messages(text).split("\nerror")[0]
    head, place, _, _, carets, help = first.splitlines()
    assert head == "error[shape-mismatch]: add: inputs differ: layer1 is [128, 16, 16], prep is [64, 32, 32]"
    assert place.strip() == "--> my_net.yaml:31:34"
    assert carets.strip() == "|                                  ^^^^ [64, 32, 32], from line 29"
    assert help.strip() == "= help: layer1 halves the map at my_net.yaml:26 (MaxPool2d)"
