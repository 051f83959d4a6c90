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
