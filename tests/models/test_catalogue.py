"""Shipped architectures and foreign models by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from zoo.architectures import architecture_names, architecture_path
from zoo.diagnostics import Diagnostics
from zoo.document import read_text
from zoo.errors import UsageError
from zoo.graph import compile_plan
from zoo.layers import ops
from zoo.layers.foreign import Library, argument_fault, build_foreign, unknown_model
from zoo.models import foreign_target, load_plan
from zoo.models.foreign import _with_head_for


@pytest.mark.parametrize("name", architecture_names())
def test_a_shipped_architecture_is_named_as_its_file_and_says_what_it_is(name: str) -> None:
    diagnostics = Diagnostics()
    plan = load_plan(name, diagnostics)
    assert plan is not None
    assert plan.name == name
    assert plan.doc
    assert not list(diagnostics)


def test_params_and_input_shape_replace_the_files_own() -> None:
    params = read_text("{classes: 7, head_bias: false}", Diagnostics())
    plan = load_plan("custom_resnet", Diagnostics(), params, (3, 64, 64))
    assert plan is not None
    assert plan.inputs["input"].shape == (-1, 3, 64, 64)
    module = compile_plan(plan, device="meta")
    assert (module.fc.out_features, module.fc.bias) == (7, None)


def test_seed_001s_network_has_no_bias_in_its_head() -> None:
    params = read_text("head_bias: false", Diagnostics())
    plan = load_plan("custom_resnet", Diagnostics(), params)
    assert plan is not None
    assert sum(p.numel() for p in compile_plan(plan, device="meta").parameters()) == 6_573_120


def test_a_file_comes_before_a_shipped_name_and_may_extend_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: tiny_resnet\nname: mine\nparams: {width: 8}\n")
    plan = load_plan(file, Diagnostics())
    assert plan is not None
    assert (plan.name, compile_plan(plan, device="meta").prep[0].out_channels) == ("mine", 8)


def test_an_unknown_name_offers_the_nearest() -> None:
    assert architecture_path("custom_resnt") is None
    with pytest.raises(UsageError) as caught:
        load_plan("custom_resnt", Diagnostics())
    assert "custom_resnet" in str(caught.value.help)


def test_a_text_that_is_no_foreign_target() -> None:
    assert foreign_target("custom_resnet") is None
    assert foreign_target("keras:resnet18") is None


def test_torchvisions_models_with_their_own_input_and_any_head() -> None:
    target = foreign_target("torchvision:inception_v3")
    assert target is not None
    assert target.input_shape == (3, 299, 299)
    small = foreign_target("torchvision:squeezenet1_1")
    assert small is not None
    module = small.build(classes=5)
    assert module(torch.zeros(1, 3, 64, 64)).shape == (1, 5)
    with pytest.raises(UsageError, match="no torchvision model 'resnt18'"):
        foreign_target("torchvision:resnt18")


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_models_with_auxiliary_heads_train_on_the_scores_alone(name: str) -> None:
    with torch.device("meta"):
        module = build_foreign("torchvision", name, num_classes=5, init_weights=False).train()
        assert module(torch.zeros(2, 3, 299, 299)).shape == (2, 5)
        with pytest.raises(UsageError, match="aux_logits"):
            build_foreign("torchvision", name, aux_logits=True)
    text = ops["torchvision"].constructor({"name": repr(name), "num_classes": "5"})
    assert text.endswith(f"get_model({name!r}, weights=None, num_classes=5, aux_logits=False)")


@pytest.mark.parametrize("key", ["checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"])
def test_no_argument_of_a_model_opens_a_file(key: str, tmp_path: Path) -> None:
    value = {"file": str(tmp_path / "x.pth")} if "cfg" in key else str(tmp_path / "x.pth")
    for arguments in ({key: value}, {"kwargs": {key: value}}):
        fault = argument_fault("timm", "resnet18", arguments)
        assert fault is not None
        assert (fault.argument, fault.help) == (key, "write weights: FILE in a recipe")
        with pytest.raises(UsageError, match=f"takes no {key}"):
            build_foreign("timm", "resnet18", **arguments)


@pytest.mark.parametrize(
    ("library", "key"), [("timm", "num_classes"), ("timm", "in_chans"), ("torchvision", "num_classes")]
)
def test_what_stands_beside_the_name_does_not_stand_in_kwargs(library: Library, key: str) -> None:
    fault = argument_fault(library, "resnet18", {"kwargs": {key: 5}})
    assert fault is not None
    assert (fault.argument, fault.message) == ("kwargs", f"resnet18: {key} has no place in kwargs")
    assert ops[library].check({"name": "resnet18", "kwargs": {key: 5}}) == ("kwargs", fault.message, fault.help)


def test_what_a_model_does_not_stand_is_no_bug() -> None:
    fault = argument_fault("timm", "resnet18", {"base_width": -64})
    assert fault is not None
    assert fault.message.startswith("resnet18: ")


def test_unknown_weights_of_a_model_offer_the_nearest() -> None:
    stranger = unknown_model("timm", "resnet18.a1_in1kk")
    assert stranger is not None
    assert stranger.message == "there is no set of timm weights 'resnet18.a1_in1kk'"
    assert "resnet18.a1_in1k" in (stranger.help or "")
    assert unknown_model("timm", "resnet18.a1_in1k") is None


def test_the_head_of_a_pretrained_model_is_replaced_a_convolution_too() -> None:
    said: list[str] = []
    for name, classes in (("squeezenet1_1", 5), ("resnet18", 5), ("squeezenet1_1", 1000)):
        module = torchvision.models.get_model(name, weights=None)
        assert _with_head_for(module, classes, said.append)(torch.zeros(2, 3, 64, 64)).shape == (2, classes)
    assert said == [f"{name} is new: 5 classes here, 1000 in the pretrained weights" for name in ("classifier.1", "fc")]
    with pytest.raises(UsageError, match="no head"):
        _with_head_for(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), 5, said.append)


@pytest.mark.slow
def test_timms_models_with_their_own_input_and_any_head() -> None:
    target = foreign_target("timm:convnext_atto.d2_in1k")
    assert target is not None
    assert target.input_shape == (3, 224, 224)
    module = target.build(classes=5)
    assert isinstance(module, nn.Module)
    assert module(torch.zeros(1, 3, 64, 64)).shape == (1, 5)
    with pytest.raises(UsageError) as caught:
        foreign_target("timm:convnext_ato")
    assert "convnext_atto" in str(caught.value.help)
