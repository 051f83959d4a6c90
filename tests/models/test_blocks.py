"""Which modules of a network are its blocks."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from zoo.assemble.networks import architecture_network, foreign_network
from zoo.diagnostics import Diagnostics
from zoo.models import blocks_of


def of_graph(name: str | Path) -> nn.Module:
    network = architecture_network(name, Diagnostics())
    assert network is not None
    return network.build("meta")


def numbered(*counts: int, form: str = "layer{}.{}") -> list[str]:
    return [form.format(stage, n) for stage, count in enumerate(counts, start=1) for n in range(count)]


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("resnet18", numbered(2, 2, 2, 2)),
        ("resnet50", numbered(3, 4, 6, 3)),
        ("custom_resnet", ["prep", "layer1", "res1", "layer2", "layer3", "res2"]),
        ("tiny_resnet", ["prep", "layer1", "conv", "layer2"]),
        ("airbench94", ["group1", "group2", "group3"]),
        ("vit_tiny_patch16_224", [f"blocks.{n}" for n in range(12)]),
    ],
)
def test_of_a_graph_the_named_blocks(name: str, blocks: list[str]) -> None:
    assert list(blocks_of(of_graph(name))) == blocks


@pytest.mark.parametrize("name", ["densenet121", "convnext_atto", "mobilenet_v2", "shufflenet_v2_x1_0", "airbench96"])
def test_no_block_lies_in_another_and_most_weights_in_one(name: str) -> None:
    model = of_graph(name)
    blocks = blocks_of(model)
    assert not [one for one in blocks for other in blocks if one.startswith(f"{other}.")]
    inside = sum(tensor.numel() for block in blocks for tensor in model.get_submodule(block).parameters())
    assert inside > 0.5 * sum(tensor.numel() for tensor in model.parameters())


@pytest.mark.parametrize(
    ("name", "classes", "first"),
    [
        ("torchvision:resnet50", {"Bottleneck": 16}, "layer1.0"),
        ("torchvision:vit_b_16", {"EncoderBlock": 12}, "encoder.layers.encoder_layer_0"),
        ("torchvision:swin_t", {"SwinTransformerBlock": 12}, "features.1.0"),
        ("torchvision:mobilenet_v2", {"InvertedResidual": 17}, "features.1"),
        ("torchvision:efficientnet_b0", {"MBConv": 16}, "features.1.0"),
        ("torchvision:densenet121", {"_DenseLayer": 58}, "features.denseblock1.denselayer1"),
        ("torchvision:convnext_tiny", {"CNBlock": 18}, "features.1.0"),
        ("torchvision:squeezenet1_1", {"Fire": 8}, "features.3"),
        ("torchvision:googlenet", {"Inception": 9}, "inception3a"),  # has no lists
        ("torchvision:vgg11", {}, None),
        ("timm:vit_tiny_patch16_224", {"Block": 12}, "blocks.0"),
        ("timm:swin_tiny_patch4_window7_224", {"SwinTransformerBlock": 12}, "layers.0.blocks.0"),
        ("timm:efficientnet_b0", {"DepthwiseSeparableConv": 1, "InvertedResidual": 15}, "blocks.0.0"),
        ("timm:davit_tiny", {"SpatialBlock": 6, "ChannelBlock": 6}, "stages.0.blocks.0.0"),
        ("timm:nfnet_f0", {"NormFreeBlock": 12}, "stages.0.0"),  # its stem is a list of layers with two matrices each
    ],
)
def test_of_another_librarys_model_the_items_of_lists(name: str, classes: dict[str, int], first: str | None) -> None:
    model = foreign_network(name).build("meta")
    blocks = blocks_of(model)
    found = [type(model.get_submodule(block)).__name__ for block in blocks]
    assert {each: found.count(each) for each in found} == classes
    assert next(iter(blocks), None) == first


def test_a_foreign_model_in_a_graph_has_its_own(tmp_path: Path) -> None:
    net = tmp_path / "net.yaml"
    net.write_text(
        """
input: [3, 32, 32]
blocks:
  Head:
    layers:
      flatten: {op: flatten, start_dim: 1}
      fc1: {op: Linear, out_features: 8}
      fc2: {op: Linear, out_features: 10}
  Wrapper:                    # a layer with weights in a block is no block
    layers: [{op: Conv2d, out_channels: 3, kernel_size: 1}, ReLU]
layers:
  wrapped: Wrapper
  backbone: {op: timm, name: resnet18, num_classes: 10}
  head: Head
"""
    )
    assert list(blocks_of(of_graph(net))) == [*(f"backbone.{name}" for name in numbered(2, 2, 2, 2)), "head"]
