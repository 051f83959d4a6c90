from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from tests.explain.small_nets import ChannelsLast, Shrinking, SmallViT, ThinningTokens, small_cnn
from zoo.errors import UsageError
from zoo.explain import default_layer, layers_with_maps


def test_layers_are_listed_in_the_order_they_finish() -> None:
    layers = layers_with_maps(small_cnn(), (3, 16, 16))
    assert list(layers) == ["0.0", "0.1", "0.2", "0", "1", "2.0", "2.1", "2.2", "2"]
    assert layers["2"].size == "8x8"
    assert layers["2"].channels == 12


def test_the_default_is_the_last_with_a_map() -> None:
    assert default_layer(small_cnn(), (3, 16, 16)) == "2"


def test_a_map_of_2x2_is_the_default_only_where_nothing_better_is() -> None:
    assert default_layer(Shrinking(), (3, 16, 16)) == "body.1"  # 4x4
    assert default_layer(Shrinking(), (3, 6, 6)) == "body.1"  # 2x2 is the last above 1x1
    assert layers_with_maps(Shrinking(), (3, 16, 16))["body.2"].size == "2x2"


def test_tokens_behind_the_last_attention_count_only_where_they_are_read() -> None:
    assert default_layer(SmallViT(class_token=True), (3, 16, 16)) == "norm1"
    assert default_layer(SmallViT(class_token=False), (3, 16, 16)) == "norm"
    layers = layers_with_maps(SmallViT(class_token=True), (3, 16, 16))
    assert (layers["norm1"].layout, layers["norm1"].size, layers["norm1"].depends) == ("BNC", "4x4", True)
    assert not layers["norm"].depends


def test_tokens_that_are_thinned_out_stand_in_half_the_grid() -> None:
    layers = layers_with_maps(ThinningTokens(), (3, 20, 20))
    assert (layers["first"].size, layers["second"].size) == ("5x5", "3x3")
    maps = layers["second"].to_maps(torch.arange(2 * 9 * 12.0).view(2, 9, 12))
    assert maps[0, 0].flatten().tolist() == [12.0 * place for place in range(9)]


def test_a_zero_head_does_not_hide_what_the_output_depends_on() -> None:
    model = SmallViT()
    nn.init.zeros_(model.head.weight)
    assert default_layer(model, (3, 16, 16)) == "norm1"
    assert not model.head.weight.any()


def test_channels_last_maps_are_read_as_such() -> None:
    layers = layers_with_maps(ChannelsLast(), (3, 16, 16))
    assert layers["norm"].layout == "BHWC"
    maps = layers["norm"].to_maps(torch.arange(2 * 8 * 8 * 12.0).view(2, 8, 8, 12))
    assert maps.shape == (2, 12, 8, 8)


def test_images_need_not_be_square() -> None:
    layers = layers_with_maps(small_cnn(), (3, 16, 24))
    assert layers["2"].size == "8x12"
    tokens = layers_with_maps(SmallViT(), (3, 16, 24))
    assert tokens["norm1"].size == "4x6"


def test_folded_windows_are_no_map() -> None:
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4)
            self.head = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            windows = x[:, 0].unfold(1, 4, 4).unfold(2, 4, 4).reshape(-1, 4, 4)
            return self.head(self.inner(windows).mean(1).view(len(x), -1, 4).mean(1))

    with pytest.raises(UsageError, match="no layer of this network has a map"):
        default_layer(Windows(), (3, 16, 16))


def test_without_maps_there_is_nothing_to_explain() -> None:
    with pytest.raises(UsageError, match="no layer of this network has a map"):
        default_layer(nn.Sequential(nn.Flatten(), nn.Linear(48, 3)), (3, 4, 4))


@pytest.mark.parametrize(
    ("tail", "given"),
    [
        (nn.AdaptiveAvgPool2d(1), r"a tensor \[2, 8, 1, 1\]"),
        (nn.Flatten(2), r"a tensor \[2, 8, 256\]"),
        (nn.Flatten(0), r"a tensor \[4096\]"),
        (nn.AdaptiveMaxPool2d(1, return_indices=True), "a tuple"),
    ],
)
def test_what_gives_no_scores_of_classes_has_no_class_to_explain(tail: nn.Module, given: str) -> None:
    with pytest.raises(UsageError, match="no single tensor of class scores") as caught:
        layers_with_maps(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), tail), (3, 16, 16))
    assert re.search(f"it gives {given}, where", caught.value.notes[0].message)


def test_an_unknown_layer_is_answered_with_the_layers_there_are() -> None:
    from zoo.explain import cams

    with pytest.raises(UsageError, match=r"there is no layer '2\.3'") as caught:
        cams(small_cnn(), torch.randn(1, 3, 16, 16), [0], layer="2.3")
    listing = str(caught.value.notes[0])
    assert "2.2 (8x8)" in listing
    assert max(map(len, listing.splitlines())) <= 69  # with "   = note: " in front it fits 80 columns
    assert "did you mean" in (caught.value.help or "")
    with pytest.raises(UsageError, match="layer '5' has no map"):
        cams(small_cnn(), torch.randn(1, 3, 16, 16), [0], layer="5")


def test_modes_and_hooks_come_back() -> None:
    model = small_cnn().train()
    layers_with_maps(model, (3, 16, 16))
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


def test_compiled_architectures_are_explained() -> None:
    from zoo.diagnostics import Diagnostics
    from zoo.graph import compile_plan
    from zoo.models import load_plan

    plan = load_plan("tiny_resnet", Diagnostics())
    assert plan is not None
    shape = next(iter(plan.inputs.values())).shape[1:]
    module = compile_plan(plan)
    layers = layers_with_maps(module, shape)
    chosen = default_layer(module, shape)
    assert (chosen, layers[chosen].size) == ("layer2", "4x4")
    assert list(layers).index(chosen) == max(at for at, layer in enumerate(layers.values()) if layer.height >= 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("timm:resnet18", "layer4"),
        ("timm:vit_tiny_patch16_224", "blocks.11.norm1"),
        ("timm:deit_tiny_distilled_patch16_224", "blocks.11.norm1"),
        ("timm:swin_tiny_patch4_window7_224", "norm"),
        ("timm:levit_128s", "stages"),
        ("torchvision:vit_b_16", "encoder.layers.encoder_layer_11.ln_1"),
        ("torchvision:squeezenet1_1", "classifier.2"),
        ("torchvision:swin_t", "permute"),
    ],
)
def test_foreign_models_have_the_layer_that_people_take(name: str, layer: str) -> None:
    library, _, model_name = name.partition(":")
    if library == "timm":
        import timm

        model = timm.create_model(model_name, pretrained=False)
    else:
        import torchvision

        model = torchvision.models.get_model(model_name, weights=None)
    assert default_layer(model, (3, 224, 224)) == layer
