"""What is said of faulty architectures, word for word (`golden/`, renewed by ``pytest --update-golden``)."""

from __future__ import annotations

import pytest

from tests.conftest import CheckGolden
from tests.graph.plan_world import HEAD, messages, planned

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
blocks: {a-b: {layers: [ReLU]}, ReLU: {layers: [relu]}, Two: {inputs: [if, type], layers: [relu]}}
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
    "null_input": "input:\nlayers: [ReLU]\n",
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


SLIPS: dict[str, list[tuple[str, str | None]]] = {  # layers, or a whole text; and all that is said, with the way out
    "[{op: conv2d, out_channels: 8, kernel_size: 3}]": [
        (
            "conv2d is the function, whose weights are inputs",
            "did you mean Conv2d, which takes out_channels, kernel_size?",
        )
    ],
    "[{op: max_pool2d, kernel_size: 2, return_indices: true}]": [
        ("max_pool2d is the function", "did you mean MaxPool2d, which takes return_indices?")
    ],
    "[nn.ReLU]": [("there is no op 'nn.ReLU'", "did you mean ReLU?")],
    "[F.relu]": [("there is no op 'F.relu'", "did you mean relu?")],
    "[{op: torch.nn.Conv2, out_channels: 1}]": [("there is no op 'torch.nn.Conv2'", "did you mean Conv2d")],
    "[Sequential]": [("there is no op 'Sequential'", "Sequential is a container: layers are put together in YAML")],
    "[nn.LSTM]": [("there is no op 'nn.LSTM'", "recurrent: its input is a sequence in time")],
    "[CrossEntropyLoss]": [("there is no op 'CrossEntropyLoss'", "CrossEntropyLoss is a loss: it stands in a recipe")],
    "[Dense]": [("there is no op 'Dense'", "did you mean Linear?")],
    "[{op: concat, from: [input, input]}]": [("there is no op 'concat'", "did you mean cat?")],
    "[{op: Conv2d, out_channels: 8, kernel_size: 3, activation: relu}]": [
        (
            "Conv2d: unknown key 'activation'",
            "Conv2d takes in_channels, out_channels and kernel_size".partition(" and")[0],
        )
    ],
    "[{op: ReLU, name: c1}]": [("ReLU: unknown key 'name'", "ReLU takes inplace")],
    "[{op: ReLU, args: {repeat: 3}}]": [("ReLU: unknown key 'repeat'", "ReLU takes inplace")],
    "{a-1: ReLU, b: {op: Conv2d, out_channels: $(a-1.channels * 2), kernel_size: 1}}": [
        ("there is no param 'a' here", "inside $(…) a - is a minus; a-1 is read as a whole value alone: $a-1.channels"),
        ("there is no layer '1' above", "inside $(…) a - is a minus; a-1 is read"),
    ],
    "{my-conv: ReLU, b: {op: Conv2d, out_channels: $(2 * my-conv.channels), kernel_size: 1}}": [
        ("there is no param 'my' here", "inside $(…) a - is a minus; my-conv is read as a whole value alone"),
        ("there is no layer 'conv' above", "inside $(…) a - is a minus; my-conv is read"),
    ],
    "[{op: torch.topk, k: 3}]": [("there is no op 'torch.topk'", "the places of its values differ from sample")],
    "[{op: argmax, dim: 1}]": [("there is no op 'argmax'", "it gives places, through which nothing trains")],
    "[{op: grid_sample}]": [("there is no op 'grid_sample'", "it warps along a grid")],
    "[{op: torch.fft.rfft2}]": [("there is no op 'torch.fft.rfft2'", "its numbers are complex")],
    "[{op: torchvision.ops.DeformConv2d}]": [("there is no op", "it runs on torchvision's compiled operators alone")],
    "[{op: Tanh, stride: 3}]": [("Tanh: unknown key 'stride'", "Tanh takes no arguments")],
    "{a: ReLU, b: {op: Conv2d, out_channels: $a, kernel_size: 1}}": [
        ("a is a tensor, not a number", "write a.channels, .features, .height, .width or .shape")
    ],
    "{b: {op: Conv2d, out_channels: $a, kernel_size: 1}, a: ReLU}": [
        ("a is a tensor, not a number", "write a.channels, .features, .height, .width or .shape")
    ],
    "{f: {op: flatten, start_dim: 2}, a: {op: MultiheadAttention, num_heads: 2, batch_first: true}}": [
        ("MultiheadAttention takes 3", "name them: from: {query: …, key: …, value: …}")
    ],
    "{a: {op: Linear, out_features: 16}, b: {op: matmul, from: [a, input]}}": [
        ("matmul: the last size of a, [3, 32, 16], is not the last but one of input, [3, 32, 32]", None)
    ],
    "{a: {op: Conv2d, out_channels: 4, kernel_size: 3}, b: {op: add, from: [a, input]}}": [
        ("add: inputs differ: a is [4, 30, 30], input is [3, 32, 32]", "a shrinks the map from 32x32 to 30x30")
    ],
    "{a: {op: Conv2d, out_channels: 4, kernel_size: 1}, b: {share: a}}": [
        ("the module of a does not fit here: made for input, [3, 32, 32], here given a, [4, 32, 32]", "a shared module")
    ],
    "[{Conv2d: {out_channels: 3}}]": [("layer: op is missing", "write {op: Conv2d, …}")],
    "[{op: Conv2d, out_channels:8, kernel_size: 3}]": [
        ("Conv2d: unknown key 'out_channels:8'", "a colon wants a space behind it: out_channels: 8")
    ],
    '[{op: Conv2d, out_channels: 8, kernel_size: "(3, 3)"}]': [
        ("Conv2d: kernel_size: expected int or [int, int], got '(3, 3)'", "a list is written [3, 3]")
    ],
}


@pytest.mark.parametrize("layers", SLIPS)
def test_a_slip_is_told_once_with_its_way_out(layers: str) -> None:
    _, diagnostics = planned(HEAD + f"layers: {layers}")
    told = [(item.message, item.help) for item in diagnostics]
    assert len(told) == len(SLIPS[layers]), told
    for (message, help), (said, way_out) in zip(SLIPS[layers], told, strict=True):
        assert said.startswith(message)
        assert way_out is None if help is None else (way_out or "").startswith(help), way_out


def test_what_a_block_takes_is_listed() -> None:
    block = "blocks: {B: {params: {channels: int, width: 1}, layers: [{op: Conv2d, out_channels: $(channels * width), "
    _, diagnostics = planned(HEAD + block + "kernel_size: 1}]}}\nlayers: [{op: B, channels: 3, stride: 2}]")
    assert [item.help for item in diagnostics] == ["B takes channels and width"]


def test_the_copy_that_does_not_fit_and_the_one_that_shrank_the_map_are_named() -> None:
    _, diagnostics = planned(HEAD + "layers: {a: {op: Conv2d, out_channels: 4, kernel_size: 4, repeat: 20, stride: 2}}")
    (item,) = diagnostics
    assert [note.message for note in item.notes] == ["in a.3"]
    assert item.help == "a.2 shrinks the map from 6x6 to 2x2 at my_net.yaml:3 (Conv2d)"


def test_a_word_that_is_nearly_a_type_is_told_to_be_text() -> None:
    text = HEAD + "params: {n: integer, m: 'integer'}\nlayers: [{op: ReLU, when: $(n == m)}]"
    assert [item.message for item in planned(text)[1]] == ["param n: 'integer' is its default, a text, and no type"]


def test_a_mistyped_input_is_not_missing_too() -> None:
    _, diagnostics = planned("nput: [3, 32, 32]\nlayers: [ReLU]")
    assert [item.message for item in diagnostics] == ["architecture: unknown key 'nput'"]


def test_inputs_for_input_is_told_once() -> None:
    _, diagnostics = planned("inputs: [3, 32, 32]\nlayers: [ReLU]")
    assert [(item.message, item.help) for item in diagnostics] == [
        ("architecture: unknown key 'inputs'", "did you mean input?")
    ]


def test_layers_that_are_not_indented_are_told_once_and_still_checked() -> None:
    _, diagnostics = planned(
        HEAD + "layers:\nconv: {op: Conv2d, out_channels: 8, kernel_size: 99}\nrelu: ReLU\nouput: relu"
    )
    assert [item.message.split(":")[0] for item in diagnostics] == ["layers", "Conv2d", "architecture"]
    first = next(iter(diagnostics))
    assert first.message == "layers: nothing stands under it: conv and relu must be indented"
    assert (first.span.line, first.span.column) == (4, 1)


@pytest.mark.parametrize("behind", ["", "pool: {op: MaxPool2d, kernel_size: 2}", "gap:\n  pool: {op: AvgPool2d}"])
def test_a_layer_s_keys_that_are_not_indented_are_told_once(behind: str) -> None:
    text = f"layers:\n  conv:\n  op: Conv2d\n  out_channels: 8\n  kernel_size: [3, 3]\n  {behind}"
    first, *others = planned(HEAD + text)[1]
    assert first.message == "conv: nothing stands under it: op, out_channels and kernel_size must be indented"
    assert (first.span.line, first.span.column) == (4, 3)
    assert [item.message.split(":")[0] for item in others] == {"": [], "p": [], "g": ["gap", "AvgPool2d"]}[behind[:1]]


def test_a_layer_may_be_called_op() -> None:
    assert not planned(HEAD + "layers:\n  op: {op: ReLU}\n  conv: {op: Conv2d, out_channels: 8, kernel_size: 3}")[1]
