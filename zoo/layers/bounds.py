"""Bounds on arguments by their names, as torch uses them throughout. Floor 2.

A signature says ``int``; that a kernel of 0 builds and fails much later, or that ``out_channels=0`` builds a layer
without weights, it does not say.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

LARGEST_SIZE = 2**24  # channels, features, sides: beyond it a single layer's weights pass any machine's memory

Size = Annotated[int, Field(ge=1, le=LARGEST_SIZE)]
Amount = Annotated[int, Field(ge=0, le=LARGEST_SIZE)]
Margin = Annotated[int, Field(ge=-LARGEST_SIZE, le=LARGEST_SIZE)]
Dim = Annotated[int, Field(ge=-8, le=7, description="a dimension; 0 is the batch, -1 the last")]
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]

_SIZES = [
    "in_channels",
    "out_channels",
    "in_features",
    "out_features",
    "in1_features",
    "in2_features",
    "num_features",
    "num_channels",
    "num_groups",
    "num_parameters",
    "num_embeddings",
    "embedding_dim",
    "embed_dim",
    "num_heads",
    "kdim",
    "vdim",
    "d_model",
    "nhead",
    "dim_feedforward",
    "kernel_size",
    "stride",
    "dilation",
    "groups",
    "output_size",
    "size",
    "upscale_factor",
    "downscale_factor",
    "normalized_shape",
    "divisor_override",
    "input_channels",
    "squeeze_channels",
    "block_size",
    "chunks",
    "sections",
]

NAMED: dict[str, Any] = {
    **dict.fromkeys(_SIZES, Size),
    **dict.fromkeys(["padding", "output_padding"], Amount),
    **dict.fromkeys(["dim", "start_dim", "end_dim", "dim0", "dim1"], Dim),
    **dict.fromkeys(["p", "dropout", "dropout_p"], Probability),
    **dict.fromkeys(["eps", "layer_norm_eps"], NonNegative),
    **dict.fromkeys(["momentum"], Probability),
    **dict.fromkeys(["norm_type", "scale_factor"], Positive),
}
