"""What architectures can say, one sentence of the language at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.graph.plan_world import HEAD, codes, parameter_count, plan_of_text, planned, trainable_count
from zoo.diagnostics import Diagnostics
from zoo.document import load
from zoo.graph import Ref, Step, TensorSpec, plan_architecture

CONV = "op: Conv2d, kernel_size: 1, out_channels"


def names(text: str) -> list[str]:
    """The paths of all steps."""
    return [path for path, _ in plan_of_text(HEAD + text).walk()]


def step(text: str, path: str) -> Step:
    return dict(plan_of_text(HEAD + text).walk())[path]


@pytest.mark.parametrize(("layer", "told"), [("ReLU", ["idle-freeze"]), ("BatchNorm2d", [])])
def test_a_freeze_that_freezes_nothing_is_told(layer: str, told: list[str]) -> None:
    assert codes(HEAD + f"layers: {{a: {{op: {layer}, freeze: true, repeat: 2}}}}") == told


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


@pytest.mark.parametrize("wires", ["[x, y, y]", "{lo: y, hi: x, by: y}"])
def test_outputs_of_a_copy_go_to_the_inputs_of_the_next_that_bear_their_names(wires: str) -> None:
    text = f"""
blocks:
  Two:
    inputs: [hi, lo, by]
    layers:
      a: {{{CONV}: 8, from: hi}}
      b: {{{CONV}: 4, from: lo}}
      c: {{op: add, from: [b, by]}}
    output: {{lo: c, hi: a}}
layers:
  x: {{{CONV}: 8}}
  y: {{{CONV}: 4}}
  h: {{op: Two, from: {wires}, repeat: 3}}
"""
    assert step(text, "h.2").inputs == (Ref("1", ("hi",)), Ref("1", ("lo",)), Ref("input2"))


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
    ("read", "message", "help"),
    [
        ("$(t.channels)", "t has several outputs", "pick one: t.left.channels"),
        ("$t.left.channels", None, None),
        ("$m.1.features", "m.1 gives nothing here", None),
    ],
)
def test_a_size_of_several_outputs_or_of_none(read: str, message: str | None, help: str | None) -> None:
    three = "input, input, input"
    text = f"""
input: [4, 8]
blocks:
  Two:
    layers: {{a: {{op: relu}}, b: {{op: tanh, from: input}}}}
    output: {{left: a, right: b}}
layers:
  t: {{op: Two}}
  m: {{op: MultiheadAttention, num_heads: 2, batch_first: true, call: {{need_weights: false}}, from: [{three}]}}
  last: {{op: Linear, out_features: {read}, from: input}}
output: {{last: last, t: t, m: m.0}}
"""
    found = planned(text)[1].errors
    assert [(item.message, item.help) for item in found] == ([] if message is None else [(message, help)])
