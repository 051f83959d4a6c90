"""Layers of weights without a window: linear, bilinear, lookup; and distances between two inputs. Floor 2."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from zoo.layers.bounds import Positive
from zoo.layers.declare import module
from zoo.layers.op import Arguments, Fault, along, over

# PyTorch finds a bilinear layer's shape feature by feature, a fifth of a millisecond each.
_MostBilinear = Annotated[int, Field(ge=1, le=8192)]


def _check_padding_index(arguments: Arguments) -> Fault | None:
    index, number = arguments.get("padding_idx"), arguments["num_embeddings"]
    if index is not None and not -number <= index < number:
        return Fault("padding_idx", f"{index} is not among {number} embeddings")
    return None


OPS = (
    module(nn.Linear),
    module(nn.Bilinear, overrides={"out_features": _MostBilinear}),
    module(nn.Embedding, leave_out=("_weight", "_freeze"), check=_check_padding_index),
    module(nn.CosineSimilarity, mixes=over("dim")),
    module(nn.PairwiseDistance, overrides={"p": Positive}, mixes=along(-1)),
)
