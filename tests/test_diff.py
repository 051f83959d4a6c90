"""Differences of plans, documents and plain data, with their places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from zoo.diagnostics import Diagnostics, Span
from zoo.diff import diff_data, diff_documents, diff_plans, text
from zoo.document import Mapping, read_text
from zoo.graph import Init, ParameterSpec, Plan, Ref, Step, TensorSpec, plan_architecture

ONE = """
input: [3, 8, 8]
layers:
  conv: {op: Conv2d, out_channels: 4, kernel_size: 3}
  relu: ReLU
  pool: {op: adaptive_avg_pool2d, output_size: 1}
"""


def document(source: str, name: str = "one.yaml") -> Mapping:
    found = read_text(source, Diagnostics(), name=name)
    assert found is not None
    return found


def plan(source: str, name: str = "one.yaml") -> Plan:
    diagnostics = Diagnostics()
    found = plan_architecture(document(source, name), diagnostics)
    assert found is not None, [item.message for item in diagnostics]
    return found


def test_a_plan_does_not_differ_from_itself() -> None:
    assert diff_plans(plan(ONE), plan(ONE)) == []


def test_layers_added_removed_and_changed() -> None:
    two = ONE.replace("out_channels: 4", "out_channels: 6").replace("  relu: ReLU\n", "  act: GELU\n")
    changes = {change.path: change for change in diff_plans(plan(ONE), plan(two, "two.yaml"))}
    assert {path: change.kind for path, change in changes.items()} == {
        "conv": "changed",
        "relu": "removed",
        "act": "added",
        "pool": "changed",  # it reads another layer and gives more channels
    }
    assert "112 parameters" in changes["conv"].before
    assert "168 parameters" in changes["conv"].after
    assert changes["conv"].after_place.startswith("two.yaml:4:")


def test_values_of_documents_with_places() -> None:
    changes = diff_documents(
        document("train: {epochs: 3}\nreports: [curves]\n"), document("train: {epochs: 4}\nreports: []\n", "b.yaml")
    )
    assert [(change.path, change.kind, change.before, change.after) for change in changes] == [
        ("train.epochs", "changed", 3, 4),
        ("reports", "changed", ["curves"], []),
    ]
    assert (changes[0].before_place, changes[0].after_place) == ("one.yaml:1:17", "b.yaml:1:17")


@pytest.mark.parametrize(("before", "after"), [(1, True), (0, False), (1, 1.0)])
def test_equal_in_python_is_not_always_equal(before: object, after: object) -> None:
    changes = diff_data({"x": before}, {"x": after})
    assert len(changes) == (1 if isinstance(after, bool) else 0)


def test_the_text_of_a_difference(golden: Callable[[str, str], None]) -> None:
    two = ONE.replace("out_channels: 4", "out_channels: 6").replace("  relu: ReLU\n", "  act: GELU\n")
    golden("diff.txt", text(diff_plans(plan(ONE), plan(two, "two.yaml"))) + "\n")


def test_figures_stand_in_columns_and_only_the_classes_that_differ_most(golden: Callable[[str, str], None]) -> None:
    accuracies = {"cat": 0.75, "犬": 0.5, "dog": 0.45, "ewe": 0.125, "fox": 0.5, "elk": 1.0}
    before = {"seconds": {"train": 60.5}, "epochs": 3, "test": {"accuracy": 0.5, "loss": 1e-5, "per_class": accuracies}}
    others = {"cat": 0.25, "犬": 0.875, "dog": 0.5, "ewe": 0.425, "fox": 0.5, "elk": 0.98}
    after = {"seconds": {"train": 9}, "epochs": 4, "test": {"accuracy": 0.75, "loss": None, "per_class": others}}
    golden("figures.txt", text(diff_data(before, after)) + "\n")


def test_two_runs_have_settings_results_and_network_in_this_order(golden: Callable[[str, str], None]) -> None:
    layers = "".join(f"  conv{number}: {{op: Conv2d, out_channels: $w, kernel_size: 1}}\n" for number in range(8))
    nets = [plan(f"input: [3, 8, 8]\nparams: {{w: {width}}}\nlayers:\n{layers}", "net.yaml") for width in (4, 6)]
    recipes = [document(f"optimizer: {{name: SGD, lr: {lr}}}\n", f"{lr}.yaml") for lr in (0.1, 0.2)]
    classes = {f"class {number}": number / 10 for number in range(6)}
    test = {"accuracy": 0.5, "accuracy_interval": [0.25, 0.75], "per_class": classes}
    other = {"accuracy": 0.75, "accuracy_interval": [0.5, 0.875], "per_class": {"cat": 1.0, "class 5": 0.125}}
    results = [{"result.test": test, "result.params": 11173962}, {"result.test": other, "result.params": 1}]
    changes = [*diff_plans(*nets), *diff_data(*results), *diff_documents(*recipes)]
    golden("diff_of_runs.txt", text(changes) + "\n")
    assert text(changes[:8]).count("~ conv") == 8  # a network by itself is told whole


WIRED = """
name: wired
input: {image: [4, 6, 6], mask: [4, 6, 6]}
blocks:
  Gate:
    inputs: [x, gate]
    layers:
      open: {op: sigmoid, from: gate}
      mixed: {op: mul, from: [x, open]}
    output: {mixed: mixed, open: open}
layers:
  a: {op: Conv2d, from: image, out_channels: 4, kernel_size: 1}
  b: {op: Conv2d, from: image, out_channels: 4, kernel_size: 1}
  gated: {op: Gate, from: [a, mask]}
  again: {share: a, from: gated.mixed}
  bias: {op: Parameter, shape: [1, 4, 6, 6], batch_like: a}
  flat: {op: flatten, from: again, start_dim: 2}
  attn: {op: MultiheadAttention, from: [flat, flat, flat], num_heads: 2, batch_first: true, call: {need_weights: false}}
  sum: {op: add, from: [a, bias]}
output: [sum, b]
"""


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ("share: a", "share: b", "again"),
        ("output: [sum, b]", "output: [b, sum]", "network output"),
        ("output: [sum, b]", "output: {one: sum, two: b}", "network output"),
        ("{mixed: mixed, open: open}", "{mixed: open, open: mixed}", "gated"),
        ("inputs: [x, gate]", "inputs: [gate, x]", "gated"),
        ("{image: [4, 6, 6], mask: [4, 6, 6]}", "{mask: [4, 6, 6], image: [4, 6, 6]}", "input image"),
        ("need_weights: false", "need_weights: true", "attn"),
        ("batch_like: a", "batch_like: b", "bias"),
        ("b: {", "b: {freeze: true, ", "b"),
        ("b: {", "b: {freeze: [bias], ", "b"),
        ("b: {", "b: {init: {weight: zeros}, ", "b"),
        ("name: wired", "name: wired\ninit: {Conv2d.weight: zeros}", "a"),
        ("batch_like: a", "batch_like: a, init: {name: uniform}", "bias"),
    ],
)
def test_what_makes_another_network_is_told(before: str, after: str, path: str) -> None:
    other = WIRED.replace(before, after)
    assert other != WIRED
    assert path in [change.path for change in diff_plans(plan(WIRED), plan(other))]


# Of a step's fields: another value, which the comparison must tell; or, in words, why it need not.
SPAN = Span("other.yaml", 1, 1, 1, 2)
STEP_FIELDS: dict[str, Any] = {
    "name": "other",
    "kind": "op tells it: no two kinds have an op of one name, and a block's bears no brackets",
    "op": "ConvTranspose2d",
    "arguments": {"out_channels": 4},
    "inputs": (Ref("mask"),),
    "output": TensorSpec((-1, 1)),
    "span": "it is the place beside the difference",
    "named_inputs": {"input": Ref("mask")},
    "call": {"need_weights": False},
    "parameters": (),
    "body": "its steps are compared as lines of their own, its inputs and outputs in the cases above",
    "share": "b",
    "batch_like": Ref("mask"),
}
PARAMETER_FIELDS: dict[str, Any] = {
    "name": "op tells it: it is the layer's own",
    "shape": (5, 4, 1, 1),
    "is_buffer": "op tells it",
    "trainable": False,
    "init": Init("zeros", {}, SPAN),
    "owner": "op tells it",
}


def test_every_field_that_makes_another_network_is_compared() -> None:
    one = plan(WIRED)
    first = one.root.steps[0]
    assert set(STEP_FIELDS) == {field.name for field in fields(Step)}
    assert set(PARAMETER_FIELDS) == {field.name for field in fields(ParameterSpec)}
    others = [replace(first, **{name: value}) for name, value in STEP_FIELDS.items() if not _is_reason(value)]
    others += [
        replace(first, parameters=(replace(first.parameters[0], **{name: value}), *first.parameters[1:]))
        for name, value in PARAMETER_FIELDS.items()
        if not _is_reason(value)
    ]
    for other in others:
        assert diff_plans(one, replace(one, root=replace(one.root, steps=(other, *one.root.steps[1:])))), other


def _is_reason(value: Any) -> bool:
    return isinstance(value, str) and " " in value


def test_a_free_tensor_of_zeros_is_as_usual() -> None:
    text = "input: [3, 8, 8]\nlayers: {p: {op: Parameter, shape: [3, 1, 1]%s}, a: {op: add, from: [input, p]}}"
    assert diff_plans(plan(text % ""), plan(text % ", init: zeros")) == []
    assert diff_plans(plan(text % ""), plan(text % ", init: ones")) != []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "{op: Conv2d, out_channels: 4, kernel_size: 3}",
            "{op: Conv2d, out_channels: 4, kernel_size: [3, 3], stride: 1}",
        ),
        ("{op: AvgPool2d, kernel_size: 2}", "{op: AvgPool2d, kernel_size: 2, stride: 2}"),
        ("{op: AdaptiveAvgPool2d, output_size: 1}", "{op: AdaptiveAvgPool2d, output_size: [1, 1]}"),
    ],
)
def test_what_is_written_otherwise_is_no_difference(one: str, other: str) -> None:
    text = "input: [3, 8, 8]\nlayers: {a: %s}"
    assert diff_plans(plan(text % one), plan(text % other)) == []
