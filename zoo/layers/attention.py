"""Attention and the Transformer's layers. Floor 2."""

from __future__ import annotations

from typing import Literal

from torch import nn

from zoo.layers.bounds import Probability, Size
from zoo.layers.declare import module
from zoo.layers.op import Arguments, Check, Fault, Mixes


def _check_heads(heads: str, features: str) -> Check:
    def check(arguments: Arguments) -> Fault | None:
        number, width = arguments[heads], arguments[features]
        return Fault(heads, f"{number} does not divide {features} {width}") if width % number else None

    return check


def _over_sequence(inputs: int) -> Mixes:
    """All dimensions of the first so many inputs but the batch's; the others are masks, which mix nothing.

    Without ``batch_first`` the batch is dimension 1, and a tensor of two dimensions is taken for a single sample.
    """

    def dims(arguments: Arguments, rank: int, index: int) -> tuple[int, ...]:
        batch = -1 if rank < 3 else 0 if arguments["batch_first"] else 1
        return tuple(dim for dim in range(rank) if dim != batch) if index < inputs else ()

    return dims


_ACTIVATION = {"activation": (Literal["relu", "gelu"], "relu")}

OPS = (
    module(
        nn.MultiheadAttention,
        overrides={
            "embed_dim": Size,
            "num_heads": Size,
            "dropout": Probability,
            "kdim": Size | None,
            "vdim": Size | None,
        },
        check=_check_heads("num_heads", "embed_dim"),
        mixes=_over_sequence(3),
    ),
    *(
        module(target, overrides=_ACTIVATION, check=_check_heads("nhead", "d_model"), mixes=_over_sequence(inputs))
        for target, inputs in ((nn.TransformerEncoderLayer, 1), (nn.TransformerDecoderLayer, 2))
    ),
)
