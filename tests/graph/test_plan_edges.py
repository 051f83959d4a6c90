"""What is easily planned wrong: forms that pass, values that vanish, bounds that depend on an order."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.graph.plan_world import HEAD, codes, messages, plan_of_text, planned
from zoo.diagnostics import Diagnostics
from zoo.document import read_file
from zoo.exchange.eject import eject
from zoo.graph import TensorSpec, plan_architecture
from zoo.graph.compile import compile_plan
from zoo.graph.shapes import BATCH


@pytest.mark.parametrize("output", ["[[c]]", "{a: [c]}", "{a: {b: c}}"])
@pytest.mark.parametrize("within", [False, True])
def test_an_output_within_an_output_is_told(output: str, within: bool) -> None:
    body = f"layers: {{c: ReLU}}, output: {output}"
    text = f"blocks: {{B: {{{body}}}}}\nlayers: {{b: B}}" if within else body.replace(", output", "\noutput")
    assert codes(HEAD + text) == ["wrong-type"]


def test_a_doc_and_a_source_with_nothing_behind_them_say_nothing() -> None:
    plan = plan_of_text(f"{HEAD}doc:\nsource:\nlayers: {{c: ReLU}}")
    assert (plan.doc, plan.source) == ("", {})
    assert eject(plan).startswith('"""net\n\n0 parameters')


@pytest.mark.parametrize("every", [1, 30])
def test_blocks_are_too_deep_whatever_is_looked_at_first(every: int) -> None:
    blocks = [f"  B{level}: {{layers: {{a: {f'B{level - 1}' if level else 'ReLU'}}}}}" for level in range(60)]
    layers = [f"  l{level}: B{level}" for level in range(0, 60, every)]
    assert codes("\n".join([f"{HEAD}blocks:", *blocks, "layers:", *layers])) == ["too-deep"]


def test_blocks_as_deep_as_they_may_be_are_planned() -> None:
    blocks = [f"  B{level}: {{layers: {{a: {f'B{level - 1}' if level else 'ReLU'}}}}}" for level in range(31)]
    assert codes("\n".join([f"{HEAD}blocks:", *blocks, "layers: {l: B30}"])) == []


def test_a_free_tensor_that_is_skipped_needs_something_in_its_place() -> None:
    text = "params: {use: false}\nlayers:\n  c: ReLU\n  s: {op: Parameter, shape: [1, 3, 1, 1], when: $use}\n"
    assert codes(f"{HEAD}{text}  m: {{op: mul, from: [c, s]}}") == ["skipped"]


def test_a_share_of_a_share_is_the_first_ones_module() -> None:
    conv = "a: {op: Conv2d, out_channels: 3, kernel_size: 1}"
    plan = plan_of_text(f"{HEAD}layers: {{{conv}, b: {{share: a}}, c: {{share: b}}}}")
    assert [step.share for _, step in plan.walk()] == [None, "a", "a"]


NO_COPIES = "params: {n: 0}\nlayers: {a: ReLU, b: Tanh, s: {op: add, from: [a, b], repeat: $n"


def test_no_copies_of_several_inputs_want_an_else() -> None:
    assert codes(f"{HEAD}{NO_COPIES}}}}}") == ["bad-layer"]
    assert "add else: NAME" in messages(f"{HEAD}{NO_COPIES}}}}}")
    assert codes(f"{HEAD}{NO_COPIES}, else: b}}}}") == []


@pytest.mark.parametrize("first", ["a", "b"])
def test_two_libraries_may_use_one_another(tmp_path: Path, first: str) -> None:
    conv = "{op: Conv2d, out_channels: 4, kernel_size: 1}"
    (tmp_path / "a.yaml").write_text(
        f"use: b.yaml\nblocks:\n  A1: {{layers: {{c: {conv}}}}}\n  A2: {{layers: {{b: B1}}}}\n"
    )
    (tmp_path / "b.yaml").write_text("use: a.yaml\nblocks: {B1: {layers: {a: A1}}}\n")
    (tmp_path / "net.yaml").write_text(
        f"input: [3, 8, 8]\nuse: {first}.yaml\nlayers: {{x: {'A2' if first == 'a' else 'B1'}}}"
    )
    told = Diagnostics()
    document = read_file(tmp_path / "net.yaml", told)
    assert document is not None
    plan = plan_architecture(document, told, folder=tmp_path)
    assert plan is not None, list(told)
    assert [spec.shape for _, step in plan.walk() for spec in step.parameters] == [(4, 3, 1, 1), (4,)]


@pytest.mark.parametrize(
    ("init", "value"),
    [("{'*.weight': zeros, 'Conv2d.weight': ones}", 1.0), ("{'Conv2d.weight': ones, '*.weight': zeros}", 0.0)],
)
def test_of_two_kinds_that_fit_the_last_wins(init: str, value: float) -> None:
    text = f"{HEAD}layers: {{c: {{op: Conv2d, out_channels: 2, kernel_size: 1}}}}\ninit: {init}"
    weight = compile_plan(plan_of_text(text)).get_parameter("c.weight")
    assert torch.equal(weight, torch.full_like(weight, value))


CONV = "op: Conv2d, out_channels: 3, kernel_size: 1"


@pytest.mark.parametrize(
    ("layers", "code"),
    [
        ("{p: {op: Parameter, shape: [1, 3, 1, 1], batch_like: [input]}, m: {op: mul, from: [input, p]}}", "bad-value"),
        (f"{{c: {{{CONV}, freeze: $f}}}}", "wrong-type"),
        (f"{{c: {{{CONV}, freeze: [$f, weight]}}}}", "wrong-type"),
        ("{c: {layers: [ReLU]}, d: {share: c, call: {x: 1}}}", "bad-layer"),
        ("{c: {layers: [ReLU], inputs: []}}", "bad-value"),
        ("{d: {op: DropBlock2d, p: 0.1, block_size: 4}}", "bad-value"),
        ("{b: {op: Bilinear, out_features: 100000, from: [input, input]}}", "bad-value"),
        ("{c: {op: chunk, chunks: 3, dim: 1}, p: {op: Parameter, shape: [1, 4], batch_like: c}}", "bad-value"),
    ],
)
def test_nothing_is_dropped_in_silence(layers: str, code: str) -> None:
    assert code in codes(f"{HEAD}params: {{f: 3}}\nlayers: {layers}")


@pytest.mark.parametrize(
    "layers",
    [
        "{p: {op: Parameter, shape: [3, 1, 1]}, r: {op: relu, from: p, inplace: true}, m: {op: mul, from: [input, r]}}",
        "{p: {op: Buffer, shape: [3, 1, 1]}, r: {op: relu, from: p, inplace: true}, m: {op: mul, from: [input, r]}}",
        "{a: Tanh, c: {op: chunk, chunks: 3, dim: 1}, r: {op: relu, from: c.0, inplace: true}}",
        "{a: Tanh, c: {op: chunk, chunks: 1, dim: 1}, r: {op: relu, from: c.0, inplace: true}}",
        "{a: {op: mean, dim: 1, keepdim: true}, e: {op: expand, size: [-1, 3, 32, 32]}, r: {op: relu, inplace: true}}",
        "{n: {op: vector_norm, dim: 1, keepdim: true}, r: {op: relu, inplace: true}}",
        "{n: {op: pow, from: [input, input]}, r: {op: relu, inplace: true}}",
        "{n: {op: gumbel_softmax, dim: 1}, r: {op: relu, inplace: true}}",
        "{n: {op: PairwiseDistance, keepdim: true, from: [input, input]}, r: {op: relu, inplace: true}}",
    ],
)
def test_what_may_not_be_written_to_is_not_written_to(layers: str) -> None:
    assert "inplace" in codes(f"{HEAD}layers: {layers}")
    assert "inplace" not in codes(f"{HEAD}layers: {layers.replace(', inplace: true', '')}")


@pytest.mark.parametrize("op", ["{op: gumbel_softmax, dim: 1, hard: true}", "{op: pow, exponent: 3}"])
def test_a_hard_choice_and_a_fixed_power_are_written_to(op: str) -> None:
    layers = f"{{n: {op}, r: {{op: relu, inplace: true}}}}"
    assert codes(f"{HEAD}layers: {layers}") == []


def test_a_view_that_stands_alone_is_written_to() -> None:
    assert (
        codes(f"{HEAD}layers: {{a: {{{CONV}}}, f: {{op: flatten, start_dim: 1}}, r: {{op: relu, inplace: true}}}}")
        == []
    )


def test_a_faulty_param_has_no_echo() -> None:
    text = f"{HEAD}params: {{n: {{default: 2, max: abc}}}}\nlayers: {{m: {{op: mul, other: $n}}}}"
    assert set(codes(text)) == {"wrong-type"}


@pytest.mark.parametrize(
    ("param", "is_right"),
    [
        ("{type: int, default: null}", True),
        ("{default: 1, type: int, choices: [1, null]}", True),
        ("{default: 1, choices: [1, 2]}", False),
        ("{default: 1}", False),
    ],
)
def test_null_is_a_value_of_the_params_that_say_so(param: str, is_right: bool) -> None:
    block = f"blocks: {{B: {{params: {{n: {param}}}, layers: {{r: {{op: ReLU, when: '$(n != 7)'}}}}}}}}"
    assert codes(f"{HEAD}{block}\nlayers: {{b: {{op: B, n: null}}}}") == ([] if is_right else ["wrong-type"])


def test_choices_are_told_as_yaml_writes_them() -> None:
    text = f"{HEAD}params: {{n: {{default: x, choices: [x, null, true]}}}}\nlayers: {{r: {{op: ReLU, inplace: $n}}}}"
    _, told = planned(text, params={"n": "y"})
    assert "n: expected one of 'x', null, true, got 'y'" in next(iter(told)).message


def test_names_of_inputs_are_told_where_they_stand() -> None:
    _, told = planned("input: {x: [3, 4, 4], 'type': [3, 4, 4]}\nlayers: {a: {op: add, from: [x, type]}}")
    assert str(next(iter(told)).span) == "my_net.yaml:1:23"


@pytest.mark.parametrize("name", ["_", "-"])
def test_a_layer_may_be_called_as_what_nobody_reads_is(name: str) -> None:
    conv = "{op: Conv2d, from: input, out_channels: 3, kernel_size: 1}"
    plan = plan_of_text(f'{HEAD}layers: {{"{name}": {conv}, junk: {conv}, last: {{op: relu, from: "{name}"}}}}')
    module, images = compile_plan(plan), torch.randn(2, 3, 32, 32)
    assert torch.equal(module(images), torch.relu(module.get_submodule(name)(images)))


@pytest.mark.parametrize(("name", "is_free"), [("zoo_plan", False), ("_zoo_source", True), ("zoo", True)])
def test_a_layer_takes_no_name_that_a_compiled_network_needs(name: str, is_free: bool) -> None:
    text = f"{HEAD}layers: {{{name}: {{op: Conv2d, out_channels: 3, kernel_size: 1}}, last: relu}}"
    assert codes(text) == ([] if is_free else ["bad-name"])
    if is_free:
        assert compile_plan(plan_of_text(text))(torch.randn(1, 3, 32, 32)).shape == (1, 3, 32, 32)


@pytest.mark.parametrize("order", [("conv", "again", "again_0"), ("again_0", "conv", "again")])
def test_runs_of_a_shared_layer_take_no_name_of_another(order: tuple[str, ...]) -> None:
    conv = "{op: Conv2d, out_channels: 3, kernel_size: 1}"
    layers = {"conv": conv, "again": "{share: conv, repeat: 2}", "again_0": conv}
    text = ", ".join(f"{name}: {layers[name]}" for name in order)
    assert codes(f"{HEAD}layers: {{{text}}}") == ["duplicate-name"]
    assert codes(f"{HEAD}layers: {{{text.replace('again_0', 'other')}}}") == []


def test_a_free_tensor_that_torch_could_not_count_is_told() -> None:
    layers = "{w: {op: Parameter, shape: [16777216, 16777216, %d]}, a: {op: relu, from: input}}"
    assert codes(f"{HEAD}layers: {layers % 4096}") == ["too-large"]
    assert codes(f"{HEAD}layers: {layers % 4095}") == ["unused-layer"]
    assert compile_plan(plan_of_text(f"{HEAD}layers: {layers % 4095}"), device="meta").w.dim() == 3


def test_a_number_without_dimensions_has_no_batch_to_expand_to() -> None:
    layers = "{p: {op: Parameter, shape: []}, q: {op: Parameter, shape: [1, 4], batch_like: p}, r: ReLU}"
    _, told = planned(f"{HEAD}layers: {layers}")
    assert [item.message for item in told.errors] == ["Parameter: p has no dimension to take the batch from"]


def test_a_parameter_as_long_as_the_batch_that_shapes_are_found_with_is_no_batch() -> None:
    layers = f"w: {{op: Parameter, shape: [{BATCH}, 3]}}\n  v: {{op: neg, from: w}}"
    text = f"input: [3]\nlayers:\n  {layers}\n  y: {{op: linear, from: [input, v]}}"
    assert plan_of_text(text).output == TensorSpec((-1, BATCH))
    assert codes(f"input: [3]\nlayers:\n  {layers}") == ["batch-mixed"]


def test_what_cannot_be_a_file_is_none() -> None:
    name = "x" * 300
    assert codes(f"{HEAD}use: {name}\nlayers: [ReLU]") == ["no-such-library"]


def test_a_chain_of_libraries_has_an_end(tmp_path: Path) -> None:
    for number in range(400):
        (tmp_path / f"l{number}.yaml").write_text(
            f"use: l{number + 1}.yaml\nblocks: {{B{number}: {{layers: [relu]}}}}\n"
        )
    (tmp_path / "l400.yaml").write_text("blocks: {C: {layers: [relu]}}\n")
    net = tmp_path / "net.yaml"
    for first, due in [(0, ["too-deep"]), (337, [])]:
        net.write_text(f"input: [8]\nuse: l{first}.yaml\nlayers: {{a: B{first}}}\n")
        told = Diagnostics()
        document = read_file(net, told)
        assert document is not None
        plan_architecture(document, told, folder=tmp_path)
        assert [item.code for item in told] == due


def test_files_come_in_the_order_in_which_they_are_spoken_of(tmp_path: Path) -> None:
    (tmp_path / "a_blocks.yaml").write_text("blocks: {A: {layers: {c: {op: Linear, out_features: 3, bais: true}}}}\n")
    net = tmp_path / "net.yaml"
    net.write_text("input: [8]\nuse: a_blocks.yaml\nlayers: {l: {op: Linear, out_featurs: 2}, a: A}\n")
    told = Diagnostics()
    document = read_file(net, told)
    assert document is not None
    plan_architecture(document, told, folder=tmp_path)
    files = [Path(item.span.file).name for item in told if item.span]
    assert files == sorted(files, reverse=True), "net.yaml, then what it uses"
