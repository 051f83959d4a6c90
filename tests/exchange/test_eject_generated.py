"""Generated architectures: whatever the plan takes, the ejected file is the compiled network's twin."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.exchange.test_eject import network_of, outputs, plan_text
from zoo.exchange.eject import eject
from zoo.graph import compile_plan

# What stands in a block of the params c, n, s and w; all keep the 8 channels or end in a convolution that does.
LAYERS = (
    "{op: Conv2d, from: BEFORE, kernel_size: $(2 * n + 1), padding: $n, out_channels: 8}",
    "{op: Conv2d, from: BEFORE, kernel_size: 1, out_channels: 8, when: $w}",
    "{op: Conv2d, from: BEFORE, kernel_size: 1, out_channels: 8, freeze: [bias], init: {bias: zeros}}",
    "{op: ConvTranspose2d, from: BEFORE, kernel_size: 1, out_channels: 8, when: $w, call: {output_size: [4, 4]}}",
    "{op: BatchNorm2d, from: BEFORE, affine: $w}",
    "{op: relu, from: BEFORE, when: $w}",
    "{op: mul, from: [BEFORE, OTHER], when: $w, else: BEFORE}",
    "{op: add, from: BEFORE, other: $s}",
    "{from: BEFORE, layers: {sub: {op: sub, other: $n}, expand: {op: expand, size: [-1, 8, 4, 4]}}}",
    "{op: roll, from: BEFORE, shifts: $n, dims: 2}",
    "{from: BEFORE, layers: [{op: Conv2d, kernel_size: 1, out_channels: $c}, "
    "{op: Conv2d, kernel_size: 1, out_channels: 8}]}",
    "{from: BEFORE, layers: {scale: {op: Parameter, shape: [], init: {name: constant, val: $s}}, "
    "mul: {op: mul, from: [input, scale]}}}",
    "{from: BEFORE, repeat: 3, layers: {a: {op: Conv2d, kernel_size: 1, out_channels: $(c + n * i)}, "
    "b: {op: Conv2d, kernel_size: 1, out_channels: 8}}}",
    "{from: BEFORE, layers: [{repeat: $n, layers: [{op: Conv2d, repeat: 3, kernel_size: 1, "
    "out_channels: $(input.channels + c * (i + 1))}]}, {op: Conv2d, kernel_size: 1, out_channels: 8}]}",
    "{from: BEFORE, layers: {parts: {op: chunk, chunks: $(2 * n), dim: 1}, cat: {op: cat, dim: 1, from: parts}}}",
)
ARGUMENTS = {"c": ("4", "6"), "n": ("1", "2", "3"), "s": ("-0.5", "2"), "w": ("true", "false")}
HEAD = "input: [8, 4, 4]\nblocks:"


@st.composite
def architectures(draw: st.DrawFn) -> str:
    """One or two blocks of a few layers, the second of which calls the first, each called several times."""
    lines, blocks = [HEAD], ["B0", "B1"][: draw(st.integers(1, 2))]
    for block in blocks:
        lines += [f"  {block}:", "    params: {c: 6, n: 1, s: 1.5, w: true}", "    layers:"]
        calls = (f"{{op: {block}, from: BEFORE, repeat: 2, c: $c, w: $w}}" for block in blocks[: blocks.index(block)])
        names, choices = ["input"], st.sampled_from([*LAYERS, *calls])
        for number in range(draw(st.integers(1, 4))):
            text = draw(choices).replace("BEFORE", names[-1]).replace("OTHER", draw(st.sampled_from(names)))
            names.append(f"l{number}")
            lines.append(f"      l{number}: {text}")
    lines.append("layers:")
    for number in range(draw(st.integers(2, 4))):
        chosen = {name: draw(st.sampled_from(values)) for name, values in ARGUMENTS.items() if draw(st.booleans())}
        given = [f"{name}: {value}" for name, value in chosen.items()]
        lines.append(f"  z{number}: {{{', '.join([f'op: {draw(st.sampled_from(blocks))}', *given])}}}")
    return "\n".join([*lines, "  last: {op: Conv2d, kernel_size: 1, out_channels: 2}"])


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(architectures())
def test_the_file_is_the_networks_twin(text: str) -> None:
    plan = plan_text(text)
    torch.manual_seed(0)
    module, ejected = compile_plan(plan), network_of(eject(plan))
    state = module.state_dict()
    assert list(state) == list(ejected.state_dict())
    assert [p.requires_grad for p in module.parameters()] == [p.requires_grad for p in ejected.parameters()]
    ejected.load_state_dict(state)
    images = [torch.randn(2, 8, 4, 4)]
    for mode in (False, True):
        pairs = zip(outputs(module.train(mode), images), outputs(ejected.train(mode), images), strict=True)
        assert all(torch.equal(one.nan_to_num(), other.nan_to_num()) for one, other in pairs)
