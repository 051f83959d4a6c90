"""The compiled module: names, numbers, forwards, initialisation, copies."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
import traceback

import pytest
import torch
from torch import nn

from zoo.architectures import architecture_names
from zoo.diagnostics import Diagnostics, render
from zoo.document import read_text
from zoo.graph import Plan, compile_plan, images_wanted, initialise_from_images, plan_architecture
from zoo.models import load_plan

COUNTS = {  # total, trainable
    "custom_resnet": (6_573_130, 6_573_130),
    "cifar_resnet18": (11_173_962, 11_173_962),
    "era_resnet18": (11_173_962, 11_173_962),
    "densenet121": (6_956_298, 6_956_298),
    "shufflenet_v2_x1_0": (2_278_604, 2_278_604),
    "vit_tiny_patch16_224": (5_717_416, 5_717_416),
    "airbench94": (1_972_792, 1_971_352),
    "airbench96": (9_918_776, 9_915_416),
    "resnet18": (11_689_512, 11_689_512),
    "resnet50": (25_557_032, 25_557_032),
    "mobilenet_v2": (3_504_872, 3_504_872),
    "convnext_atto": (3_695_520, 3_695_520),
}


def shipped(name: str) -> Plan:
    diagnostics = Diagnostics()
    plan = load_plan(name, diagnostics)
    assert plan is not None, "\n".join(map(render, diagnostics))
    return plan


def plan_text(text: str) -> Plan:
    diagnostics = Diagnostics()
    document = read_text(text, diagnostics)
    plan = plan_architecture(document, diagnostics) if document is not None else None
    assert plan is not None, "\n".join(map(render, diagnostics))
    return plan


def forward_text(module: nn.Module) -> str:
    return inspect.getsource(type(module).forward)


@pytest.mark.parametrize("name", architecture_names())
def test_plan_and_module_agree_on_shapes_and_parameters(name: str) -> None:
    plan = shipped(name)
    module = compile_plan(plan, device="meta").eval()
    inputs = [torch.zeros(3, *spec.shape[1:], device="meta") for spec in plan.inputs.values()]
    assert tuple(module(*inputs).shape) == (3, *plan.output.shape[1:])
    planned = {
        f"{path}.{spec.name}".rstrip("."): (spec.shape, spec.trainable)
        for path, step in plan.walk()
        for spec in step.parameters
        if not spec.is_buffer
    }
    assert {name: (tuple(p.shape), p.requires_grad) for name, p in module.named_parameters()} == planned


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_parameter_counts_are_those_of_the_literature(name: str) -> None:
    module = compile_plan(shipped(name), device="meta")
    total = sum(parameter.numel() for parameter in module.parameters())
    trainable = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    assert (total, trainable) == COUNTS[name]


def test_every_shipped_network_but_our_own_small_one_has_a_count_here() -> None:
    assert set(architecture_names()) - set(COUNTS) == {"tiny_resnet"}


def assert_equal_with_same_weights(ours: nn.Module, theirs: nn.Module, x: torch.Tensor) -> None:
    """Names in order, and outputs to the last bit; one changed weight must show."""
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    ours.eval(), theirs.eval()
    with torch.no_grad():
        expected = theirs(x)
        assert torch.equal(ours(x), expected)
        next(iter(theirs.parameters())).mul_(1.01)
        assert not torch.equal(ours(x), theirs(x))


def for_small_images(name: str) -> nn.Module:
    plan = load_plan(name, Diagnostics(), input_shape=(3, 64, 64))
    assert plan is not None
    return compile_plan(plan)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shufflenet_v2_x1_0", "resnet18", "resnet50", "mobilenet_v2"])
def test_these_are_torchvisions_bit_for_bit(name: str) -> None:
    import torchvision

    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, weights=None)
    assert_equal_with_same_weights(for_small_images(name), theirs, torch.randn(2, 3, 64, 64))


@pytest.mark.slow
def test_these_are_timms_bit_for_bit() -> None:
    import timm

    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", pretrained=False)
    assert_equal_with_same_weights(compile_plan(shipped("vit_tiny_patch16_224")), vit, torch.randn(1, 3, 224, 224))
    convnext = timm.create_model("convnext_atto", pretrained=False)
    assert_equal_with_same_weights(for_small_images("convnext_atto"), convnext, torch.randn(2, 3, 64, 64))


@pytest.mark.slow
def test_the_same_seed_initialises_as_torchvision_does() -> None:
    import torchvision

    states = []
    for build in (lambda: compile_plan(shipped("resnet18")), torchvision.models.resnet18):
        torch.manual_seed(0)
        states.append(build().state_dict())
    assert all(map(torch.equal, states[0].values(), states[1].values()))


def test_forwards_read_as_written_by_hand() -> None:
    module = compile_plan(shipped("cifar_resnet18"), device="meta")
    assert forward_text(module.layer1[0]) == (
        "    def forward(self, x):\n"
        "        out = F.relu(self.bn1(self.conv1(x)))\n"
        "        out = self.bn2(self.conv2(out))\n"
        "        return F.relu(out + x)\n"
    )
    assert forward_text(module.layer2[0]).splitlines()[-1] == "        return F.relu(out + self.shortcut(x))"
    assert forward_text(compile_plan(shipped("custom_resnet"), device="meta")) == (
        "    def forward(self, x):\n"
        "        x = self.prep(x)\n"
        "        x = self.layer1(x)\n"
        "        x = x + self.res1(x)\n"
        "        x = self.layer2(x)\n"
        "        x = self.layer3(x)\n"
        "        x = x + self.res2(x)\n"
        "        x = torch.flatten(self.pool(x), start_dim=1)\n"
        "        return self.fc(x)\n"
    )


def test_one_class_per_distinct_text_and_sequential_for_chains() -> None:
    module = compile_plan(shipped("cifar_resnet18"), device="meta")
    assert type(module).__name__ == "CifarResnet18"
    assert type(module.layer1[0]).__name__ == "BasicBlock"
    assert type(module.layer1[0]) is type(module.layer4[1])
    assert type(module.layer1[0]) is not type(module.layer2[0])  # the one with a shortcut has another forward
    assert type(module.layer1) is nn.Sequential
    assert type(module.layer2[0].shortcut) is nn.Sequential


def test_a_traceback_shows_the_line_of_the_generated_forward() -> None:
    module = compile_plan(shipped("custom_resnet"), device="meta")
    with pytest.raises(RuntimeError) as caught:
        module(torch.zeros(1, 3, 16, 16, device="meta"))
    assert "x = torch.flatten(self.pool(x), start_dim=1)" in "".join(traceback.format_exception(caught.value))


def test_the_same_seed_gives_the_same_weights() -> None:
    plan = shipped("airbench94")
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(compile_plan(plan).state_dict())
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(states[0].values(), states[2].values(), strict=True))


def test_initialisers_and_frozen_parameters() -> None:
    plan = shipped("airbench94")
    module = compile_plan(plan)
    weight = module.group1.conv1.weight
    passed_on = weight[: weight.shape[1], :, 1, 1].detach()
    assert torch.equal(passed_on, torch.eye(len(passed_on)))
    frozen = [name for name, parameter in module.named_parameters() if not parameter.requires_grad]
    assert frozen[0] == "whiten.weight"
    assert len(frozen) == 7
    assert all(name.endswith("weight") for name in frozen)


def test_initialisation_from_images_whitens_their_patches() -> None:
    plan = shipped("airbench94")
    torch.manual_seed(0)
    module = compile_plan(plan)
    images = torch.randn(200, 3, 32, 32).cumsum(-1).cumsum(-2)  # neighbours much alike, as in pictures
    images = (images - images.mean()) / images.std()

    def correlation() -> float:
        with torch.no_grad():
            maps = nn.functional.conv2d(images, module.whiten.weight[:12]).transpose(0, 1).flatten(1)
        matrix = maps @ maps.T / maps.shape[1]
        return float((matrix - torch.diag(matrix.diagonal())).abs().max() / matrix.diagonal().mean())

    before = correlation()
    assert images_wanted(plan) == 5000
    initialise_from_images(module, images)
    assert correlation() < 0.01 < before
    assert not module.whiten.weight.requires_grad
    assert images_wanted(shipped("custom_resnet")) == 0


def test_by_kind_and_by_pattern_initialisation() -> None:
    plan = plan_text("""
name: net
input: [3, 8, 8]
init: {Conv2d.weight: {name: constant, val: 0.5}, Conv2d.bias: zeros}
layers:
  a: {op: Conv2d, out_channels: 4, kernel_size: 3}
  b: {op: Conv2d, out_channels: 4, kernel_size: 3, init: {weight: ones}, freeze: true}
  scale: {op: Parameter, shape: [1, 4, 1, 1], init: {name: constant, val: 2}}
  out: {op: mul, from: [b, scale]}
""")
    module = compile_plan(plan)
    assert float(module.a.weight.detach().mean()) == 0.5
    assert float(module.a.bias.detach().abs().sum()) == 0
    assert float(module.b.weight.detach().mean()) == 1
    assert float(module.scale.detach().mean()) == 2
    assert [p.requires_grad for p in (module.a.weight, module.b.weight, module.b.bias)] == [True, False, False]


def test_free_tensors_expand_to_the_batch_and_buffers_are_kept_apart() -> None:
    plan = plan_text("""
name: net
input: [4]
layers:
  token: {op: Parameter, shape: [1, 4], init: ones, batch_like: input}
  ramp: {op: Buffer, shape: [4], init: {name: arange}}
  sum: {op: add, from: [input, token, ramp]}
""")
    module = compile_plan(plan)
    assert list(dict(module.named_parameters())) == ["token"]
    assert list(dict(module.named_buffers())) == ["ramp"]
    assert torch.equal(module(torch.zeros(2, 4)), torch.tensor([[1.0, 2, 3, 4]] * 2))


def test_shared_modules_run_again_and_count_once() -> None:
    plan = plan_text("""
name: net
input: [4]
layers:
  fc: {op: Linear, out_features: 4}
  again: {share: fc}
""")
    module = compile_plan(plan)
    x = torch.randn(2, 4)
    assert list(module.state_dict()) == ["fc.weight", "fc.bias"]
    assert torch.equal(module(x), module.fc(module.fc(x)))


def test_several_inputs_and_outputs() -> None:
    plan = plan_text("""
name: net
input: {left: [4], right: [4]}
blocks:
  Gate:
    inputs: [x, gate]
    layers:
      open: {op: sigmoid, from: gate}
      mixed: {op: mul, from: [x, open]}
    output: {mixed: mixed, open: open}
layers:
  gated: {op: Gate, from: [left, right]}
  fc: {op: Linear, from: gated.mixed, out_features: 2}
output: [fc, gated.open]
""")
    module = compile_plan(plan)
    left, right = torch.randn(2, 4), torch.randn(2, 4)
    scores, gate = module(left, right)
    assert torch.equal(gate, torch.sigmoid(right))
    assert torch.equal(scores, module.fc(left * gate))
    assert set(module.gated(left, right)) == {"mixed", "open"}


def test_names_that_are_not_pythons() -> None:
    plan = plan_text("""
name: 3-d net!
input: [4]
layers:
  - {op: Linear, out_features: 4}
  - relu
  - [{op: Linear, out_features: 4}, {op: add, other: 1}, Tanh]
""")
    module = compile_plan(plan)
    x = torch.randn(2, 4)
    assert list(module.state_dict()) == ["0.weight", "0.bias", "2.0.weight", "2.0.bias"]
    inner = module.get_submodule("2.0")
    assert torch.equal(module(x), torch.tanh(inner(torch.relu(module.get_submodule("0")(x))) + 1))
    assert type(module).__name__.isidentifier()
    keyword = plan_text("name: net\ninput: [4]\nlayers:\n  lambda: {op: Linear, out_features: 4}\n  a-b: Tanh\n")
    assert list(compile_plan(keyword).state_dict()) == ["lambda.weight", "lambda.bias"]


def test_functions_follow_the_modules_mode() -> None:
    plan = plan_text("name: net\ninput: [1000]\nlayers:\n  drop: {op: dropout, p: 0.5}\n")
    module = compile_plan(plan)
    x = torch.ones(1, 1000)
    assert torch.equal(module.eval()(x), x)
    assert not torch.equal(module.train()(x), x)


def test_deepcopy_and_pickle_are_whole_and_apart() -> None:
    module = compile_plan(shipped("airbench94")).eval()
    x = torch.randn(2, 3, 32, 32)
    expected = module(x)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(twin(x), expected)
        assert type(twin) is type(module)
        assert twin.zoo_plan == module.zoo_plan
        with torch.no_grad():
            twin.head.weight.zero_()
        assert torch.equal(module(x), expected)
    block = pickle.loads(pickle.dumps(module.group1))
    assert torch.equal(block(torch.ones(1, 24, 8, 8)), module.group1(torch.ones(1, 24, 8, 8)))


@pytest.mark.slow
def test_a_pickle_opens_in_another_process(tmp_path) -> None:
    module = compile_plan(shipped("tiny_resnet")).eval()
    torch.save(module, tmp_path / "net.pt")
    program = (
        f"import torch; m = torch.load({str(tmp_path / 'net.pt')!r}, weights_only=False);"
        "print(m(torch.ones(1, 1, 8, 8)).sum().item())"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert float(printed) == pytest.approx(module(torch.ones(1, 1, 8, 8)).sum().item(), rel=1e-5)


def test_channels_last_works_through() -> None:
    torch.manual_seed(0)
    module = compile_plan(shipped("airbench94")).eval()
    x = torch.randn(2, 3, 32, 32)
    expected = module(x)
    module.to(memory_format=torch.channels_last)
    seen: list[bool] = []
    module.group2.act2.register_forward_hook(
        lambda m, i, o: seen.append(o.is_contiguous(memory_format=torch.channels_last))
    )
    torch.testing.assert_close(module(x.to(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-5)
    assert seen == [True]


@pytest.mark.slow
def test_dynamo_traces_it_whole() -> None:
    module = compile_plan(shipped("custom_resnet")).eval()
    x = torch.randn(1, 3, 32, 32)
    traced = torch.compile(module, backend="eager", fullgraph=True)
    assert torch.equal(traced(x), module(x))


def test_the_running_variable_overwrites_nothing_that_is_still_read() -> None:
    """Layers and inputs called as the running variable could be: out, x, h, y."""
    conv = "out_channels: 4, kernel_size: 1"
    net = compile_plan(
        plan_text(f"""
input: {{x: [4, 8, 8], out: [4, 8, 8]}}
layers:
  a: {{op: Conv2d, from: x, {conv}}}
  h: {{op: Conv2d, from: a, {conv}}}
  c: {{op: add, from: [h, out]}}
  d: {{op: Conv2d, from: c, {conv}}}
  e: {{op: Sigmoid, from: d}}
  f: {{op: mul, from: [e, h, x]}}
""")
    )
    x, out = torch.rand(2, 4, 8, 8), torch.rand(2, 4, 8, 8)
    h = net.h(net.a(x))
    assert torch.equal(net(x, out), torch.sigmoid(net.d(h + out)) * h * x)
    net = compile_plan(
        plan_text(f"""
input: {{a: [4, 8, 8], b: [4, 8, 8], c: [4, 8, 8], out: [4, 8, 8]}}
layers:
  p: {{op: Conv2d, from: a, {conv}}}
  q: {{op: add, from: [p, b]}}
  r: {{op: Conv2d, from: q, {conv}}}
  s: {{op: add, from: [r, c]}}
  t: {{op: Conv2d, from: s, {conv}}}
  u: {{op: add, from: [t, out]}}
""")
    )
    a, b, c, out = (torch.rand(2, 4, 8, 8) for _ in range(4))
    assert torch.equal(net(a, b, c, out), net.t(net.r(net.p(a) + b) + c) + out)
