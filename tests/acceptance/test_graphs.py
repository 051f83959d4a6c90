"""Graphs that do not hold together, from the command line: rows 1, 3 to 8, 17 and 19 of the acceptance."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import Zoo
from tests.conftest import CheckGolden

HEAD = "name: net\ninput: [3, 32, 32]\n"
BAD: dict[str, str] = {
    "unknown_op": HEAD + "layers: {a: {op: Conv2, out_channels: 4, kernel_size: 3}, b: Linaer, c: softmaxx}\n",
    "shapes": HEAD
    + """layers:
  prep: {op: Conv2d, out_channels: 64, kernel_size: 3, padding: 1}
  pool: {op: MaxPool2d, kernel_size: 2}
  add: {op: add, from: [pool, prep]}
  flat: {op: flatten, start_dim: 1, from: pool}
  fc: {op: Linear, in_features: 512, out_features: 10}
  sum: {op: cat, dim: 1, from: [add, fc]}
""",
    "cycle": HEAD + "layers:\n  a: {op: relu, from: c}\n  b: {op: relu, from: a}\n  c: {op: relu, from: b}\n",
    "undefined": HEAD
    + "layers:\n  stem: ReLU\n  head: {op: relu, from: stme}\n  tail: {op: add, from: [haed, stem]}\n",
    "channels": HEAD
    + "layers:\n"
    + "".join(
        f"  c{i}: {{op: Conv2d, out_channels: {value}, kernel_size: 1, from: input}}\n"
        for i, value in enumerate(["0", "-1", "true", "1.5", "'8'", "[8]", "null"])
    )
    + "  g: {op: Conv2d, out_channels: 8, kernel_size: 1, groups: 2, from: input}\n",
    "expressions": HEAD
    + "layers:\n"
    + "".join(
        f"  e{i}: {{op: Conv2d, out_channels: '{text}', kernel_size: 1, from: input}}\n"
        for i, text in enumerate(["$(9**9**9)", "$(().__class__)", "$(7 / 2)", "$(widht)", "$(1 +)"])
    ),
    "too_many_copies": HEAD + "layers: [{op: ReLU, repeat: 1000000000}]\n",
    "too_many_layers": HEAD
    + "blocks:\n"
    + "".join(f"  B{i}: {{layers: [{{op: {f'B{i + 1}' if i < 3 else 'ReLU'}, repeat: 1000}}]}}\n" for i in range(4))
    + "layers: [B0]\n",
    "too_wide": HEAD + "layers: [{op: flatten, start_dim: 1}, {op: Linear, out_features: 1000000000000}]\n",
}


@pytest.mark.parametrize("name", BAD)
def test_messages(name: str, here: Path, zoo: Zoo, golden: CheckGolden) -> None:
    (here / "my_net.yaml").write_text(BAD[name])
    began = time.process_time()
    outcome = zoo("check", "my_net.yaml")
    assert time.process_time() - began < 2
    assert (outcome.status, outcome.out) == (2, "")
    golden(f"graph_{name}.txt", outcome.err)


def test_an_expression_of_100_kb_ends_at_once(here: Path, zoo: Zoo) -> None:
    text = "$(" + "1+" * 50_000 + "1)"
    (here / "my_net.yaml").write_text(HEAD + f"layers:\n  a: {{op: Conv2d, kernel_size: 1, out_channels: {text}}}\n")
    began = time.process_time()
    outcome = zoo("check", "my_net.yaml")
    assert time.process_time() - began < 1
    assert outcome.status == 2
    assert "error[expression-too-large]: an expression of 100,004 characters" in outcome.err
    assert "my_net.yaml:4:" in outcome.err


@pytest.mark.parametrize("length", [1, 2, 3, 7, 40])
def test_the_whole_of_a_generated_cycle_is_named(length: int, here: Path, zoo: Zoo) -> None:
    order = [f"n{i}" for i in range(length)]
    random.Random(length).shuffle(order)
    reads = {name: order[(i + 1) % length] for i, name in enumerate(order)}
    lines = [f"  {name}: {{op: relu, from: {reads[name]}}}" for name in sorted(order)]
    (here / "my_net.yaml").write_text(HEAD + "layers:\n  stem: ReLU\n" + "\n".join(lines) + "\n")
    outcome = zoo("check", "my_net.yaml", "--json")
    assert outcome.status == 2
    (message,) = [item for item in json.loads(outcome.out) if item["code"] == "cycle"]
    named = message["message"].partition(": ")[2].split(" -> ")
    assert named[0] == named[-1]
    assert sorted(named[:-1]) == sorted(order)
    assert [reads[name] for name in named[:-1]] == named[1:]  # and in the order in which they read
    lines_told = {message["line"], *(note["line"] for note in message["notes"])}
    assert lines_told == {5 + sorted(order).index(name) for name in order}


def test_an_unused_layer_is_a_warning_and_under_strict_an_error(here: Path, zoo: Zoo, golden: CheckGolden) -> None:
    text = "layers:\n  stem: ReLU\n  side: ReLU\n  skipped: {op: add, from: [stem, side], when: false, else: stem}\n"
    (here / "my_net.yaml").write_text(HEAD + text)
    lax, strict = zoo("check", "my_net.yaml"), zoo("check", "my_net.yaml", "--strict")
    assert (lax.status, strict.status) == (0, 2)
    golden("graph_unused.txt", lax.err)
    assert zoo("summary", "my_net.yaml").status == 0
    assert zoo("summary", "my_net.yaml", "--strict").status == 2


FLAT = "layers:\n  f: {op: flatten, start_dim: 1}\n  l: {op: Linear, out_features: 8}\n"
AFTER: dict[str, tuple[str, int]] = {  # what stands behind the two layers, and how many softmaxes show through
    "at_the_end": ("  s: {op: Softmax, dim: 1}\n", 1),
    "function": ("  s: {op: softmax, dim: 1}\n", 1),
    "flatten_identity": ("  s: {op: Softmax, dim: 1}\n  i: Identity\n  g: {op: flatten, start_dim: 1}\n", 1),
    "branches": (
        "  s: {op: Softmax, dim: 1}\n  m: {op: Linear, out_features: 8, from: f}\n  t: {op: softmax, dim: 1}\n"
        "  j: {op: cat, dim: 1, from: [s, t]}\n  d: Dropout\n",
        2,
    ),
    "skipped_behind": ("  s: {op: Softmax, dim: 1}\n  r: {op: ReLU, when: false}\n", 1),
    "attention_within": ("  s: {op: Softmax, dim: 1}\n  p: {op: Linear, out_features: 8}\n", 0),  # the control
    "none": ("  s: {op: relu}\n", 0),
}


@pytest.mark.parametrize("name", AFTER)
def test_a_softmax_before_the_cross_entropy(name: str, here: Path, zoo: Zoo) -> None:
    text, number = AFTER[name]
    (here / "my_net.yaml").write_text(HEAD + FLAT + text)
    lax, strict = zoo("check", "my_net.yaml", "--json"), zoo("check", "my_net.yaml", "--strict")
    assert (lax.status, strict.status) == (0, 2 if number else 0)
    told = [item for item in json.loads(lax.out) if item["code"] == "softmax-before-loss"]
    lines = [6, 8] if number == 2 else [6]
    assert [item["line"] for item in told] == lines[:number]
    assert all(item.startswith("error[") for item in strict.err.split("\n\n")[:number])


def test_a_softmax_within_a_block_and_under_a_recipe(here: Path, zoo: Zoo, golden: CheckGolden) -> None:
    block = "blocks:\n  Head:\n    layers: [{op: Linear, out_features: 10}, {op: Softmax, dim: 1}, Identity]\n"
    (here / "my_net.yaml").write_text("name: n\ninput: [1, 8, 8]\n" + block + "layers: [{op: Flatten}, Head]\n")
    recipe = (
        "model: {architecture: my_net.yaml}\ndata: {source: digits}\noptimizer: {name: SGD, lr: 0.1}\n"
        "loss: {name: CrossEntropyLoss}\ntrain: {epochs: 1}\n"
    )
    (here / "mine.yaml").write_text(recipe)
    assert zoo("check", "mine.yaml").status == 0
    strict = zoo("check", "mine.yaml", "--strict")
    assert strict.status == 2
    golden("graph_softmax_in_a_recipe.txt", strict.err)
    assert zoo("run", "mine.yaml", "--strict", "--dry-run").status == 2
    (here / "mine.yaml").write_text(recipe.replace("CrossEntropyLoss", "MultiMarginLoss"))
    assert zoo("check", "mine.yaml", "--strict").status == 0  # another loss does not contain one
