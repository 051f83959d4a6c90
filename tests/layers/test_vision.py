"""torchvision's layers, and whole models of torchvision and timm."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.layers import ops
from zoo.layers.foreign import build_foreign, foreign_names

MAP = (2, 8, 6, 6)
SCOPE_LINES = ("import torch", "from torch import nn")


def write(name: str, arguments: dict[str, Any]) -> nn.Module:
    """The module that the op's Python text builds."""
    scope: dict[str, Any] = {}
    for line in (*SCOPE_LINES, *ops[name].imports):
        exec(line, scope)
    built: nn.Module = eval(ops[name].constructor({key: repr(value) for key, value in arguments.items()}), scope)
    return built


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("LayerNorm2d", {"normalized_shape": 8, "eps": 1e-6}),
        ("StochasticDepth", {"p": 0.5, "mode": "row"}),
        ("SqueezeExcitation", {"input_channels": 8, "squeeze_channels": 2}),
        (
            "SqueezeExcitation",
            {"input_channels": 8, "squeeze_channels": 2, "activation": "SiLU", "scale_activation": "Hardsigmoid"},
        ),
        ("DropBlock2d", {"p": 0.5, "block_size": 3}),
        ("FrozenBatchNorm2d", {"num_features": 8}),
        ("Permute", {"dims": [0, 2, 3, 1]}),
    ],
)
def test_a_layer_is_torchvisions_own(name: str, arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    built = ops[name].build(arguments)
    torch.manual_seed(0)
    written = write(name, arguments)
    assert type(built).__module__.startswith("torchvision")
    assert repr(built) == repr(written)
    x = torch.randn(MAP)
    for training in (True, False):
        values = []
        for module in (built, written):
            torch.manual_seed(1)
            values.append(module.train(training)(x))
        assert torch.equal(*values)
    with torch.device("meta"):
        assert ops[name].build(arguments)(torch.empty(MAP)).device.type == "meta"


def test_squeeze_excitation_takes_activations_by_name() -> None:
    module = ops["SqueezeExcitation"].build({"input_channels": 8, "squeeze_channels": 2, "activation": "SiLU"})
    assert isinstance(module.activation, nn.SiLU)
    assert isinstance(module.scale_activation, nn.Sigmoid)


def test_classes_are_written_as_classes() -> None:
    texts = {"input_channels": "channels", "squeeze_channels": "8", "activation": '"SiLU"', "scale_activation": "gate"}
    expected = "SqueezeExcitation(channels, 8, activation=nn.SiLU, scale_activation=getattr(nn, gate))"
    assert ops["SqueezeExcitation"].constructor(texts) == expected


def test_the_catalogue_imports_neither_torchvision_nor_timm() -> None:
    code = "import sys; from zoo.layers import ops; len(ops); print({'timm', 'torchvision'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def shapes(values: Any) -> list[tuple[int, ...]]:
    tensors = values.values() if isinstance(values, dict) else [values] if isinstance(values, Tensor) else values
    return [tuple(value.shape) for value in tensors]


@pytest.mark.parametrize(
    ("library", "arguments", "expected"),
    [
        ("torchvision", {"name": "resnet18", "num_classes": 7}, [(1, 7)]),
        (
            "torchvision",
            {"name": "resnet18", "features": True},
            [(1, 64, 32, 32), (1, 64, 16, 16), (1, 128, 8, 8), (1, 256, 4, 4), (1, 512, 2, 2)],
        ),
        ("timm", {"name": "resnet18", "num_classes": 7, "in_chans": 3}, [(1, 7)]),
        (
            "timm",
            {"name": "resnet18", "features": True, "out_indices": (1, 4)},
            [(1, 64, 16, 16), (1, 512, 2, 2)],
        ),
        (
            "timm",
            {"name": "vit_tiny_patch16_224", "img_size": 64, "num_classes": 0, "kwargs": {"depth": 2}},
            [(1, 192)],
        ),
    ],
)
def test_a_foreign_model_is_the_librarys_own(library: str, arguments: dict[str, Any], expected: Any) -> None:
    torch.manual_seed(0)
    built = ops[library].build(arguments).eval()
    torch.manual_seed(0)
    written = write(library, arguments).eval()
    assert list(built.state_dict()) == list(written.state_dict())
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        values, again = built(x), written(x)
    assert shapes(values) == expected
    assert shapes(again) == expected
    with torch.device("meta"):
        on_meta = ops[library].build(arguments).eval()
    assert shapes(on_meta(torch.empty(1, 3, 64, 64, device="meta"))) == expected


def test_a_model_whose_constructor_reads_tensors_goes_to_meta_too() -> None:
    with torch.device("meta"):
        model = build_foreign("torchvision", "regnet_y_400mf")
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


def test_unknown_models_and_arguments() -> None:
    assert "resnet18" in foreign_names("timm")
    assert "resnet18" in foreign_names("torchvision")
    assert ops["timm"].check({"name": "resnet18.a1_in1k"}) is None
    assert ops["torchvision"].check({"name": "resnt18"}) == (
        "name",
        "there is no torchvision model 'resnt18'",
        "did you mean resnet18, resnet101 or resnet152?",
    )
    with pytest.raises(UsageError, match="no timm model"):
        build_foreign("timm", "resnt18")
    with pytest.raises(UsageError, match="unexpected keyword"):
        build_foreign("timm", "resnet18", kwargs={"depht": 3})
    with pytest.raises(UsageError, match="unexpected keyword"):
        build_foreign("torchvision", "resnet18", kwargs={"depht": 3})
