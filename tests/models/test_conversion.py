"""First weights of another image size, other channels, another project's names: as the libraries do it, and told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import adapt_input_conv
from torch import Tensor, nn
from torchvision.models import VisionTransformer, googlenet
from torchvision.models.vision_transformer import interpolate_embeddings

from tests.models.test_weights import tiny
from zoo.errors import CheckpointError
from zoo.models import ForeignModel, load_weights

VIT, SWIN = "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"
SMALL: dict[str, dict[str, Any]] = {
    VIT: {"embed_dim": 12, "depth": 1},
    SWIN: {"embed_dim": 12, "depths": [1, 1], "num_heads": [1, 2]},
    "beit_base_patch16_224": {"embed_dim": 12, "depth": 1, "num_heads": 3},
    "resnet10t": {},
}


def made(name: str, **arguments: Any) -> nn.Module:
    torch.manual_seed(1)
    module: nn.Module = timm.create_model(name, **SMALL[name], **arguments)
    for parameter in module.parameters():
        nn.init.normal_(parameter)  # tables and biases begin as zeros
    return module


def written(state: dict[str, Tensor], form: str, folder: Path) -> Path:
    if form == "safetensors":
        save_file(state, folder / "w.safetensors")
        return folder / "w.safetensors"
    if form == "run":
        save_file(state, folder / "model.safetensors")
        return folder
    state = {name: value.half() for name, value in state.items()} if form == "fp16" else state
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, folder / "w.pth")
    return folder / "w.pth"


def by_timm(name: str, state: dict[str, Tensor], arguments: dict[str, Any]) -> dict[str, Tensor]:
    """What timm itself loads from these weights as pretrained ones."""
    source = {"state_dict": dict(state), "input_size": (3, 224, 224)}
    model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=source, **SMALL[name], **arguments)
    return dict(model.state_dict())


CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "larger": (VIT, {"img_size": 384}, "resampled by timm, bicubic: pos_embed 14 x 14 -> 24 x 24"),
    "not square": (VIT, {"img_size": [32, 64]}, "resampled by timm, bicubic: pos_embed 14 x 14 -> 2 x 4"),
    "as many in other places": (
        VIT,
        {"img_size": [112, 448]},
        "resampled by timm, bicubic: pos_embed 14 x 14 -> 7 x 28",
    ),
    "smaller patches": (
        VIT,
        {"img_size": 32, "patch_size": 8, "in_chans": 1},
        "resampled by timm, bicubic: pos_embed 14 x 14 -> 4 x 4, patch_embed.proj.weight 16 x 16 -> 8 x 8; "
        "patch_embed.proj takes 1 channel here, 3 in the file: summed",
    ),
    "windows": (
        SWIN,
        {"img_size": 64, "window_size": 4},
        "resampled by timm: 2 x relative_position_bias_table 13 x 13 -> 7 x 7",
    ),
    "tokens in a table": (
        "beit_base_patch16_224",
        {"img_size": 64},
        "resampled by timm, bicubic: relative_position_bias_table 27 x 27 -> 7 x 7",
    ),
    "one channel": ("resnet10t", {"in_chans": 1}, "conv1.0 takes 1 channel here, 3 in the file: summed"),
    "more channels": (
        "resnet10t",
        {"in_chans": 5},
        "conv1.0 takes 5 channels here, 3 in the file: repeated and scaled",
    ),
}


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning")  # of timm, in the control
@pytest.mark.parametrize("case", CASES)
def test_what_timm_adapts_is_adapted_as_timm_does_and_said(case: str, tmp_path: Path) -> None:
    name, arguments, said = CASES[case]
    state = made(name).state_dict()
    foreign = ForeignModel("timm", name, (3, 224, 224), SMALL[name] | arguments)
    module = foreign.build()
    drawn = torch.random.get_rng_state()
    line = load_weights(module, written(state, "safetensors", tmp_path), foreign=foreign)
    assert torch.equal(torch.random.get_rng_state(), drawn)  # what is drawn after it does not depend on the file
    assert line.endswith(f"w.safetensors; {said}")
    expected = by_timm(name, state, arguments)
    assert all(torch.equal(value, expected[key]) for key, value in module.state_dict().items())


def test_positions_of_a_checkpoint_of_zoos_own_stay_where_they_are_which_is_told(tmp_path: Path) -> None:
    """A network that was trained on oblong images goes on with them: its positions are in their places."""
    foreign = ForeignModel("timm", VIT, (3, 224, 224), SMALL[VIT] | {"img_size": [112, 448]})
    state, module = made(VIT, img_size=(112, 448)).state_dict(), foreign.build()
    folder = written(state, "run", tmp_path)
    assert "resampled by timm, bicubic: pos_embed 14 x 14 -> 7 x 28" in load_weights(module, folder, foreign=foreign)
    (folder / "manifest.json").write_text("{}")
    line = load_weights(module, folder, foreign=foreign)
    assert line.endswith("; pos_embed is taken for 7 x 28: wrong places, if it was trained as 14 x 14")
    assert torch.equal(module.state_dict()["pos_embed"], state["pos_embed"])
    assert "pos_embed" not in load_weights(made(VIT), written(made(VIT).state_dict(), "run", tmp_path), foreign=foreign)


@pytest.mark.parametrize("form", ["run", "wrapped", "fp16"])
def test_files_of_every_form_are_adapted(form: str, tmp_path: Path) -> None:
    state = made(VIT).state_dict()
    foreign = ForeignModel("timm", VIT, (3, 32, 32), {**SMALL[VIT], "img_size": 32})
    module = foreign.build(classes=3)
    head = module.get_parameter("head.weight").detach().clone()
    line = load_weights(module, written(state, form, tmp_path), may_lack_head=True, foreign=foreign)
    assert line.endswith("; head is new: 3 classes here, 1000 in the file; " + CASES["larger"][2].replace("24", "2"))
    assert torch.equal(module.get_parameter("head.weight"), head)
    expected = by_timm(VIT, state, {"img_size": 32})["pos_embed"]
    torch.testing.assert_close(module.state_dict()["pos_embed"], expected, atol=4e-3 * (form == "fp16"), rtol=0)


def test_names_of_another_project_are_turned_into_timms(tmp_path: Path) -> None:
    """As DeiT III's own files name what timm calls ``ls1.gamma``."""
    name, small = "deit3_small_patch16_224", {"embed_dim": 12, "depth": 1, "num_heads": 3}
    foreign = ForeignModel("timm", name, (3, 224, 224), small)
    source, target = foreign.build(), foreign.build()
    state = {key.replace("ls1.gamma", "gamma_1"): value for key, value in source.state_dict().items()}
    line = load_weights(target, written(state, "safetensors", tmp_path), foreign=foreign)
    assert line.endswith("; 1 tensor renamed or left out by timm")
    assert all(map(torch.equal, source.state_dict().values(), target.state_dict().values()))


@pytest.mark.parametrize("is_there", [True, False])
def test_a_model_with_two_heads_gets_both_anew(is_there: bool, tmp_path: Path) -> None:
    foreign = ForeignModel("timm", "efficientformer_l1", (3, 224, 224), {"kwargs": {"depths": [1, 1, 1, 1]}})
    source, target = foreign.build(), foreign.build(classes=3)
    state = {name: value for name, value in source.state_dict().items() if is_there or "head" not in name}
    line = load_weights(target, written(state, "safetensors", tmp_path), may_lack_head=True, foreign=foreign)
    why = "3 classes here, 1000 in the file" if is_there else "it is not in the file"
    assert line.endswith(f"; head and head_dist are new: {why}")


def transformer(side: int) -> VisionTransformer:
    return VisionTransformer(image_size=side, patch_size=8, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8)


def test_positions_of_torchvisions_transformer_go_through_its_own_function(tmp_path: Path) -> None:
    source, target = transformer(32), transformer(48)
    nn.init.normal_(source.encoder.pos_embedding)
    foreign = ForeignModel("torchvision", "vit_b_16", (3, 48, 48), {"image_size": 48})
    line = load_weights(target, written(source.state_dict(), "safetensors", tmp_path), foreign=foreign)
    assert line.endswith("; resampled by torchvision, bicubic: encoder.pos_embedding 4 x 4 -> 6 x 6")
    expected = interpolate_embeddings(48, 8, source.state_dict())
    assert all(torch.equal(value, expected[name]) for name, value in target.state_dict().items())


def test_torchvisions_own_files_of_googlenet_leave_their_auxiliary_heads_behind(tmp_path: Path) -> None:
    foreign = ForeignModel("torchvision", "googlenet", (3, 224, 224), {"kwargs": {"init_weights": False}})
    source, target = googlenet(init_weights=False), foreign.build()
    line = load_weights(target, written(source.state_dict(), "safetensors", tmp_path), foreign=foreign)
    assert line.endswith("; 20 tensors renamed or left out by torchvision")
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in target.state_dict().items())


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_the_first_convolution_of_an_architecture_is_adapted_too(channels: int, tmp_path: Path) -> None:
    target = tiny()
    given = torch.randn(32, channels, 3, 3)
    state = {**tiny().state_dict(), "prep.conv.weight": given}
    line = load_weights(target, written(state, "safetensors", tmp_path))
    assert line.endswith(f"; prep.conv takes 1 channel here, {channels} in the file: summed")
    assert torch.equal(target.prep.conv.weight, adapt_input_conv(1, given, base_chans=channels))


def test_a_reparametrized_first_convolution_takes_weights_of_its_own_names(tmp_path: Path) -> None:
    """A plugin's op may build one: its weight is computed, and no parameter."""

    def made() -> nn.Module:
        return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.Flatten(), nn.Linear(4, 2))

    source, target = made(), made()
    line = load_weights(target, written(source.state_dict(), "safetensors", tmp_path))
    assert line == f"loaded 5 tensors from {tmp_path / 'w.safetensors'}"
    assert all(map(torch.equal, source.state_dict().values(), target.state_dict().values()))


def test_a_first_convolution_of_no_channels_is_of_another_shape(tmp_path: Path) -> None:
    state = {**tiny().state_dict(), "prep.conv.weight": torch.zeros(32, 0, 3, 3)}
    with pytest.raises(CheckpointError, match="1 tensor of another shape"):
        load_weights(tiny(), written(state, "safetensors", tmp_path))


def test_what_nothing_fits_is_refused_as_it_came_and_changes_nothing(tmp_path: Path) -> None:
    foreign = ForeignModel("timm", VIT, (3, 32, 32), {**SMALL[VIT], "img_size": 32, "embed_dim": 24})
    module = foreign.build()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    path = written(made(VIT).state_dict(), "safetensors", tmp_path)
    with pytest.raises(CheckpointError, match="of another shape") as caught:
        load_weights(module, path, foreign=foreign)
    assert str(caught.value.notes[0].message) == "cls_token: [1, 1, 24] here, [1, 1, 12] in the file"
    assert "head.bias" not in str(caught.value.notes)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    with pytest.raises(CheckpointError, match="tensors missing"):
        load_weights(module, written(tiny().state_dict(), "wrapped", tmp_path), foreign=foreign)


def test_an_architecture_takes_positions_as_they_are_and_the_way_out_is_named(tmp_path: Path) -> None:
    given = {"pos_embed": torch.zeros(1, 17, 8), "fc.weight": torch.zeros(2, 8)}
    module = nn.Module()
    module.pos_embed = nn.Parameter(torch.zeros(1, 5, 8))
    module.fc = nn.Linear(8, 2, bias=False)
    with pytest.raises(CheckpointError) as caught:
        load_weights(module, written(given, "safetensors", tmp_path))
    assert [note.message for note in caught.value.notes] == ["pos_embed: [1, 5, 8] here, [1, 17, 8] in the file"]
    assert str(caught.value.help).endswith("positions are resampled for model: {timm: NAME} and {torchvision: NAME}")


def test_what_timm_changes_of_its_pretrained_weights_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "models--timm--test_vit.r160_in1k"
    for part in ("refs", "snapshots/0123"):
        (folder / part).mkdir(parents=True)
    (folder / "refs" / "main").write_text("0123")
    written(timm.create_model("test_vit").state_dict(), "run", folder / "snapshots" / "0123")
    said: list[str] = []
    foreign = ForeignModel("timm", "test_vit", (3, 160, 160), {"img_size": 32, "in_chans": 1})
    foreign.build(classes=3, pretrained=True, note=said.append)
    assert said[0] == "timm: Resized position embedding: (10, 10) to (2, 2)."
    assert said[1] == "timm: Converted input conv patch_embed.proj pretrained weights from 3 to 1 channel(s)"
    assert said[2].startswith("timm: Missing keys (head.weight, head.bias) discovered")
    assert len(said) == 3


@pytest.mark.slow
def test_torchvisions_pretrained_transformers_take_another_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    foreign = ForeignModel("torchvision", "vit_b_32", (3, 64, 64), {"image_size": 64})
    state = replace(foreign, arguments={}).build().state_dict()
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(state, tmp_path / "hub" / "checkpoints" / "vit_b_32-d86f8d99.pth")
    said: list[str] = []
    module = foreign.build(classes=3, pretrained=True, note=said.append)
    assert said == [
        "resampled by torchvision, bicubic: encoder.pos_embedding 7 x 7 -> 2 x 2",
        "heads.head is new: 3 classes here, 1000 in the pretrained weights",
    ]
    expected = interpolate_embeddings(64, 32, state)
    assert all(torch.equal(value, expected[name]) for name, value in module.state_dict().items() if "head" not in name)
