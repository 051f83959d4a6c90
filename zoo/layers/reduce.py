"""Functions that gather values: means, sums, pools, norms, windows. Floor 2."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field

from zoo.layers.bounds import DESCRIBED, Amount, Dim, DimOrDims, Margin, NonNegative, Positive, Size
from zoo.layers.declare import forms, function, no_arguments
from zoo.layers.op import Arguments, Fault, Op, all_but_first, along, last, maps, over
from zoo.layers.pool import MODES, RESIZE, adaptive, check_resize, check_window
from zoo.schema import ArgsModel, arguments_model


class Reduce(ArgsModel):
    """Over one or several dimensions."""

    dim: DimOrDims
    keepdim: bool = Field(False, description="keep the dimension, with size 1")


class Spread(ArgsModel):
    """Over one or several dimensions; divides by their size less ``correction``."""

    dim: DimOrDims
    correction: Amount = Field(1, description="taken from the count that is divided by")
    keepdim: bool = Field(False, description="keep the dimension, with size 1")


class Along(ArgsModel):
    """Along one dimension."""

    dim: Dim


class ReduceOne(ArgsModel):
    """Over one dimension."""

    dim: Dim
    keepdim: bool = Field(False, description="keep the dimension, with size 1")


class VectorNorm(ArgsModel):
    """The norm of the vectors along a dimension."""

    ord: float = Field(2.0, description="the norm's power")
    dim: DimOrDims
    keepdim: bool = Field(False, description="keep the dimension, with size 1")


class Pad(ArgsModel):
    """Adds values around the last dimensions; a pair for each, the last dimension first. Negative numbers crop."""

    pad: tuple[Margin, ...] = Field(min_length=2, description="before and after, the last dimension first")
    mode: Literal["constant", "reflect", "replicate", "circular"] = Field("constant", description="what is added")
    value: float | None = Field(None, allow_inf_nan=True, description="the constant")


class Triangle(ArgsModel):
    """Keeps one side of the diagonal of the last two dimensions, and puts zeros on the other."""

    diagonal: Margin = Field(0, description="how far above the main diagonal the cut runs")


class GumbelSoftmax(ArgsModel):
    """A sample of one choice along a dimension, soft or hard (Jang et al. 2016)."""

    tau: Positive = Field(1.0, description="the temperature")
    hard: bool = Field(False, description="whether one value is 1 and the rest 0")
    dim: Dim = -1


class CosineSimilarity(ArgsModel):
    """The cosine of the angle between two inputs along a dimension."""

    dim: Dim = 1
    eps: NonNegative = Field(1e-8, description="the least product of lengths")


def _pool(kind: str, rank: int) -> Op:
    """``max_pool2d`` and its like; torch hides their signatures behind a dispatch on ``return_indices``."""
    size = forms(Size, rank)
    fields: dict[str, Any] = {"kernel_size": size, "stride": (size | None, None), "padding": (forms(Amount, rank), 0)}
    if kind == "max":
        fields |= {"dilation": (size, 1), "ceil_mode": (bool, False)}
    else:
        fields |= {"ceil_mode": (bool, False), "count_include_pad": (bool, True)}
        fields |= {"divisor_override": (Size | None, None)} if rank > 1 else {}
    name = f"{kind}_pool{rank}d"
    what = "largest" if kind == "max" else "average"
    model = arguments_model(
        name, no_arguments, overrides=fields, described=DESCRIBED, doc=f"The {what} of each window."
    )
    return function(f"F.{name}", getattr(F, name), model, check=check_window, mixes=last(rank))


def _adaptive(kind: str, rank: int) -> Op:
    name = f"adaptive_{kind}_pool{rank}d"
    doc = "Pools to an output size; null keeps the input's."
    model = arguments_model(name, no_arguments, overrides={"output_size": adaptive(rank)}, described=DESCRIBED, doc=doc)
    return function(f"F.{name}", getattr(F, name), model, mixes=last(rank))


def _padded(arguments: Arguments, rank: int, index: int) -> tuple[int, ...]:
    """The dimensions that anything is added to, or taken from: of the pairs, the first is the last dimension's."""
    pads = arguments["pad"]
    return tuple(-1 - place for place in range(len(pads) // 2) if any(pads[2 * place : 2 * place + 2]))


def _check_pad(arguments: Arguments) -> Fault | None:
    return Fault("pad", "expected a pair for each dimension") if len(arguments["pad"]) % 2 else None


_REDUCTIONS: dict[str, tuple[type[ArgsModel], str]] = {
    "mean": (Reduce, "The mean"),
    "sum": (Reduce, "The sum"),
    "amax": (Reduce, "The largest value"),
    "amin": (Reduce, "The smallest value"),
    "logsumexp": (Reduce, "The logarithm of the sum of exponentials"),
    "std": (Spread, "The standard deviation"),
    "var": (Spread, "The variance"),
    "prod": (ReduceOne, "The product"),
    "cumsum": (Along, "The running sum"),
}

OPS = (
    *(
        function(f"torch.{name}", getattr(torch, name), model, mixes=over("dim"), doc=f"{doc} over dimensions.")
        for name, (model, doc) in _REDUCTIONS.items()
    ),
    function("torch.linalg.vector_norm", torch.linalg.vector_norm, VectorNorm, mixes=over("dim")),
    *(_pool(kind, rank) for kind in ("max", "avg") for rank in (1, 2, 3)),
    *(_adaptive(kind, rank) for kind in ("max", "avg") for rank in (1, 2, 3)),
    *(
        function(
            f"F.{target.__name__}",
            target,
            overrides={"kernel_size": forms(Size, rank), "stride": forms(Size, rank) | None},
            mixes=last(rank),
        )
        for rank, target in ((1, F.lp_pool1d), (2, F.lp_pool2d))
    ),
    function("F.gumbel_softmax", F.gumbel_softmax, GumbelSoftmax, mixes=over("dim")),
    *(function(f"torch.{name}", getattr(torch, name), Triangle, mixes=along(-2, -1)) for name in ("tril", "triu")),
    function("F.normalize", F.normalize, overrides={"p": Positive}, inputs=("input",), mixes=over("dim")),
    *(
        function(f"F.{target.__name__}", target, overrides={"normalized_shape": tuple[Size, ...]}, inputs=("input",))
        for target in (F.layer_norm, F.rms_norm)
    ),
    function("F.group_norm", F.group_norm, inputs=("input",), mixes=all_but_first),
    function(
        "F.instance_norm",
        F.instance_norm,
        leave_out=("use_input_stats", "momentum"),
        inputs=("input",),
        mixes=maps,
    ),
    function("F.local_response_norm", F.local_response_norm, mixes=along(1)),
    function("F.interpolate", F.interpolate, overrides={**RESIZE, "mode": MODES}, check=check_resize, mixes=maps),
    function("F.pad", F.pad, Pad, check=_check_pad, mixes=_padded),
    function(
        "F.unfold",
        F.unfold,
        overrides={"padding": forms(Amount, 2)} | dict.fromkeys(("kernel_size", "dilation", "stride"), forms(Size, 2)),
        mixes=all_but_first,
    ),
    function("F.cosine_similarity", F.cosine_similarity, CosineSimilarity, inputs=("x1", "x2"), mixes=over("dim")),
)
