"""What architectures may not say, and how they are told; and what looks alike and may be said."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.graph.plan_world import HEAD, codes, plan_of_text, planned, trainable_count
from zoo.graph import Ref, TensorSpec, compile_plan


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("input: {}\nlayers: [ReLU]", "architecture: input: names no input"),
        ("input: [3]\nlayers: [ReLU]\noutput: []", "architecture: output: names nothing that comes out"),
        ("input: [3]\nlayers: [ReLU]\noutput: {}", "architecture: output: names nothing that comes out"),
        (
            "input: [3]\nblocks: {B: {layers: [ReLU], output: []}}\nlayers: [B]",
            "architecture: blocks.B.output: names no",
        ),
        ("input: [3]\nlayers: {a: {layers: [ReLU], output: []}}", "a: output: names nothing that comes out"),
    ],
)
def test_no_input_and_no_output_are_refused(text: str, told: str) -> None:
    plan, diagnostics = planned(text)
    (item,) = diagnostics
    assert plan is None
    assert item.message.startswith(told)
    assert planned(text, input_shape=(3,))[0] is None


def test_what_cannot_be_planned_never_passes_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.graph.planner._Network.plan", lambda self: None)
    with pytest.raises(RuntimeError, match="nobody said why"):
        planned(HEAD + "layers: [ReLU]")


def test_a_param_that_nobody_reads_is_a_warning() -> None:
    block = "{params: {a: 1, b: 2, c: $b}, layers: {x: {op: Dropout, p: $(c / 4), when: $(c > 0)}}}"
    text = f"params: {{b: 3, n: 2, d: 0.1, m: 4}}\nblocks: {{B: {block}}}\n"
    text += "layers: {y: {op: B, c: $b}, z: [{op: ReLU, repeat: $n}], d: {op: ReLU, repeat: 2, as: x$(i + m)}}"
    plan, diagnostics = planned(HEAD + text)
    assert plan is not None
    assert [item.message for item in diagnostics] == ["nobody reads the param d", "nobody reads the param a"]
    assert {item.code for item in diagnostics} == {"unread-param"}
    assert "unread-param" not in codes(HEAD + text.replace("c: $b}", "c: $bb}"))  # an error's echo it is not


def test_the_order_in_which_inputs_are_named_says_nothing() -> None:
    text = """input: [4, 8, 8]
blocks:
  Cell:
    inputs: [x, skip]
    layers: {conv: {op: Conv2d, from: x, out_channels: 4, kernel_size: 1}, add: {op: add, from: [conv, skip]}}
layers:
  stem: {op: Conv2d, out_channels: 4, kernel_size: 1}
  more: {op: Cell, from: {%s}, repeat: 2, as: more$(i)}
"""
    one, other = (plan_of_text(text % order).root.steps for order in ("x: stem, skip: input", "skip: input, x: stem"))
    assert [step.inputs for step in one] == [step.inputs for step in other]
    assert one[2].inputs == (Ref("more0"), Ref("input"))
    attention = """input: {x: [4, 16], ctx: [6, 12]}
layers:
  a: {op: MultiheadAttention, from: {key: ctx, value: ctx, query: x}, num_heads: 4, kdim: 12, vdim: 12, batch_first: %s}
"""
    assert plan_of_text(attention % "true").root.steps[0].arguments["embed_dim"] == 16


@pytest.mark.parametrize(("name", "told"), [("conv", "is skipped here"), ("input", "is an input")])
def test_what_has_no_module_is_not_shared(name: str, told: str) -> None:
    conv = "op: Conv2d, out_channels: 8, kernel_size: 3, padding: 1"
    text = f"input: [8, 16, 16]\nparams: {{extra: false}}\nlayers:\n  stem: {{{conv}}}\n"
    text += f"  conv: {{{conv}, when: $extra}}\n  relu: ReLU\n  again: {{share: {name}}}\n"
    plan, diagnostics = planned(text)
    assert plan is None
    assert [item.code for item in diagnostics.errors] == ["bad-share"]
    assert told in diagnostics.errors[0].message


def test_what_is_frozen_may_be_computed() -> None:
    head = "input: [4, 8]\nparams: {frozen: true}\nlayers:\n"
    free = head + "  pos: {op: Parameter, shape: [1, 4, 8], freeze: %s}\n  sum: {op: add, from: [input, pos]}\n"
    assert trainable_count(plan_of_text(free % "$frozen")) == 0
    assert trainable_count(plan_of_text(free % "$(not frozen)")) == 32
    assert "wrong-type" in codes(free % "weight")
    copies = head + "  fc: {op: Linear, repeat: 2, out_features: 8, freeze: $frozen}\n"
    assert trainable_count(plan_of_text(copies)) == 0


def test_a_kind_means_no_buffers() -> None:
    plan = plan_of_text(HEAD + "init: {'BatchNorm2d.*': {name: constant, val: 0.5}}\nlayers: [BatchNorm2d]\n")
    inits = {spec.name: spec.init is not None for spec in plan.root.steps[0].parameters}
    assert inits["weight"]
    assert not any(is_set for name, is_set in inits.items() if name not in ("weight", "bias"))


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        ("{op: Conv2d, out_channels: 24, kernel_size: 2, %s}", None),
        ("[{op: Conv2d, out_channels: 24, kernel_size: 2, %s}]", None),
        (
            "{op: Conv2d, out_channels: 24, kernel_size: 2, groups: 3, %s}",
            "take 1 channel at a time, the images are [3, ",
        ),
        ("{op: Conv2d, out_channels: 24, kernel_size: 40, padding: 8, %s}", "are [40, 40], the images [32, 32]"),
        ("ReLU, {op: Conv2d, out_channels: 24, kernel_size: 2, %s}", "must read the network's input"),
    ],
)
def test_filters_made_from_images_must_see_them(layers: str, told: str | None) -> None:
    text = HEAD + f"layers: [{layers % 'init: {weight: patch_whitening}'}]"
    assert [told in item.message if told else item for item in planned(text)[1]] == ([True] if told else [])


def test_params_that_wrap_each_other_are_refused_before_they_are_too_deep() -> None:
    params = ["p0: [1]", *(f"p{number}: [$p{number - 1}]" for number in range(1, 1500))]
    assert "too-deep" in codes(HEAD + "params:\n  " + "\n  ".join(params) + "\nlayers: [ReLU]\n")


def test_a_comparison_chooses_between_values() -> None:
    text = """input: [4]
layers:
  mask: {op: gt, other: 0}
  less: {op: mul, from: input, other: 0.5}
  kept: {op: where, from: [mask, input, less]}
"""
    plan = plan_of_text(text)
    assert plan.root.steps[0].output == TensorSpec((-1, 4), "bool")
    x = torch.tensor([[-2.0, -1.0, 1.0, 2.0]])
    assert torch.equal(compile_plan(plan)(x), torch.where(x > 0, x, x / 2))


def test_a_key_with_nothing_behind_it_says_nothing() -> None:
    attention = "op: MultiheadAttention, from: [input, input, input], num_heads: 4, batch_first: true"
    plan = plan_of_text(f"input: [4, 16]\nlayers:\n  a: {{{attention}, call: , as: , repeat: , when: }}\n")
    assert [step.name for step in plan.root.steps] == ["a"]
    assert codes(HEAD + "layers: {a: {op: }}") == ["missing-key"]


def test_an_output_is_picked_by_digits_alone() -> None:
    chunk = "h: {op: chunk, chunks: 2, dim: 1}"
    for pick in ("²", "9" * 5000):
        found = codes(f"input: [4, 8, 8]\nlayers: {{{chunk}, r: {{op: relu, from: h.{pick}}}}}")
        assert found == ["undefined-output"]


CHAINS = {
    "a: Sigmoid, b: {op: ReLU, inplace: true}": [nn.Sigmoid(), nn.ReLU(inplace=True)],
    "a: {op: ReLU, inplace: true}, b: {op: Dropout, inplace: true}": [nn.ReLU(inplace=True), nn.Dropout(inplace=True)],
    "a: {op: Hardtanh, inplace: true}, b: {op: ReLU, inplace: true}": [
        nn.Hardtanh(inplace=True),
        nn.ReLU(inplace=True),
    ],
    "a: LeakyReLU, b: {op: ReLU, inplace: true}": [nn.LeakyReLU(), nn.ReLU(inplace=True)],
    "a: {op: LeakyReLU, inplace: true}, b: {op: ReLU, inplace: true}": [
        nn.LeakyReLU(inplace=True),
        nn.ReLU(inplace=True),
    ],
    "a: BatchNorm2d, b: {op: ReLU, inplace: true}": [nn.BatchNorm2d(4), nn.ReLU(inplace=True)],
}


@pytest.mark.parametrize("layers", CHAINS)
def test_inplace_on_what_a_gradient_is_computed_from_is_refused_where_torch_refuses_it(layers: str) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), *CHAINS[layers])
    fits = True
    try:
        network(torch.rand(2, 3, 4, 4)).sum().backward()
    except RuntimeError as error:
        fits = "inplace" not in str(error)
    found = codes(f"{HEAD}layers: {{c: {{op: Conv2d, out_channels: 4, kernel_size: 1}}, {layers}}}")
    assert [code for code in found if code == "inplace"] == ([] if fits else ["inplace"])


def test_a_default_reads_the_params_above_it() -> None:
    _, diagnostics = planned(HEAD + "params: {hidden: $(2 * width), width: 8}\nlayers: [ReLU]")
    assert [item.message for item in diagnostics.errors] == ["width is declared further down"]
    assert diagnostics.errors[0].help == "a default reads the params above it: put width first"


@pytest.mark.parametrize("call", ["len()", "int()", "ceil(1, 2)", "round(1, 2, 3)"])
def test_functions_take_the_values_that_they_take(call: str) -> None:
    _, diagnostics = planned(HEAD + f'layers: [{{op: Linear, out_features: "$({call})"}}]')
    assert [item.message.split(" takes ")[0] for item in diagnostics.errors] == [call.partition("(")[0]]


@pytest.mark.parametrize("op", ["softmax", "log_softmax", "Softmax"])
def test_a_dimension_that_is_not_there_is_told(op: str) -> None:
    """On the meta device torch lets softmax have any."""
    assert codes(f"input: [4, 8]\nlayers: {{a: {{op: {op}, dim: 2}}, b: {{op: {op}, dim: -2}}}}") == []
    assert codes(f"input: [4, 8]\nlayers: {{a: {{op: {op}, dim: 3}}}}") == codes(
        "input: [4, 8]\nlayers: {a: {op: mean, dim: 3}}"
    )
