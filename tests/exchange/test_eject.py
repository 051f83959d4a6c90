"""Ejected files: no zoo in them, the same names and numbers, written as a person would."""

from __future__ import annotations

import ast
import builtins
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.architectures import architecture_names
from zoo.diagnostics import Diagnostics, render
from zoo.document import read_text
from zoo.exchange.eject import eject
from zoo.graph import Plan, compile_plan, initialise_from_images, plan_architecture
from zoo.models import load_plan

ROOT = Path(__file__).parent.parent.parent


def shipped(name: str, side: int | None = None) -> Plan:
    """A shipped architecture's plan; for images of at most this many pixels a side, where it is given."""
    plan = load_plan(name, Diagnostics())
    assert plan is not None
    shape = next(iter(plan.inputs.values())).shape[1:]
    if side is None or shape[-1] <= side:
        return plan
    smaller = load_plan(name, Diagnostics(), input_shape=(shape[0], side, side))
    assert smaller is not None
    return smaller


def plan_text(text: str) -> Plan:
    diagnostics = Diagnostics()
    document = read_text(text, diagnostics)
    plan = plan_architecture(document, diagnostics) if document is not None else None
    assert plan is not None, "\n".join(map(render, diagnostics))
    return plan


def run_without_zoo(text: str) -> dict[str, Any]:
    """Executes a file where importing zoo fails, and gives its names."""

    def guarded(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "zoo":
            raise ImportError("zoo is not here")
        return __import__(name, *args, **kwargs)

    namespace: dict[str, Any] = {"__name__": "ejected", "__builtins__": {**vars(builtins), "__import__": guarded}}
    exec(compile(text, "ejected.py", "exec"), namespace)
    return namespace


def network_of(text: str) -> nn.Module:
    """The last class of a file, built without arguments."""
    last = [node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)][-1]
    module = run_without_zoo(text)[last]()
    assert isinstance(module, nn.Module)
    return module


def outputs(module: nn.Module, inputs: list[Tensor]) -> list[Tensor]:
    torch.manual_seed(1)  # for what is random in training mode
    with torch.no_grad():
        found = module(*inputs)
    if isinstance(found, Tensor):
        return [found]
    return list(found.values() if isinstance(found, dict) else found)


def assert_twins(plan: Plan, text: str) -> nn.Module:
    """Equal names in order, equal frozen parameters, equal outputs to the last bit, in evaluation and in training."""
    torch.manual_seed(0)
    module, ejected = compile_plan(plan), network_of(text)
    ours, theirs = module.state_dict(), ejected.state_dict()
    assert list(ours) == list(theirs)
    assert [p.requires_grad for p in module.parameters()] == [p.requires_grad for p in ejected.parameters()]
    ejected.load_state_dict(ours)
    inputs = [torch.randn(2, *spec.shape[1:]) for spec in plan.inputs.values()]
    for mode in (False, True):
        expected = outputs(module.train(mode), inputs)
        assert all(map(torch.equal, outputs(ejected.train(mode), inputs), expected))
    with torch.no_grad():  # the control: other weights give another output
        for parameter in ejected.parameters():
            parameter.add_(1.0)
    assert not all(map(torch.equal, outputs(ejected, inputs), outputs(module, inputs)))
    return ejected


def assert_clean(text: str, folder: Path) -> None:
    """Ruff finds nothing and would format nothing, with its own settings and with this repository's."""
    file = folder / "ejected.py"
    file.write_text(text)
    for settings in (["--isolated"], ["--config", str(ROOT / "pyproject.toml")]):
        for command in (["check", "-q"], ["format", "--check", "--diff", "-q"]):
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *command, *settings, "--no-cache", str(file)],
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", architecture_names())
def test_every_shipped_architecture(name: str, tmp_path: Path) -> None:
    text = eject(shipped(name))
    assert "zoo" not in text
    assert_clean(text, tmp_path)
    small = shipped(name, side=64)
    assert_twins(small, eject(small))
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef):
            assert "forward" in {item.name for item in node.body if isinstance(item, ast.FunctionDef)}


def test_the_network_comes_last_and_is_named_after_the_plan() -> None:
    assert type(network_of(eject(shipped("custom_resnet")))).__name__ == "CustomResnet"


@pytest.mark.parametrize("name", ["cifar_resnet18", "shufflenet_v2_x1_0", "vit_tiny_patch16_224", "airbench94"])
def test_it_reads_as_written_by_hand(name: str, golden: Any) -> None:
    golden(f"{name}.py.txt", eject(shipped(name)))


def test_initialisation_is_kept() -> None:
    plan = shipped("airbench94")
    ejected = network_of(eject(plan))
    weight = ejected.group1.conv1.weight
    passed_on = weight[: weight.shape[1], :, 1, 1].detach()
    assert torch.equal(passed_on, torch.eye(len(passed_on)))
    before = ejected.whiten.weight.clone()
    ejected.initialise_from_images(torch.randn(50, 3, 32, 32))
    assert not torch.equal(ejected.whiten.weight, before)
    images = torch.randn(200, 3, 32, 32)
    ejected.initialise_from_images(images)
    compiled = compile_plan(plan)
    initialise_from_images(compiled, images)
    assert torch.equal(ejected.whiten.weight, compiled.whiten.weight)


def test_one_class_where_only_a_shortcut_differs() -> None:
    text = eject(shipped("cifar_resnet18"))
    assert text.count("class BasicBlock") == 1
    assert "if in_channels != channels or stride != 1:" in text
    assert "BasicBlock(64, 128, stride=2)" in text


VARIANTS = """
name: variants
input: [8, 8, 8]
blocks:
  Unit:
    params: {residual: true, hidden: 8}
    layers:
      conv1: {op: Conv2d, out_channels: $hidden, kernel_size: 3, padding: 1}
      relu: relu
      conv2: {op: Conv2d, out_channels: 8, kernel_size: 1}
      add: {op: add, from: [input, conv2], when: $residual, else: conv2}
layers:
  a: Unit
  b: {op: Unit, hidden: 4}
  c: {op: Unit, residual: false}
"""


def test_a_function_that_some_instances_lack_becomes_a_condition(tmp_path: Path) -> None:
    plan = plan_text(VARIANTS)
    text = eject(plan)
    assert text.count("class Unit") == 1
    assert "self.has_add = residual" in text
    assert "return x + out if self.has_add else out" in text
    assert_twins(plan, text)
    assert_clean(text, tmp_path)


def test_mobilenets_blocks_are_one_class_but_for_the_one_that_does_not_expand() -> None:
    text = eject(shipped("mobilenet_v2"))
    assert text.count("class InvertedResidual") == 2
    assert "self.has_add = in_channels == channels" in text


LIBRARIES = """
name: libraries
input: [8, 32, 32]
blocks:
  Mix:
    params: {p: 0.1, squeeze: 4}
    layers:
      conv: {op: Conv2d, out_channels: $input.channels, kernel_size: 3, padding: same, padding_mode: reflect}
      act: PReLU
      se: {op: SqueezeExcitation, squeeze_channels: $squeeze}
      depth: {op: StochasticDepth, p: $p, mode: row}
      add: {op: add, from: [input, depth]}
  Attend:
    params: {heads: 2}
    layers:
      flat: {op: flatten, start_dim: 2}
      tokens: {op: transpose, dim0: 1, dim1: 2}
      norm: LayerNorm
      attn:
        op: MultiheadAttention
        from: [norm, norm, norm]
        num_heads: $heads
        batch_first: true
        call: {need_weights: false}
      add: {op: add, from: [tokens, attn.0]}
      drop: {op: dropout, p: 0.3}
layers:
  a: {op: Mix, repeat: 2}
  b: {op: Mix, p: 0.2, squeeze: 2}
  up: {op: Upsample, scale_factor: 2, mode: bilinear}
  maps: {op: timm, name: resnet10t, features: true, in_chans: 8}
  att: {op: Attend, from: maps.2}
  att2: {op: Attend, from: maps.3, heads: 4}
  m1: {op: mean, from: att, dim: 1}
  m2: {op: mean, from: att2, dim: 1}
  both: {op: cat, from: [m1, m2], dim: 1}
  out: {op: Linear, out_features: 3}
"""


@pytest.mark.slow
def test_layers_of_torchvision_and_timm(tmp_path: Path) -> None:
    plan = plan_text(LIBRARIES)
    text = eject(plan)
    assert "from torchvision.ops import SqueezeExcitation, StochasticDepth" in text
    assert_twins(plan, text)
    assert_clean(text, tmp_path)


OPTIONAL = """
name: optional
input: [8, 8, 8]
blocks:
  Unit:
    params: {norm: false}
    layers:
      conv: {op: Conv2d, out_channels: 8, kernel_size: 1}
      norm: {op: BatchNorm2d, when: $norm}
      act: {op: relu}
layers:
  a: {op: Unit, norm: true}
  b: Unit
  c: {op: Unit, norm: true}
"""


def test_an_optional_layer_becomes_a_condition(tmp_path: Path) -> None:
    plan = plan_text(OPTIONAL)
    text = eject(plan)
    assert text.count("class Unit") == 1
    assert "if norm:" in text
    assert_twins(plan, text)
    assert_clean(text, tmp_path)


SETTINGS = """
name: settings
input: [3, 8, 8]
init: {Conv2d.weight: {name: kaiming_normal, mode: fan_out}, Conv2d.bias: zeros, BatchNorm2d.weight: ones}
blocks:
  Unit:
    params: {channels: int}
    layers:
      conv: {op: Conv2d, out_channels: $channels, kernel_size: 3, padding: 1}
      norm: BatchNorm2d
      relu: ReLU
layers:
  layer1: {op: Unit, repeat: 2, channels: 8, freeze: true}
  layer2: {op: Unit, repeat: 2, channels: 8}
  layer3: {op: Unit, channels: 16, freeze: [conv.bias]}
  pool: {op: mean, dim: [2, 3]}
  fc: {op: Linear, out_features: 5, init: {weight: zeros, bias: {name: constant, val: 0.25}}}
"""


def test_rules_and_frozen_parts_are_said_once_and_where_they_hold(tmp_path: Path) -> None:
    plan = plan_text(SETTINGS)
    text = eject(plan)
    assert "self.layer1.requires_grad_(False)" in text
    assert "self.layer3.conv.bias.requires_grad_(False)" in text
    assert text.count("kaiming_normal_") == 1
    assert "isinstance(module, nn.Conv2d)" in text
    ejected = network_of(text)
    assert float(ejected.fc.bias.detach().mean()) == 0.25
    assert float(ejected.layer1[0].conv.bias.detach().abs().sum()) == 0
    assert_twins(plan, text)
    assert_clean(text, tmp_path)


def test_the_same_seed_gives_the_same_weights_where_rules_go_by_kind() -> None:
    plan = plan_text(SETTINGS.replace(", init: {weight: zeros, bias: {name: constant, val: 0.25}}", ""))
    states = []
    for build in (lambda: compile_plan(plan), lambda: network_of(eject(plan))):
        torch.manual_seed(3)
        states.append(build().state_dict())
    assert all(map(torch.equal, states[0].values(), states[1].values()))


ODDITIES = """
name: oddities
input: {image: [4, 6, 6], mask: [4, 6, 6]}
blocks:
  Gate:
    inputs: [x, gate]
    params: {scale: 1.0, size: int}
    layers:
      open: {op: sigmoid, from: gate}
      mixed: {op: mul, from: [x, open]}
      shift: {op: add, other: $scale}
      small: {op: adaptive_avg_pool2d, output_size: $size}
    output: {small: small, open: open}
layers:
  lambda: {op: Conv2d, from: image, out_channels: 4, kernel_size: 1}
  a-b: {op: Conv2d, out_channels: 4, kernel_size: 1, bias: false, freeze: true}
  first: {op: Gate, from: [a-b, mask], size: 3}
  second: {op: Gate, from: [a-b, mask], scale: 0.5, size: 2}
  again: {share: lambda, from: second.small}
  list: [{op: Conv2d, out_channels: 4, kernel_size: 1}, relu, {op: Dropout, p: 0.5}]
  bias: {op: Parameter, shape: [1, 4, 2, 2], init: {name: uniform}, batch_like: again}
  ramp: {op: Buffer, shape: [2], dtype: float32, init: arange}
  sum: {op: add, from: [list, bias, ramp]}
output: [first.small, sum]
"""


def test_several_inputs_outputs_sharing_free_tensors_and_odd_names(tmp_path: Path) -> None:
    plan = plan_text(ODDITIES)
    text = eject(plan)
    assert_twins(plan, text)
    assert_clean(text, tmp_path)
