"""Functions of one input, value by value: activations, arithmetic, dropout. Floor 2."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from zoo.layers.bounds import Dim, Number, Positive
from zoo.layers.declare import NoArguments, function
from zoo.layers.op import Arguments, Fault, over
from zoo.schema import ArgsModel
from zoo.schema.signature import summary


class Gelu(ArgsModel):
    """Gaussian error linear unit (Hendrycks and Gimpel 2016)."""

    approximate: Literal["none", "tanh"] = Field("none", description="whether tanh stands in for the error function")


class Shrink(ArgsModel):
    """Sets values within ``lambd`` of zero to zero."""

    lambd: float = Field(0.5, ge=0, description="what is taken for zero")


class Softplus(ArgsModel):
    """A smooth ReLU; linear above the threshold."""

    beta: Positive = Field(1.0, description="how sharp the bend is")
    threshold: float = Field(20.0, description="above it the function is linear")


class Clamp(ArgsModel):
    """Limits values to ``min`` … ``max``."""

    min: Number | None = Field(None, description="the smallest value that comes out")
    max: Number | None = Field(None, description="the largest value that comes out")


def _check_clamp(arguments: Arguments) -> Fault | None:
    low, high = arguments.get("min"), arguments.get("max")
    if low is None and high is None:
        return Fault("min", "give min, max or both")
    is_empty = low is not None and high is not None and high < low
    return Fault("max", f"{high} lies below min {low}") if is_empty else None


_ACTIVATIONS = (
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "celu",
    "silu",
    "mish",
    "hardswish",
    "hardsigmoid",
    "hardtanh",
    "softsign",
    "tanhshrink",
    "threshold",
    "rrelu",
)
_DROPOUTS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")
_ARITHMETIC = {
    "abs": "The size of each value.",
    "neg": "Each value with its sign turned.",
    "sign": "-1, 0 or 1.",
    "square": "Each value times itself.",
    "sqrt": "Square roots.",
    "rsqrt": "One over the square root.",
    "reciprocal": "One over each value.",
    "exp": "e to the power of each value.",
    "log": "Natural logarithms.",
    "log1p": "Natural logarithms of one more.",
    "sin": "Sines.",
    "cos": "Cosines.",
    "erf": "The error function.",
    "floor": "The whole number below.",
    "ceil": "The whole number above.",
    "expm1": "e to the power of each value, less one.",
    "log2": "Logarithms to the base 2.",
    "atan": "Arc tangents.",
    "sinh": "Hyperbolic sines.",
    "cosh": "Hyperbolic cosines.",
    "round": "The nearest whole number.",
    "sigmoid": "The logistic function.",
    "tanh": "The hyperbolic tangent.",
}


def _doc(name: str) -> str:
    """What the layer of that name says of itself: ``LeakyReLU`` of ``leaky_relu``; the functions' own is a formula."""
    layer = next(layer for layer in dir(nn) if layer.lower() == name.replace("_", ""))
    return summary(getattr(nn, layer).__doc__)


OPS = (
    *(function(f"F.{name}", getattr(F, name), doc=_doc(name)) for name in (*_ACTIVATIONS, *_DROPOUTS)),
    *(function(f"torch.{name}", getattr(torch, name), NoArguments, doc=doc) for name, doc in _ARITHMETIC.items()),
    function("F.gelu", F.gelu, Gelu),
    function("F.softplus", F.softplus, Softplus),
    function("F.hardshrink", F.hardshrink, Shrink),
    function("F.softshrink", F.softshrink, Shrink),
    function("F.logsigmoid", F.logsigmoid, NoArguments, doc="The logarithm of the logistic function."),
    function("F.prelu", F.prelu, NoArguments, inputs=("input", "weight"), doc="A leaky ReLU with given slopes."),
    function("F.glu", F.glu, mixes=over("dim")),
    function("torch.clamp", torch.clamp, Clamp, check=_check_clamp),
    *(
        function(f"F.{target.__name__}", target, overrides={"dim": (Dim, ...)}, mixes=over("dim"))
        for target in (F.softmax, F.log_softmax, F.softmin)
    ),
)
