"""How deep parameters lie: timm's models as timm has it, graphs by their narrow places, others by their modules."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
import timm
import timm.optim
import torch
from torch import nn

from zoo.assemble.networks import architecture_network, foreign_network
from zoo.diagnostics import Diagnostics, render
from zoo.layers.foreign import build_foreign
from zoo.models import parameter_depths

DECAY = 0.75
OF_TIMM = (
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "beit_base_patch16_224",
    "convnext_atto",
    "resnet18",
    "resnet50",
    "swin_tiny_patch4_window7_224",
    "mixer_s32_224",
    "efficientnet_b0",
    "mobilenetv3_small_050",
    "regnety_002",
    "densenet121",
    "pit_ti_224",  # says nothing of its layers: timm counts twelve tensors as one
)


def timms_scales(model: nn.Module) -> dict[str, float]:
    """What timm multiplies the rate of each parameter by."""
    groups = timm.optim.param_groups_layer_decay(model, layer_decay=DECAY)
    scales = {id(parameter): group["lr_scale"] for group in groups for parameter in group["params"]}
    return {name: scales[id(parameter)] for name, parameter in model.named_parameters()}


def scales_by(depths: dict[str, int]) -> dict[str, float]:
    return {name: DECAY ** (max(depths.values()) - depth) for name, depth in depths.items()}


def on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(name)


@pytest.mark.parametrize("name", OF_TIMM)
def test_a_timm_models_scales_are_timms_own(name: str) -> None:
    model = on_meta(name)
    scales = scales_by(parameter_depths(model))
    assert scales == timms_scales(model)
    assert min(scales.values()) < 0.5
    assert scales[[*scales][-1]] == 1


def test_control_the_order_of_modules_is_not_timms() -> None:
    model = on_meta("convnext_atto")
    in_order = {name: number for number, (name, _) in enumerate(model.named_parameters())}
    assert scales_by(in_order) != timms_scales(model)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vit_tiny_patch16_224"])
def test_a_graph_is_counted_as_timm_counts_its_own_model_of_it(name: str) -> None:
    network = architecture_network(name, Diagnostics())
    assert network is not None
    assert scales_by(parameter_depths(network.build("meta"))) == timms_scales(on_meta(name))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_torchvisions_modules_are_counted_in_their_order(name: str) -> None:
    model = foreign_network(f"torchvision:{name}").build("meta")
    assert scales_by(parameter_depths(model)) == timms_scales(on_meta(name))


@pytest.mark.parametrize(
    ("name", "count", "stem", "head"),
    [
        ("vit_b_16", 14, {"class_token", "conv_proj", "encoder.pos_embedding"}, {"heads.head"}),
        ("swin_t", 17, {"features.0.0", "features.0.2"}, {"head"}),
        ("regnet_y_400mf", 18, {"stem.0", "stem.1"}, {"fc"}),
        ("regnet_x_400mf", 24, {"stem.0", "stem.1"}, {"fc"}),  # 22 blocks, of layers that are all of one class
        pytest.param(  # 9 blocks of branches
            "googlenet", 13, {"conv1.conv", "conv1.bn"}, {"fc"}, marks=pytest.mark.filterwarnings("ignore:The default")
        ),
        ("mobilenet_v3_large", 19, {"features.0.0", "features.0.1"}, {"classifier.3"}),
        ("efficientnet_v2_s", 43, {"features.0.0", "features.0.1"}, {"classifier.1"}),
        ("efficientnet_b0", 19, {"features.0.0", "features.0.1"}, {"classifier.1"}),
        ("vgg11", 11, {"features.0"}, {"classifier.6"}),
        ("densenet121", 63, {"features.conv0", "features.norm0"}, {"classifier"}),
    ],
)
def test_lists_in_torchvisions_models_are_opened(name: str, count: int, stem: set[str], head: set[str]) -> None:
    depths = parameter_depths(foreign_network(f"torchvision:{name}").build("meta"))
    assert sorted(set(depths.values())) == list(range(count))
    for names, depth in ((stem, 0), (head, count - 1)):
        found = {each for each, at in depths.items() if at == depth}
        assert found == {each for each in depths if any(each == n or each.startswith(f"{n}.") for n in names)}


def of_architecture(name: str | Path) -> list[list[str]]:
    """The modules at each depth."""
    diagnostics = Diagnostics()
    network = architecture_network(name, diagnostics)
    assert network is not None, [render(item) for item in diagnostics]
    return in_order(parameter_depths(network.build("meta")))


def in_order(depths: dict[str, int]) -> list[list[str]]:
    return [unique(short(n) for n, at in depths.items() if at == depth) for depth in range(max(depths.values()) + 1)]


def short(name: str) -> str:
    path, _, leaf = name.rpartition(".")
    return path if leaf in ("weight", "bias") else name


def unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def test_layers_between_the_parting_and_the_joining_of_branches_count_once() -> None:
    assert of_architecture("custom_resnet") == [
        ["prep.conv", "prep.norm"],
        ["layer1.conv", "layer1.norm"],
        ["res1.conv1.conv", "res1.conv1.norm", "res1.conv2.conv", "res1.conv2.norm"],
        ["layer2.conv", "layer2.norm"],
        ["layer3.conv", "layer3.norm"],
        ["res2.conv1.conv", "res2.conv1.norm", "res2.conv2.conv", "res2.conv2.norm"],
        ["fc"],
    ]


def test_a_block_with_a_shortcut_somewhere_counts_once_everywhere() -> None:
    """The inverted residuals that halve the map are chains of blocks, the others have a shortcut."""
    found = of_architecture("mobilenet_v2")
    assert [{name.split(".")[1] for name in names} for names in found[:-1]] == [{str(n)} for n in range(19)]
    assert found[-1] == ["classifier.1"]


def test_stages_are_opened_and_norms_go_with_what_stands_before_them() -> None:
    depths = of_architecture("convnext_atto")
    assert [depths[at] for at in (0, 3, -1)] == [
        ["stem.0", "stem.1"],
        ["stages.1.downsample.0", "stages.1.downsample.1"],
        ["head.norm", "head.fc"],
    ]
    assert len(depths) == 1 + 12 + 3 + 1  # stem, blocks, what halves the map, head


NET = """
input: [3, 8, 8]
layers:
  scale: {op: Parameter, shape: [1, 3, 1, 1]}
  scaled: {op: mul, from: [input, scale]}
  stem: {op: Conv2d, out_channels: 8, kernel_size: 3, padding: 1}
  norm: BatchNorm2d
  one: {op: Conv2d, out_channels: 8, kernel_size: 3, padding: 1}
  two: {op: Conv2d, out_channels: 8, kernel_size: 3, padding: 1}
  add: {op: add, from: [norm, two]}
  again: {share: one}
  early: {op: mean, dim: [2, 3]}
  aux: {op: Linear, out_features: 10}
  late: {op: Conv2d, from: again, out_channels: 8, kernel_size: 3, padding: 1}
  pool: {op: mean, dim: [2, 3]}
  neck: [{op: Linear, out_features: 8}, ReLU, {op: Linear, out_features: 8}, LayerNorm]
  fc: {op: Linear, out_features: 10}
output: {aux: aux, logits: fc}
"""


def test_free_tensors_branches_without_a_block_shared_layers_and_further_heads(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(NET)
    assert of_architecture(path) == [
        ["scale", "stem", "norm"],
        ["one", "two"],
        ["late"],
        ["neck.0"],
        ["neck.2", "neck.3"],
        ["aux", "fc"],
    ]


def test_another_librarys_model_in_a_graph_is_counted_from_within(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text("""
input: [3, 32, 32]
layers:
  body: {op: timm, name: resnet18, num_classes: 0}
  fc: {op: Linear, out_features: 10}
""")
    found = of_architecture(path)
    inner = in_order(parameter_depths(on_meta("resnet18")))
    assert found == [*([f"body.{name}" for name in names] for names in inner[:-1]), ["fc"]]


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "efficientnet_b0"])
def test_maps_of_a_timm_model_lie_as_deep_as_in_the_whole_model(name: str, tmp_path: Path) -> None:
    """timm counts from the head, which they have none of: it would have all of them at one depth."""
    path = tmp_path / "net.yaml"
    path.write_text(f"""
input: [3, 224, 224]
layers:
  body: {{op: timm, name: {name}, features: true, out_indices: [-1]}}
  pool: {{op: mean, dim: [2, 3], from: body.0}}
  scores: {{op: Linear, out_features: 10}}
""")
    network = architecture_network(path, Diagnostics())
    assert network is not None
    depths, whole = parameter_depths(network.build("meta")), parameter_depths(on_meta(name))
    shared = {n: whole[short] for n in depths if (short := n.removeprefix("body.").removeprefix("model.")) in whole}
    assert len(shared) == len(depths) - 2 > 50
    assert {n: depths[n] for n in shared} == shared
    assert depths["scores.weight"] == depths["scores.bias"] == max(shared.values()) + 1


@pytest.mark.parametrize(
    "name", ["resnet18", "convnext_tiny", "efficientnet_b0", "swin_t", "densenet121", "shufflenet_v2_x0_5"]
)
def test_maps_of_a_torchvision_model_lie_as_deep_as_in_the_whole_model(name: str) -> None:
    """Of its lists and blocks the names are left: the graph is traced, and its modules have no classes."""
    whole = parameter_depths(build_foreign("torchvision", name))
    maps = parameter_depths(build_foreign("torchvision", name, features=True))
    assert maps == {name: whole[name] for name in maps}
    assert len(maps) > len(whole) - 10
