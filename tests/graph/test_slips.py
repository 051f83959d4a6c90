"""Slips in architectures that are otherwise sound: each is told once, at its place, with the way out."""

from __future__ import annotations

import pytest

from tests.graph.plan_world import HEAD, planned

BATCH_GONE = "the samples of the batch are joined into one row: {op: flatten, start_dim: 1} keeps them apart"

SLIPS: dict[str, list[tuple[str, str, str | None]]] = {  # layers: place, message and help of all that is said
    "{stem: {block: {op: Conv2d, out_channels: 8, kernel_size: 3}}}": [
        ("3:10", "stem: layers is missing", "write `layers:` around them: {layers: {block: …}}")
    ],
    "{stem: {repeat: 3, op1: {op: Dropout, p: $(0.1 * i)}, act: ReLU}, fc: {op: Linear, out_features: 2}}": [
        ("3:10", "stem: layers is missing", "write `layers:` around them: {layers: {op1: …}}")
    ],
    "[{conv: {op: Conv2d, out_channels: 8, kernel_size: 3}}]": [
        ("3:10", "layer: op is missing", "take the dash away: layers that have names, as conv, are a mapping")
    ],
    "{a: ReLU, h: {op: mean, dim: [2, 3], when: false}, b: {op: ReLU, from: a}}\noutput: {logits: b, aux: h}": [
        (
            "4:26",
            "output: h is skipped here, what it reads would come out in its place",
            "name another layer, or say what h gives when it is skipped with `else`",
        )
    ],
    "{a: ReLU, h: {op: mean, dim: [2, 3], when: false, else: input}}\noutput: [a, h]": [],
    "{a: ReLU, h: {op: Tanh, repeat: 0}}\noutput: h": [],
    "{a: {op: X, from: [input, input], repeat: 2}}\nblocks: {X: {inputs: [x, y], layers: {z: ReLU}, output: [z, y]}}": [
        (
            "3:43",
            "a: a copy gives 2 outputs, where the next one reads one tensor",
            "let its outputs bear the names of its inputs: output: {x: …, y: …}",
        )
    ],
    "[{op: chunk, chunks: 3, dim: 1, repeat: 2}]": [
        (
            "3:41",
            "chunk: a copy gives 3 outputs, where the next one reads one tensor",
            "write the layers out, each with its own `from`",
        )
    ],
    "{c: {op: ReLU, repeat: 3}, x: {op: add, from: [c.0, c]}}": [
        (
            "3:56",
            "c has one output, there is no c.0",
            "name the copies to read them: as: c$(i) beside repeat gives c0, c1, …",
        )
    ],
    "{c: {op: ReLU, repeat: 3, as: c$(i)}, x: {op: PReLU, num_parameters: $c.1.channels}}": [
        ("3:79", "c has one output, there is no c.1", "a copy is read by the name that its `as` gives it")
    ],
    "{t: {layers: {a: Tanh}}, x: {share: t.a}}": [
        (
            "3:45",
            "t has one output, there is no t.a",
            "share: t runs all of t; a layer inside it is shared inside it alone",
        )
    ],
    "{t: {op: Tanh, repeat: 2}, x: {share: t.0}}": [
        (
            "3:47",
            "t has one output, there is no t.0",
            "name the copies to read them: as: t$(i) beside repeat gives t0, t1, …",
        )
    ],
    "{c: {op: Conv2d, out_channels: 8, kernel_size: 1}, f: {op: flatten}}": [
        ("3:60", "dimension 0 of the output, [8192 * batch], is not the batch", BATCH_GONE)
    ],
    "{f: {op: flatten}, fc: {op: Linear, out_features: 3}}": [
        ("3:28", "Linear: in_features cannot be filled in: f is [3072 * batch]", BATCH_GONE)
    ],
    "{f: {op: flatten, start_dim: 0, end_dim: 1}, a: {op: add, from: [input, f]}}": [
        ("3:81", "add: inputs differ: input is [3, 32, 32], f is [3 * batch, 32, 32]", None)
    ],
    "[{op: permute, dims: [1, 2, 0]}]": [
        (
            "3:30",
            "permute: dims: expected 4 numbers, the batch counted, got [1, 2, 0]",
            "dimension 0 is the batch: dims: [0, 2, 3, 1]",
        )
    ],
    "[{op: Permute, dims: [0, 1, 1, 3]}]": [
        ("3:30", "Permute: dims: expected each of 0 to 3 once, got [0, 1, 1, 3]", None)
    ],
    "{m: {op: mean, dim: [2, 3]}, x: {op: mul, from: [input, m]}}": [
        (
            "3:65",
            "mul: inputs differ: input is [3, 32, 32], m is [3]",
            "keepdim: true at my_net.yaml:3 (mean) makes m a map of 1x1",
        )
    ],
    "{m: {op: mean, dim: [2, 3]}, g: Sigmoid, x: {op: mul, from: [input, g]}}": [
        (
            "3:77",
            "mul: inputs differ: input is [3, 32, 32], g is [3]",
            "{op: reshape, shape: [-1, 3, 1, 1]} makes g a map of 1x1",
        )
    ],
    "[{op: Conv2d, out_channels: 8, kernel_size: 1, bias: no}]": [
        ("3:62", "Conv2d: bias: expected true or false, got 'no'", "write false")
    ],
    "[{op: ReLU, when: Off}]": [("3:27", "ReLU: when: expected true or false, got 'Off'", "write false")],
    "{stem: ReLU, mid: ReLU, b: {layers: {a: ReLU, c: {op: add, from: [a, stem]}}}}": [
        (
            "3:78",
            "there is no layer 'stem' above",
            "stem stands outside this block: hand it in, beside `layers`, "
            "by from: [mid, stem] and inputs: [input, stem]",
        )
    ],
    "{s: ReLU, m: ReLU, b: {from: [m, s], inputs: [input, s], layers: [{op: add, from: [input, s]}]}}": [],
    "[resnet18]": [
        (
            "3:10",
            "there is no op 'resnet18'",
            "a whole model of torchvision's is written {op: torchvision, name: resnet18}",
        )
    ],
    "[{op: expand, size: [-1, 3, 32, 32], shape: 3}]": [("3:46", "expand: unknown key 'shape'", "expand takes size")],
    "{a: ReLU, p: {op: Parameter, shape: [3, 32, 32]}, b: Tanh}": [
        (
            "3:19",
            "nobody uses p",
            "name it in a `from` or in `output`, or remove it: "
            "a layer below a Parameter reads what stands above it where it has no `from`",
        )
    ],
    "{a: ReLU, b: {op: ReLU, from: -1}}": [
        (
            "3:39",
            "there is no layer '-1' above",
            "layers go by their names, a here; the layer before is read where from is left out",
        )
    ],
    "[ReLU, Tanh, {op: add, from: [1, -2]}]": [
        ("3:42", "there is no layer '-2' above", "layers go by their names, 0 here")
    ],
    "{a: ReLU, b: {op: add, from: [a, -9]}}": [
        ("3:42", "there is no layer '-9' above", "layers go by their names, in a list by their numbers from 0")
    ],
    "[{op: ReLU, repeat: 2}, {op: add, from: [1, -2]}]": [
        ("3:53", "there is no layer '-2' above", "layers go by their names, in a list by their numbers from 0")
    ],
    "[[-1, 1, Conv, [64, 3, 2]]]": [
        (
            "3:11",
            "layer: a list is a block of layers, and -1 is none",
            "arguments have names: {op: Conv2d, out_channels: 64, kernel_size: 3}",
        )
    ],
    "{a: {type: ReLU}}": [("3:10", "a: op is missing", "write op: ReLU in place of type: ReLU")],
    "{a: {_target_: torch.nn.ReLU, inplace: true}}": [
        ("3:10", "a: op is missing", "write op: ReLU in place of _target_: torch.nn.ReLU")
    ],
    "{a: {name: act, class_path: torch.nn.ReLU}}": [
        ("3:10", "a: op is missing", "write op: ReLU in place of class_path: torch.nn.ReLU")
    ],
    "{a: {op: {type: ReLU}}}": [
        (
            "3:18",
            "a: op: expected text, got a mapping",
            "write {op: ReLU, …}: its arguments stand beside op",
        )
    ],
    "{a: {op: {ELU: {alpha: 2}}}}": [
        ("3:18", "a: op: expected text, got a mapping", "write {op: ELU, …}: its arguments stand beside op")
    ],
    "[{op: Conv2d, out_channels: 8, kernel_size: (3, 5)}]": [
        ("3:53", "Conv2d: kernel_size: expected int or [int, int], got '(3'", "a list is written [3, 5]"),
        ("3:57", "Conv2d: unknown key '5)'", "a list is written [3, 5]"),
    ],
}
CONV = "layers: [{op: Conv2d, out_channels: 8, kernel_size: 1}]"
INPUTS: dict[str, tuple[str, str, str] | None] = {  # input: place, message and help
    "32": ("1:8", "input: expected [channels, height, width], got 32", "write input: [3, 32, 32]"),
    "3x24x32": ("1:8", "input: expected [channels, height, width], got '3x24x32'", "write input: [3, 24, 32]"),
    "(3, 32, 32)": ("1:8", "input: expected [channels, height, width], got '(3, 32, 32)'", "write input: [3, 32, 32]"),
    "{height: 8, width: 9, channels: 1}": (
        "1:8",
        "input: expected [channels, height, width], got a mapping",
        "write input: [1, 8, 9]",
    ),
    "[32, 32, 3]": ("1:8", "input: [32, 32, 3] are 32 channels of 32 x 3", "channels come first: [3, 32, 32]"),
    "[1, 3, 8, 8]": (
        "2:10",
        "Conv2d: expected [channels, height, width], got [1, 3, 8, 8]",
        "the batch is left out of an input: [3, 8, 8]",
    ),
    "[8, 8]": (
        "2:10",
        "Conv2d: expected [channels, height, width], got [8, 8]",
        "of grey images an input is [1, 8, 8]",
    ),
    "[3, 32, 3]": None,
    "[3, 3, 3]": None,
}


@pytest.mark.parametrize("layers", SLIPS)
def test_a_slip_is_told_once_with_its_place_and_way_out(layers: str) -> None:
    diagnostics = planned(f"{HEAD}layers: {layers}")[1]
    told = [(str(item.span).partition(":")[2], item.message, item.help) for item in diagnostics]
    assert told == SLIPS[layers]


def test_a_default_that_fails_names_the_call_as_a_layer_does() -> None:
    block = 'blocks: {B: {params: {row: list, x: "$(row[3])"}, layers: {c: {op: Dropout, p: $x}}}}'
    _, diagnostics = planned(f"{HEAD}{block}\nlayers:\n  f:\n    - ReLU\n    - {{op: B, row: [1]}}")
    (item,) = diagnostics
    assert [str(note) for note in item.notes] == [
        "in f.1",
        "B is called here (my_net.yaml:7:12)",
        "f is called here (my_net.yaml:5:3)",
    ]


@pytest.mark.parametrize("shape", INPUTS)
def test_an_input_of_another_form_is_told_once(shape: str) -> None:
    diagnostics = planned(f"input: {shape}\n{CONV}")[1]
    told = [(str(item.span).partition(":")[2], item.message, item.help) for item in diagnostics]
    assert told == [each for each in [INPUTS[shape]] if each is not None]


def test_inputs_may_be_called_as_sides_are() -> None:
    layers = "layers: {x: {op: add, from: [c, h]}, y: {op: add, from: [x, w]}}"
    assert not len(planned(f"input: {{c: [3], h: [3], w: [3]}}\n{layers}")[1])


def test_a_shape_from_outside_is_what_counts() -> None:
    assert not len(planned(f"input: [32, 32, 3]\n{CONV}", input_shape=(3, 8, 8))[1])


def test_what_comes_into_a_block_is_no_image() -> None:
    block = f"blocks: {{B: {{{CONV}}}}}"
    diagnostics = planned(f"{HEAD}{block}\nlayers: [{{op: flatten, start_dim: 2}}, B]")[1]
    assert [item.help for item in diagnostics] == [None]
