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
Number = Margin | float
Dim = Annotated[int, Field(ge=-8, le=7, description="a dimension; 0 is the batch, -1 the last")]
Dims = Annotated[tuple[Dim, ...], Field(min_length=1, description="dimensions; 0 is the batch, -1 the last")]
DimOrDims = Annotated[Dim | Dims, Field(description="a dimension or several; 0 is the batch, -1 the last")]
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

DESCRIBED = {  # what torch's docstrings leave unsaid
    "alpha": "the scale of the negative part, or of the sum",
    "beta": "the exponent",
    "ceil_mode": "round the output's size up",
    "count_include_pad": "let the padding count in the average",
    "dilation": "the distance between the window's places",
    "divisor_override": "what to divide by instead of the window's size",
    "eps": "added to the denominator",
    "groups": "how many groups the channels form",
    "inplace": "write into the input",
    "k": "added to the sum",
    "kernel_size": "the window's sides",
    "lower": "the smallest slope",
    "max_val": "the largest value that comes out",
    "min_val": "the smallest value that comes out",
    "negative_slope": "the slope below zero",
    "norm_type": "the power: 1 sums, infinity takes the largest",
    "normalized_shape": "the sizes of the last dimensions, over which it normalises",
    "num_groups": "how many groups the channels form",
    "output_size": "the sides of the map that comes out; null keeps the input's",
    "p": "the probability of a zero",
    "padding": "what is added at both ends of each side",
    "padding_mode": "what the padding is made of",
    "size": "the number of neighbours, or the sides that come out",
    "stride": "the step from window to window; a pool's default is its kernel",
    "threshold": "below it the value is replaced",
    "upper": "the largest slope",
    "value": "what is put in",
}

NAMED: dict[str, Any] = {
    **dict.fromkeys(_SIZES, Size),
    **dict.fromkeys(["padding", "output_padding"], Amount),
    **dict.fromkeys(["dim", "start_dim", "end_dim", "dim0", "dim1"], Dim),
    **dict.fromkeys(["p", "dropout", "dropout_p"], Probability),
    **dict.fromkeys(["eps", "layer_norm_eps"], NonNegative),
    **dict.fromkeys(["momentum"], Probability),
    **dict.fromkeys(["norm_type", "scale_factor"], Positive),
}
