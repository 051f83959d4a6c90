"""Attention and the Transformer's layers. Floor 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from torch import nn

from zoo.layers.bounds import Probability, Size
from zoo.layers.declare import module
from zoo.layers.op import Check, Mixes


def _check_heads(heads: str, features: str) -> Check:
    def check(arguments: Mapping[str, Any]) -> tuple[str, str] | None:
        number, width = arguments[heads], arguments[features]
        return (heads, f"{number} does not divide {features} {width}") if width % number else None

    return check


def _over_sequence(arguments: Mapping[str, Any], rank: int) -> tuple[int, ...]:
    """Without ``batch_first`` these take dimension 0 for the sequence."""
    return () if arguments["batch_first"] else (0,)


_ACTIVATION = {"activation": (Literal["relu", "gelu"], "relu")}
_SEQUENCE: Mixes = _over_sequence

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
        mixes=_SEQUENCE,
    ),
    module(nn.TransformerEncoderLayer, overrides=_ACTIVATION, check=_check_heads("nhead", "d_model"), mixes=_SEQUENCE),
    module(nn.TransformerDecoderLayer, overrides=_ACTIVATION, check=_check_heads("nhead", "d_model"), mixes=_SEQUENCE),
)
