"""Generated architectures: a plan is what the module is, every cycle is told whole, no bound is passed in silence."""

from __future__ import annotations

import re
import sys
import time
from types import FrameType

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.graph.plan_world import HEAD, codes, parameter_count, plan_of_text, planned, trainable_count
from zoo.diagnostics import render
from zoo.graph import TensorSpec, Value, compile_plan

LAYERS = (
    "ReLU",
    "relu",
    "BatchNorm2d",
    "{op: BatchNorm2d, freeze: true}",
    "{op: Conv2d, out_channels: WIDTH, kernel_size: 3, padding: 1}",
    "{op: Conv2d, out_channels: $(BEFORE.channels + 1), kernel_size: 1, bias: false}",
    "{op: Conv2d, out_channels: WIDTH, kernel_size: 3, stride: 2, padding: 1}",
    "{op: MaxPool2d, kernel_size: 2, ceil_mode: true}",
    "{op: cat, from: [BEFORE, BEFORE], dim: 1}",
    "{op: add, from: [BEFORE, BEFORE]}",
    "{op: mul, other: 0.5}",
    "{op: Block, width: WIDTH}",
    "{op: Block, width: WIDTH, repeat: 2, first: {width: 3}}",
    "{op: Block, width: $(i + 1), repeat: 3, when: $(i != 1)}",
    "{op: Conv2d, out_channels: WIDTH, kernel_size: 1, when: $(BEFORE.channels > 4)}",
    "[ReLU, {op: Conv2d, out_channels: WIDTH, kernel_size: 1}]",
)
BLOCKS = """
blocks:
  Block:
    params: {width: int}
    layers:
      a: {op: Conv2d, out_channels: $width, kernel_size: 1}
      b: {op: Conv2d, out_channels: $width, kernel_size: 1, from: input, freeze: [bias]}
      c: {op: add, from: [a, b]}
"""


@st.composite
def architectures(draw: st.DrawFn) -> str:
    """A valid network of up to eight layers, each reading one above, all joined at the end."""
    lines, names = [], ["input"]
    for number in range(draw(st.integers(1, 8))):
        before, width = draw(st.sampled_from(names)), draw(st.integers(1, 6))
        text = draw(st.sampled_from(LAYERS)).replace("BEFORE", before).replace("WIDTH", str(width))
        if "from:" not in text:
            text = f"{{op: {text}}}" if text.isalnum() else text
            text = f"{{layers: {text}}}" if text.startswith("[") else text
            text = f"{text[:-1]}, from: {before}}}"
        lines.append(f"  l{number}: {text}")
        names.append(f"l{number}")
    pooled = [f"  p{i}: {{op: adaptive_avg_pool2d, output_size: 1, from: {name}}}" for i, name in enumerate(names)]
    join = f"  join: {{op: cat, dim: 1, from: [{', '.join(f'p{i}' for i in range(len(names)))}]}}"
    return "\n".join([HEAD, BLOCKS, "layers:", *lines, *pooled, join, "  flat: {op: flatten, start_dim: 1}"])


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(architectures())
def test_shapes_and_counts_are_the_modules(text: str) -> None:
    plan = plan_of_text(text)
    module = compile_plan(plan, device="cpu").eval()
    assert parameter_count(plan) == sum(parameter.numel() for parameter in module.parameters())
    assert trainable_count(plan) == sum(p.numel() for p in module.parameters() if p.requires_grad)
    shapes: dict[str, Value] = {path: step.output for path, step in plan.walk() if step.kind in ("module", "block")}
    seen = {}
    for name, inner in module.named_modules():
        inner.register_forward_hook(lambda _, __, out, name=name: seen.__setitem__(name, out.shape))
    with torch.no_grad():
        out = module(torch.zeros(2, 3, 32, 32))
    assert isinstance(plan.output, TensorSpec)
    assert tuple(out.shape) == (2, *plan.output.shape[1:])
    for path, spec in shapes.items():
        assert isinstance(spec, TensorSpec)
        assert tuple(seen[path]) == (2, *spec.shape[1:]), path


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 8), st.randoms(use_true_random=False))
def test_cycles_are_told_whole(length: int, random: object) -> None:
    """A ring of layers in any order: every one of them and the line of each reading is in the one message."""
    order = list(range(length))
    random.shuffle(order)  # type: ignore[attr-defined]
    lines = [f"  l{at}: {{op: relu, from: l{(at + 1) % length}}}" for at in order]
    _, diagnostics = planned("\n".join([HEAD + "layers:", "  first: ReLU", *lines]))
    (cycle,) = [item for item in diagnostics if item.code == "cycle"]
    assert not [item for item in diagnostics.errors if item.code not in ("cycle", "forward-reference")]
    assert set(cycle.message.removeprefix("a cycle: ").split(" -> ")) == {f"l{at}" for at in order}
    assert cycle.span is not None
    told = {cycle.span.line, *(note.span.line for note in cycle.notes if note.span)}
    assert told == {5 + index for index in range(length)}


def tower(height: int, layers: str) -> str:
    """Blocks that each call the one before."""
    blocks = "".join(f"  A{i}: {{layers: {layers.format(i - 1)}}}\n" for i in range(1, height))
    return f"blocks:\n  A0: {{layers: [ReLU]}}\n{blocks}layers: [A{height - 1}]"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("layers: [{op: ReLU, repeat: 1000000000}]", "too-large"),
        ("blocks: {A: {layers: [{op: ReLU, repeat: 200}]}}\nlayers: [{op: A, repeat: 200}]", "too-large"),
        (tower(30, "[A{0}, A{0}]"), "too-large"),
        (tower(30, "{{a: A{0}, b: {{share: a}}}}"), "too-large"),
        (tower(2000, "[A{0}]"), "too-deep"),
        ("layers: [{op: flatten, start_dim: 1}, {op: Linear, out_features: 1000000000000}]", "bad-value"),
    ],
    ids=["repeat 1e9", "repeats in repeats", "doubling blocks", "and shares", "blocks in blocks", "1e12 parameters"],
)  # fmt: skip
def test_bounds_are_told_at_once(text: str, code: str) -> None:
    codes(HEAD + "layers: [ReLU]")  # torch's own imports apart
    start = time.process_time()
    assert codes(HEAD + text) == [code]
    assert time.process_time() - start < 2


def test_counts_beyond_any_machine_are_exact() -> None:
    text = "layers: [{op: flatten, start_dim: 1}, {op: Linear, out_features: 16000000, bias: false, repeat: 2}]"
    text = text.replace(", repeat: 2", "") + "\noutput: 1"
    two = text.replace("}]", "}, {op: Linear, out_features: 16000000}]").replace("output: 1", "output: 2")
    assert parameter_count(plan_of_text(HEAD + text)) == 3072 * 16_000_000
    assert parameter_count(plan_of_text(HEAD + two)) == 3072 * 16_000_000 + 16_000_001 * 16_000_000


def test_a_thousand_layers_are_planned_within_two_seconds() -> None:
    lines = [
        f"  c{i}: {{op: Conv2d, out_channels: {16 + i % 7}, kernel_size: 3, padding: 1}}\n  r{i}: ReLU\n"
        for i in range(500)
    ]
    plan_of_text(HEAD + "layers: [{op: Conv2d, out_channels: 3, kernel_size: 1}, ReLU]")
    start = time.process_time()
    plan = plan_of_text(HEAD + "layers:\n" + "".join(lines))
    assert time.process_time() - start < 2
    assert len(plan.root.steps) == 1000


def calls_in_planning(text: str) -> int:
    """How many Python functions, generators counted at each step, are entered: the same on any machine."""
    count = 0

    def seen(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(seen)
    try:
        plan_of_text(text)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("layer", ["ReLU", "[ReLU, ReLU]"])
def test_the_work_of_planning_grows_as_the_network_does(layer: str) -> None:
    texts = [HEAD + "layers:\n" + "".join(f"  l{i}: {layer}\n" for i in range(number)) for number in (1, 150, 300)]
    _, one, two = map(calls_in_planning, texts)
    assert two < 2.1 * one


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(architectures(), st.data())
def test_any_change_of_a_character_is_a_plan_or_a_message(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    char = data.draw(st.sampled_from("abl01.:,{}[]$()-+*\"'# \n"))
    plan, diagnostics = planned(text[:at] + char + text[at + data.draw(st.integers(0, 3)) :])
    assert (plan is None) == bool(diagnostics.errors)
    for item in diagnostics:
        assert item.span is not None
        assert render(item).startswith((f"error[{item.code}]: ", f"warning[{item.code}]: "))
        assert f"\n --> my_net.yaml:{item.span.line}:{item.span.column}\n" in re.sub(" +-->", " -->", render(item))
