"""What architectures can say, one sentence of the language at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.graph.plan_world import HEAD, codes, parameter_count, plan_of_text, planned, trainable_count
from zoo.diagnostics import Diagnostics
from zoo.document import load
from zoo.graph import Ref, Step, TensorSpec, compile_plan, plan_architecture

CONV = "op: Conv2d, kernel_size: 1, out_channels"


def names(text: str) -> list[str]:
    """The paths of all steps."""
    return [path for path, _ in plan_of_text(HEAD + text).walk()]


def step(text: str, path: str) -> Step:
    return dict(plan_of_text(HEAD + text).walk())[path]


def test_list_layers_take_numbers_functions_too_and_skipped_ones_none() -> None:
    text = f"layers: [relu, {{op: ReLU, when: false}}, {{{CONV}: 4, repeat: 2}}, ReLU]"
    assert names(text) == ["0", "1", "2", "3"]
    assert [step.op for step in plan_of_text(HEAD + text).root.steps] == ["relu", "Conv2d", "Conv2d", "ReLU"]


def test_a_repeated_layer_is_a_module_of_copies() -> None:
    text = f"layers: {{a: {{{CONV}: $(4 * (i + 1)), repeat: 2, first: {{bias: false}}}}}}"
    assert names(text) == ["a", "a.0", "a.1"]
    assert step(text, "a.0").arguments == {"in_channels": 3, "out_channels": 4, "kernel_size": 1, "bias": False}
    assert step(text, "a.1").arguments == {"in_channels": 4, "out_channels": 8, "kernel_size": 1}
    body = step(text, "a").body
    assert body is not None
    assert body.is_sequential


def test_copies_may_be_named_in_the_parent() -> None:
    text = f"layers: {{a: {{{CONV}: 4, repeat: 3, as: layer$(i + 1)}}, b: {{op: add, from: [layer1, a]}}}}"
    assert names(text) == ["layer1", "layer2", "layer3", "b"]
    assert step(text, "b").inputs == (Ref("layer1"), Ref("layer3"))


@pytest.mark.parametrize("skip", ["when: false", "repeat: 0"])
def test_a_skipped_layer_passes_its_input_on(skip: str) -> None:
    text = f"layers: {{a: ReLU, b: {{{CONV}: 4, {skip}}}, c: {{op: add, from: [a, b]}}}}"
    assert step(text, "c").inputs == (Ref("a"), Ref("a"))


def test_else_takes_the_place_of_a_skipped_layer() -> None:
    text = f"layers: {{a: ReLU, b: {{{CONV}: 4, when: false, else: input}}, c: {{op: add, from: [a, b]}}}}"
    assert step(text, "c").inputs == (Ref("a"), Ref("input"))


def test_when_is_asked_per_copy() -> None:
    text = f"layers: {{a: {{{CONV}: 4, repeat: 4, when: $(i != 1)}}}}"
    assert names(text) == ["a", "a.0", "a.2", "a.3"]
    assert step(text, "a.2").inputs == (Ref("0"),)


def test_a_skipped_copy_with_else_reads_from_outside_through_an_input() -> None:
    text = f"layers: {{a: {{{CONV}: 3}}, b: {{{CONV}: 3, repeat: 3, when: $(i != 1), else: input}}}}"
    found = step(text, "b")
    assert found.inputs == (Ref("a"), Ref("input"))
    assert found.body is not None
    assert found.body.inputs == ("input", "input2")
    assert step(text, "b.2").inputs == (Ref("input2"),)


def test_anonymous_blocks_see_the_params_around_them_and_named_blocks_do_not() -> None:
    text = f"""
params: {{width: 8}}
layers:
  a:
    - {{{CONV}: $width}}
    - {{layers: {{x: {{{CONV}: "$(width + input.channels)"}}}}}}
"""
    assert step(text, "a.1.x").arguments["out_channels"] == 16
    hidden = f"params: {{width: 8}}\nblocks: {{B: {{layers: [{{{CONV}: $width}}]}}}}\nlayers: [B]"
    assert codes(HEAD + hidden) == ["undefined-name"]


def test_defaults_are_expressions_over_earlier_params_and_input() -> None:
    text = f"""
blocks:
  B:
    params: {{a: int, b: $(2 * a), c: $(b + input.channels)}}
    layers: [{{{CONV}: $c}}]
layers: {{x: {{op: B, a: 5}}}}
"""
    assert step(text, "x").arguments == {"a": 5, "b": 10, "c": 13}
    assert codes(HEAD + text.replace("$(2 * a)", "$(2 * c)")) == ["undefined-name"]


@pytest.mark.parametrize(
    ("declared", "value", "fits"),
    [
        ("int", "3", True), ("int", "true", False), ("int", "3.0", False), ("float", "3", True), ("bool", "1", False),
        ("str", "3", False), ("list", "[1]", True), ("list", "1", False), ("{type: int, min: 2}", "1", False),
        ("{type: int, max: 2}", "3", False), ("{choices: [a, b]}", "c", False), ("{choices: [a, b]}", "b", True),
        ("{default: 5}", "anything", True), ("3", "anything", True), ("{type: int}", "2", True),
    ],
)  # fmt: skip
def test_params_are_checked(declared: str, value: str, fits: bool) -> None:
    block = f"blocks: {{B: {{params: {{p: {declared}}}, layers: [ReLU]}}}}\nlayers: [{{op: B, p: {value}}}]"
    assert (planned(HEAD + block)[0] is not None) == fits


def test_a_caller_sets_the_networks_params() -> None:
    text = HEAD + f"params: {{classes: 10}}\nlayers: [{{{CONV}: $classes}}]"
    assert plan_of_text(text, params={"classes": 7}).output == TensorSpec((-1, 7, 32, 32))
    _, diagnostics = planned(text, params={"clases": 7})
    (item,) = diagnostics
    assert (item.code, item.help) == ("unknown-key", "did you mean classes?")
    assert plan_of_text(text, input_shape=(1, 8, 8)).output == TensorSpec((-1, 10, 8, 8))


def test_blocks_with_several_inputs_and_from_as_a_mapping() -> None:
    text = """
blocks:
  Gate: {inputs: [x, g], layers: {s: {op: sigmoid, from: g}, out: {op: mul, from: [x, s]}}}
layers:
  a: ReLU
  b: {op: Gate, from: [a, input]}
  c: {op: Gate, from: {g: a, x: b}}
  d: {op: scaled_dot_product_attention, from: {query: a, key: b, value: c}}
"""
    assert step(text, "c").inputs == (Ref("b"), Ref("a"))
    assert step(text, "d").named_inputs == {"query": Ref("a"), "key": Ref("b"), "value": Ref("c")}
    assert codes(HEAD + text.replace("[a, input]", "[a]")) == ["wrong-inputs"]
    assert codes(HEAD + text.replace("{g: a, x: b}", "{h: a, x: b}")) == ["unknown-key"]


def test_networks_with_several_inputs_and_outputs() -> None:
    text = """
input: {image: [3, 32, 32], age: [4]}
layers: {a: ReLU, b: {op: relu, from: age}, c: {op: chunk, chunks: 3, dim: 1, from: a}}
output: {left: c.0, age: b, all: c}
"""
    plan = plan_of_text("name: n" + text)
    assert list(plan.inputs) == ["image", "age"]
    spec = TensorSpec((-1, 1, 32, 32))
    assert plan.output == {"left": spec, "age": TensorSpec((-1, 4)), "all": (spec, spec, spec)}


def test_outputs_are_picked_by_number_and_by_key() -> None:
    text = """
blocks: {Two: {layers: {a: ReLU, b: {op: relu, from: input}}, output: {l: a, r: b}}}
layers: {t: Two, c: {op: cat, dim: 1, from: [t.r, t.l]}, k: {op: chunk, chunks: 2, dim: 1}, j: {op: cat, dim: 1}}
"""
    assert step(text, "c").inputs == (Ref("t", ("r",)), Ref("t", ("l",)))
    assert step(text, "j").inputs == (Ref("k", (0,)), Ref("k", (1,)))  # what takes a list takes a tuple


def test_a_shared_module_runs_again() -> None:
    text = f"layers: {{a: {{{CONV}: 3}}, b: [ReLU, {{{CONV}: 3}}], c: {{share: a}}, d: {{share: b}}}}"
    plan = plan_of_text(HEAD + text)
    assert parameter_count(plan) == 2 * 12
    assert [(inner.kind, inner.share) for inner in plan.root.steps[2:]] == [("share", "a"), ("share", "b")]
    other = f"layers: {{a: {{{CONV}: 4}}, c: {{share: a}}}}"
    assert codes(HEAD + other) == ["shape-mismatch"]
    assert codes(HEAD + "layers: {a: relu, b: {share: a}}") == ["bad-share"]
    assert codes(HEAD + "layers: {a: ReLU, b: {share: x}}") == ["undefined-reference"]


def test_the_outermost_pattern_wins() -> None:
    text = f"""
init: {{Conv2d.weight: {{name: kaiming_normal, mode: fan_out}}, Conv2d.bias: ones}}
blocks: {{B: {{layers: {{c: {{{CONV}: 3, init: {{bias: zeros, weight: ones}}, freeze: [bias]}}}}}}}}
layers:
  a: {{op: B, init: {{c.weight: dirac}}}}
  b: {{op: B, repeat: 2, freeze: true, init: {{"1.c.weight": eye}}}}
  c: {{{CONV}: 3}}
"""
    text = text.replace("eye", "orthogonal")
    found = {path: [spec.init and spec.init.name for spec in each.parameters] for path, each in walk(text)}
    assert found["a.c"] == ["dirac", "zeros"]
    assert found["b.0.c"] == ["ones", "zeros"]
    assert found["b.1.c"] == ["orthogonal", "zeros"]
    assert found["c"] == ["kaiming_normal", "ones"]
    assert trainable_count(plan_of_text(HEAD + text)) == 9 + 12


def walk(text: str) -> list[tuple[str, Step]]:
    return list(plan_of_text(HEAD + text).walk())


def test_free_parameters_and_buffers() -> None:
    text = """
layers:
  a: {op: flatten, start_dim: 2}
  token: {op: Parameter, shape: [1, 3, 1], init: {name: normal, std: 0.02}, batch_like: a}
  scale: {op: Buffer, shape: [1, 3, 1], init: ones}
  b: ReLU
  c: {op: cat, dim: 2, from: [token, b]}
  d: {op: mul, from: [c, scale]}
"""
    assert step(text, "b").inputs == (Ref("a"),)  # not the tensors in between
    assert step(text, "token").output == TensorSpec((-1, 3, 1))
    assert step(text, "scale").output == TensorSpec((1, 3, 1))
    assert parameter_count(plan_of_text(HEAD + text)) == 3


def test_libraries_are_scoped_to_their_files(tmp_path: Path) -> None:
    (tmp_path / "inner.yaml").write_text("blocks: {Deep: {layers: [ReLU]}}")
    (tmp_path / "lib.yaml").write_text(
        "use: inner.yaml\nblocks: {Own: {layers: [Deep]}, Same: {layers: [Own, {op: BatchNorm2d}]}}"
    )
    (tmp_path / "net.yaml").write_text(HEAD + "use: [lib.yaml]\nblocks: {Own: {layers: [GELU]}}\nlayers: [Same, Own]")
    diagnostics = Diagnostics()
    document = load(tmp_path / "net.yaml", diagnostics)
    assert document is not None
    plan = plan_architecture(document, diagnostics)
    assert plan is not None
    assert [item.code for item in diagnostics] == ["hides-block"]
    assert [each.op for _, each in plan.walk()] == ["Same", "Own", "Deep", "ReLU", "BatchNorm2d", "Own", "GELU"]
    (tmp_path / "net.yaml").write_text(HEAD + "use: lib.yaml\nlayers: [Deep]")
    diagnostics = Diagnostics()
    document = load(tmp_path / "net.yaml", diagnostics)
    assert document is not None
    assert plan_architecture(document, diagnostics) is None  # a library's own libraries stay its own
    assert [item.code for item in diagnostics] == ["unknown-op"]


def test_shipped_architectures_are_libraries_too() -> None:
    text = "use: custom_resnet\nlayers: {a: {op: ConvBnRelu, channels: 4}}"
    assert names(text) == ["a", "a.conv", "a.norm", "a.relu"]


def test_blocks_nest() -> None:
    text = "blocks: {A: {blocks: {B: {layers: [ReLU]}}, layers: [B]}}\nlayers: [A]"
    assert names(text) == ["0", "0.0", "0.0.0"]
    assert codes(HEAD + text.replace("layers: [A]", "layers: [B]")) == ["unknown-op"]


def test_args_hold_arguments_named_like_keys_and_call_the_forwards() -> None:
    text = """
blocks: {B: {params: {when: int}, layers: [ReLU]}}
layers:
  a: {op: B, args: {when: 3}}
  f: {op: flatten, start_dim: 2}
  m: {op: MultiheadAttention, num_heads: 2, batch_first: true, call: {need_weights: false}, from: [f, f, f]}
  o: {op: relu, from: m.0}
"""
    assert step(text, "a").arguments == {"when": 3}
    assert step(text, "m").call == {"need_weights": False}
    assert step(text, "m").arguments["embed_dim"] == 1024
    assert isinstance(step(text, "m").output, tuple)


def test_chains_of_modules_are_sequential_and_nothing_else() -> None:
    def chain(layers: str) -> bool:
        return plan_of_text(HEAD + f"layers: {layers}").root.is_sequential

    assert chain("[ReLU, [ReLU, GELU], {op: ReLU, repeat: 2}]")
    assert not chain("[ReLU, relu]")
    assert not chain("{a: ReLU, b: {op: ReLU, from: input}}")
    assert not chain("{a: ReLU, b: {share: a}}")


@pytest.mark.parametrize(
    ("layers", "others"),
    [
        ("a: GELU, b: {op: ReLU, inplace: true}, c: {op: relu, from: a}, d: {op: add, from: [b, c]}", "c"),
        ("a: GELU, b: {op: ReLU, inplace: true}, d: {op: add, from: [b, b]}", ""),
        (
            "a: GELU, v: {op: flatten, start_dim: 2}, b: {op: ReLU, inplace: true}, "
            "f: {op: flatten, start_dim: 2, from: a}, d: {op: add, from: [b, f]}",
            "d",
        ),
        ("a: {op: GELU}, s: {op: ReLU, when: false}, b: {op: ReLU, inplace: true}, d: {op: add, from: [a, b]}", "d"),
        ("a: {op: GELU}, x: [{op: ReLU, inplace: true}], d: {op: add, from: [a, x]}", "d"),
        ("a: {op: GELU}, b: {op: hardswish, inplace: true}, c: {op: relu, inplace: true}", ""),
        ("a: {op: GELU}, b: {op: relu, inplace: true}, c: {op: relu, inplace: true}", "the"),  # gradient of b
    ],
)
def test_inplace_on_what_someone_else_reads(layers: str, others: str) -> None:
    _, diagnostics = planned(HEAD + f"layers: {{{layers}}}")
    readers = [note.message.split()[0] for item in diagnostics.errors for note in item.notes]
    assert readers == others.split()


def test_the_batch_may_be_moved_and_folded_as_long_as_it_comes_back() -> None:
    text = """
layers:
  a: {op: permute, dims: [1, 0, 2, 3]}
  b: {op: permute, dims: [1, 0, 2, 3]}
  c: {op: reshape, shape: [-1, 3, 16, 32]}
  d: {op: reshape, shape: [-1, 3, 32, 32]}
"""
    found = dict(walk(text))
    assert found["a"].output == TensorSpec((3, -1, 32, 32))
    assert found["c"].output == TensorSpec((-2, 3, 16, 32))
    assert found["d"].output == TensorSpec((-1, 3, 32, 32))


def test_a_size_that_happens_to_be_a_multiple_of_the_planners_batch_is_a_size() -> None:
    plan = plan_of_text("name: n\ninput: [8191, 2, 1]\nlayers: [{op: flatten, start_dim: 1}]")
    assert plan.output == TensorSpec((-1, 16382))


@pytest.mark.parametrize("text", ["name: 3", "doc: [1]", "params: 3", "blocks: [1]", "use: {a: 1}", "init: 3"])
def test_top_level_values_of_the_wrong_kind(text: str) -> None:
    assert "wrong-type" in codes(HEAD.replace("name: net\n", "") + text + "\nlayers: [ReLU]")


@pytest.mark.parametrize(
    ("layers", "fits"),
    [
        ("{p: {op: Parameter, shape: [], init: ones}, b: {op: mul, from: [input, p]}}", True),
        ("[{op: mean, dim: []}]", False),
        ("[{op: LayerNorm, normalized_shape: $none}]", False),
    ],
)
def test_an_empty_list_is_an_argument_like_any_other(layers: str, fits: bool) -> None:
    plan, diagnostics = planned(HEAD + f"params: {{none: []}}\nlayers: {layers}")
    assert (plan is not None) == fits
    assert [item.code for item in diagnostics.errors if "[]" not in item.message] == []


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
