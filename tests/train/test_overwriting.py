"""ReLUs in place while a network trains: the same numbers to the last bit, less memory, and put back afterwards."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.graph.plan_world import HEAD, plan_of_text
from tests.train.small_world import Small, small_training
from zoo import load_model
from zoo.events import StepLogged
from zoo.graph import compile_plan, overwriting_relus, plan_of
from zoo.train import fit
from zoo.train.overwriting import relus_in_place

LAYERS = (
    *("ReLU", "ReLU", "ReLU", "{op: ReLU, inplace: false}", "BatchNorm2d", "Sigmoid", "Identity", "Dropout2d", "Half"),
    *(
        "{op: Conv2d, out_channels: 3, kernel_size: 3, padding: 1}",
        "{op: flip, dims: [3]}",
        "{op: chunk, chunks: 1, dim: 1}",
    ),
    "{op: permute, dims: [0, 1, 3, 2]}",
)
BLOCKS = """
blocks:
  Half: {layers: {r: ReLU, s: {op: Sigmoid, from: input}, t: {op: mul, from: [r, s]}, u: {op: ReLU}}}
"""


@st.composite
def networks(draw: st.DrawFn) -> str:
    """A network of up to ten layers that read one or two above, or run one above again; loose ends are added up."""
    lines, names, loose = [], ["input"], set[str]()
    for number in range(draw(st.integers(1, 10))):
        before, other = (draw(st.sampled_from(names[-4:])) for _ in range(2))
        relus = [line.split(":")[0].strip() for line in lines if "op: ReLU" in line or "op: Half" in line]
        kind = draw(st.integers(0, 5))
        layer = draw(st.sampled_from(LAYERS))
        if kind == 0:
            text, reads = f"{{op: add, from: [{before}, {other}]}}", {before, other}
        elif kind == 1 and relus:
            text, reads = f"{{share: {draw(st.sampled_from(relus))}, from: {before}}}", {before}
        else:
            text = f"{{op: {layer}}}" if layer.isalnum() else layer
            text, reads = f"{text[:-1]}, from: {before}}}", {before}
        lines.append(f"  l{number}: {text}")
        loose = {*(loose - reads), f"l{number}"}
        names.append(f"l{number}.0" if "chunk" in text else f"l{number}")
        loose = {*(loose - {f"l{number}"}), names[-1]}
    end = sorted(loose)
    last = f"  end: {{op: add, from: [{', '.join((*end, end[0]))}]}}"
    return "\n".join([HEAD, BLOCKS, "layers:", *lines, last])


def passes(module: nn.Module, images: Tensor, *, training: bool) -> list[Tensor]:
    """What comes out of the network, and all gradients."""
    torch.manual_seed(0)  # of dropout
    module.train(training).zero_grad()
    given = images.clone().requires_grad_()
    out = module(given.mul(1))  # a leaf cannot be written to
    out.square().sum().backward()
    assert given.grad is not None
    return [out.detach(), given.grad, *(weight.grad for weight in module.parameters() if weight.grad is not None)]


def are_equal(module: nn.Module, images: Tensor, *, training: bool) -> bool:
    plain = passes(module, images, training=training)
    with relus_in_place(module):
        there = passes(module, images, training=training)
    return all(torch.equal(one, other) for one, other in zip(plain, there, strict=True))


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(networks())
def test_generated_networks_compute_the_same(text: str) -> None:
    module = compile_plan(plan_of_text(text))
    for training in (True, False):
        assert are_equal(module, torch.randn(2, 3, 32, 32), training=training)
    assert not any(relu.inplace for relu in module.modules() if isinstance(relu, nn.ReLU))


def test_in_place_everywhere_is_found_to_differ() -> None:
    """The control: what is refused would have been noticed by the test above."""
    differing = []

    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(networks())
    def force(text: str) -> None:
        module = compile_plan(plan_of_text(text))
        images = torch.randn(2, 3, 32, 32)
        plain = passes(module, images, training=True)
        for relu in module.modules():
            if isinstance(relu, nn.ReLU):
                relu.inplace = True
        try:
            forced = passes(module, images, training=True)
        except RuntimeError:  # autograd's own word about it
            differing.append(True)
        else:
            differing.append(not all(map(torch.equal, plain, forced)))

    force()
    assert 5 < sum(differing) < len(differing)


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        ("a: BatchNorm2d, b: ReLU, c: {op: add, from: [b, input]}", "b"),
        ("a: BatchNorm2d, b: ReLU, c: {op: add, from: [b, a]}", ""),
        ("b: ReLU", ""),  # the images are the caller's
        ("a: BatchNorm2d, b: ReLU, c: ReLU", "b"),  # the gradient of b
        ("a: {op: MaxPool2d, kernel_size: 2}, b: ReLU", ""),  # not known to be done with what it made
        ("a: BatchNorm2d, d: Dropout, b: ReLU, c: {op: add, from: [b, a]}", ""),  # when testing it is the same
        ("a: BatchNorm2d, b: {op: ReLU, inplace: true}", ""),  # is already
        ("a: BatchNorm2d, b: ReLU, c: BatchNorm2d, d: {share: b}, e: {op: add, from: [d, c]}", ""),
        ("a: BatchNorm2d, b: ReLU, c: BatchNorm2d, d: {share: b}, e: {op: add, from: [d, b]}", "b"),
        ("a: [BatchNorm2d, ReLU], b: {share: a}", "a.1"),
        ("a: [ReLU, BatchNorm2d], b: {share: a}", ""),  # its first call reads the images
    ],
)
def test_which_relus(layers: str, found: str) -> None:
    assert overwriting_relus(plan_of_text(f"{HEAD}layers: {{{layers}}}")) == tuple(found.split())


@pytest.mark.parametrize("name", ["custom_resnet", "era_resnet18", "shufflenet_v2_x1_0", "tiny_resnet"])
def test_shipped_networks_compute_the_same_and_no_relu_makes_a_map(name: str) -> None:
    torch.manual_seed(0)
    module = load_model(name)
    plan = plan_of(module)
    assert plan is not None
    shape = next(iter(plan.inputs.values())).shape[1:]
    images = torch.randn(2, *shape).to(memory_format=torch.channels_last)
    module.to(memory_format=torch.channels_last)
    assert are_equal(module, images, training=True)
    relus = sum(isinstance(layer, nn.ReLU) for layer in module.modules())
    assert relu_kernels(module, images) == {"aten::relu": relus, "aten::relu_": 0}
    with relus_in_place(module):
        assert relu_kernels(module, images) == {"aten::relu": 0, "aten::relu_": relus}


def relu_kernels(module: nn.Module, images: Tensor) -> dict[str, int]:
    """How often each form of it runs in a forward pass."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        module(images)
    counts = {event.key: event.count for event in profile.key_averages()}
    return {name: counts.get(name, 0) for name in ("aten::relu", "aten::relu_")}


@pytest.mark.parametrize("compiled", [False, True])
def test_a_training_has_its_relus_in_place(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    training = small_training(Small(train={"epochs": 1}), None)
    model = compile_plan(plan_of_text(f"{HEAD}layers: {{a: BatchNorm2d, b: ReLU}}"))
    (relu,) = (layer for layer in model.modules() if isinstance(layer, nn.ReLU))
    if compiled:  # torch.compile sees to it by itself
        monkeypatch.setattr(type(training.runtime), "compiled", True)
    with training.runtime.tuned(model):
        assert relu.inplace is not compiled
    assert not relu.inplace
    if not compiled:
        assert [event for event in fit(training) if isinstance(event, StepLogged)]
