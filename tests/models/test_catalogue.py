"""Shipped architectures and foreign models by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from zoo.diagnostics import Diagnostics
from zoo.document import read_text
from zoo.errors import UsageError
from zoo.graph import compile_plan
from zoo.models import architecture_names, architecture_path, foreign_target, load_plan


@pytest.mark.parametrize("name", architecture_names())
def test_a_shipped_architecture_is_named_as_its_file_and_says_what_it_is(name: str) -> None:
    diagnostics = Diagnostics()
    plan = load_plan(name, diagnostics)
    assert plan is not None
    assert plan.name == name
    assert plan.doc
    assert not list(diagnostics)
    total = sum(parameter.numel() for parameter in compile_plan(plan, device="meta").parameters())
    assert "parameters" not in plan.doc or f"{total:,} parameters" in plan.doc


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
    target = foreign_target("torchvision:inception_v3", init_weights=False)
    assert target is not None
    assert target.input_shape == (3, 299, 299)
    small = foreign_target("torchvision:squeezenet1_1")
    assert small is not None
    module = small.build(classes=5)
    assert module(torch.zeros(1, 3, 64, 64)).shape == (1, 5)
    with pytest.raises(UsageError, match="no torchvision model 'resnt18'"):
        foreign_target("torchvision:resnt18")


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
