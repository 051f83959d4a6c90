"""Rules by kind, copies that are no chain, and other libraries' models in an ejected file."""

from __future__ import annotations

import pytest
import torch

from tests.exchange.test_eject import assert_twins, network_of, plan_text
from zoo.exchange.eject import eject
from zoo.graph import compile_plan


@pytest.mark.parametrize(
    "text",
    [
        """input: [4, 8, 8]
layers:
  body:
    repeat: 3
    when: $(i != 1)
    layers:
      conv: {op: Conv2d, out_channels: 4, kernel_size: 1}
      add: {op: add, from: [conv, input]}
""",
        """input: {a: [4, 8, 8], b: [4, 8, 8]}
layers:
  body:
    from: [a, b]
    inputs: [x, y]
    repeat: 2
    layers:
      conv: {op: Conv2d, from: x, out_channels: 4, kernel_size: 1}
      add: {op: add, from: [conv, y]}
""",
    ],
)
def test_copies_of_an_anonymous_block_that_are_no_chain(text: str) -> None:
    plan = plan_text(text)
    assert_twins(plan, eject(plan))


@pytest.mark.parametrize(
    ("init", "layers"),
    [
        ("BatchNorm2d.weight", "[BatchNorm2d, BatchNorm2d, BatchNorm2d, {op: BatchNorm2d, affine: false}]"),
        ("LayerNorm.weight", "[LayerNorm, LayerNorm, LayerNorm, LayerNorm2d]"),
        ("Conv2d.bias", "[%s, %s, %s, {op: Conv2d, out_channels: 4, kernel_size: 1, bias: false}]"),
    ],
)
def test_a_rule_by_kind_reaches_what_it_reaches_in_the_plan(init: str, layers: str) -> None:
    conv = "{op: Conv2d, out_channels: 4, kernel_size: 1}"
    layers = layers.replace("%s", conv)
    plan = plan_text(f"input: [4, 8, 8]\ninit: {{{init}: {{name: constant, val: 0.5}}}}\nlayers: {layers}\n")
    ours, theirs = compile_plan(plan), network_of(eject(plan))
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.equal((one == 0.5).all(), (other == 0.5).all()), name


def test_maps_of_a_torchvision_model_with_arguments_of_its_own() -> None:
    kwargs = "kwargs: {replace_stride_with_dilation: [false, true, true]}"
    plan = plan_text(f"""input: [3, 64, 64]
layers:
  body: {{op: torchvision, name: resnet50, features: true, {kwargs}}}
  top: {{op: Conv2d, from: body.2, out_channels: 8, kernel_size: 1}}
""")
    assert_twins(plan, eject(plan))


def test_foreign_models_that_differ_by_name_are_several_classes() -> None:
    plan = plan_text("""input: [3, 64, 64]
blocks:
  Tower:
    params: {name: str}
    layers:
      body: {op: torchvision, name: $name, features: true}
      pool: {op: mean, from: body.3, dim: [2, 3]}
layers:
  one: {op: Tower, name: resnet18}
  two: {op: Tower, from: input, name: resnet34}
  sum: {op: add, from: [one, two]}
""")
    assert_twins(plan, eject(plan))
