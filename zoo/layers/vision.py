"""torchvision's own layers. torchvision takes seconds to import, so each is imported when it is built. Floor 2."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field
from torch import nn

from zoo.layers.bounds import NAMED, Dims, NonNegative, Probability, Size
from zoo.layers.declare import INFERRED
from zoo.layers.op import Arguments, Fault, Inferred, Op, all_but_first, as_constructor
from zoo.schema import ArgsModel, arguments_model

ACTIVATIONS = Literal["ReLU", "ReLU6", "LeakyReLU", "SiLU", "GELU", "Hardswish", "Mish", "ELU"]
GATES = Literal["Sigmoid", "Hardsigmoid"]


class StochasticDepth(ArgsModel):
    """Drops whole samples, or the whole batch, from a residual branch while training (Huang et al. 2016)."""

    p: Probability = Field(description="the probability of dropping")
    mode: Literal["batch", "row"] = Field(description="drop the whole batch, or sample by sample")


class SqueezeExcitation(ArgsModel):
    """Weighs channels by what all of the map says (Hu et al. 2018)."""

    input_channels: Size = Field(description="channels that come in and go out")
    squeeze_channels: Size = Field(description="channels between the two convolutions")
    activation: ACTIVATIONS = Field("ReLU", description="between the two convolutions")
    scale_activation: GATES = Field("Sigmoid", description="makes the weights")


class DropBlock(ArgsModel):
    """Drops square blocks of a map while training (Ghiasi et al. 2018)."""

    p: Probability = Field(description="the share that is dropped")
    block_size: Size = Field(description="the squares' side: odd, and within the map")
    inplace: bool = Field(False, description="write into the input")
    eps: NonNegative = Field(1e-6, description="added to the count that is divided by")


class FrozenBatchNorm(ArgsModel):
    """A batch norm whose statistics and weights are constants."""

    num_features: Size = Field(description="channels")
    eps: NonNegative = Field(1e-5, description="added to the variance")


class Permute(ArgsModel):
    """Puts the dimensions into another order."""

    dims: Dims


LayerNorm2d = arguments_model(
    "LayerNorm2d",
    nn.LayerNorm,
    leave_out=("device", "dtype"),
    within=NAMED,
    doc="A layer norm over the channels of a map.",
)
_CLASSES = ("activation", "scale_activation")  # arguments that name a class of torch.nn


def _builder(home: str, name: str) -> Callable[..., nn.Module]:
    def build(**arguments: Any) -> nn.Module:
        target = getattr(importlib.import_module(home), name)
        built: nn.Module = target(
            **{key: getattr(nn, value) if key in _CLASSES else value for key, value in arguments.items()}
        )
        return built

    return build


def _write_classes(op: Op, arguments: Mapping[str, str]) -> str:
    """Names of classes as the classes: ``"SiLU"`` becomes ``nn.SiLU``, a variable ``getattr(nn, variable)``."""
    texts = {
        key: text if key not in _CLASSES else f"nn.{text[1:-1]}" if text[0] in "'\"" else f"getattr(nn, {text})"
        for key, text in arguments.items()
    }
    return as_constructor(op, texts)


def _layer(name: str, arguments: type[ArgsModel], home: str = "torchvision.ops", **options: Any) -> Op:
    infers: dict[str, Inferred] = {key: value for key, value in INFERRED.items() if key in arguments.model_fields}
    imports = (f"from {home} import {name}", *options.pop("imports", ()))
    return Op(
        name=name,
        kind="module",
        target=_builder(home, name),
        arguments=arguments,
        path=name,
        imports=imports,
        infers=options.pop("infers", infers),
        doc=arguments.__doc__ or "",
        **options,
    )


def _check_block(arguments: Arguments) -> Fault | None:
    size = arguments["block_size"]
    return None if size % 2 else Fault("block_size", f"expected an odd number, got {size}")


OPS = (
    _layer("LayerNorm2d", LayerNorm2d, "torchvision.models.convnext", infers={"normalized_shape": "channels"}),
    _layer("StochasticDepth", StochasticDepth),
    _layer(
        "SqueezeExcitation",
        SqueezeExcitation,
        imports=("from torch import nn",),
        constructs=_write_classes,
        mixes=all_but_first,
    ),
    _layer("DropBlock2d", DropBlock, check=_check_block),
    _layer("FrozenBatchNorm2d", FrozenBatchNorm),
    _layer("Permute", Permute),
)
