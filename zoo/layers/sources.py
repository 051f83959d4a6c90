"""Layers that read no input: free parameters and constant buffers. Floor 2."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.layers.bounds import Size
from zoo.layers.op import Op
from zoo.schema import ArgsModel

Shape = Annotated[tuple[Size, ...], Field(max_length=8, description="its sizes, all of them")]
DType = Literal["float32", "float64", "int64", "bool"]


class ParameterArguments(ArgsModel):
    """A free tensor that is trained."""

    shape: Shape


class BufferArguments(ArgsModel):
    """A constant tensor that a registered initialiser fills."""

    shape: Shape
    dtype: DType = Field("float32", description="what its values are")
    persistent: bool = Field(True, description="whether it stands in the state dict")


def make_parameter(shape: tuple[int, ...]) -> nn.Parameter:
    """A parameter of zeros; its initialiser comes after. Zeros are what ``Parameter`` without ``init`` means."""
    return nn.Parameter(torch.zeros(shape))


def make_buffer(shape: tuple[int, ...], dtype: DType = "float32", persistent: bool = True) -> Tensor:
    """A tensor of zeros. ``persistent`` is for whoever registers it."""
    return torch.zeros(shape, dtype=getattr(torch, dtype))


OPS = (
    Op(
        name="Parameter",
        kind="parameter",
        target=make_parameter,
        arguments=ParameterArguments,
        path="nn.Parameter",
        imports=("from torch import nn",),
        input_names=(),
        min_inputs=0,
        max_inputs=0,
        doc=ParameterArguments.__doc__ or "",
    ),
    Op(
        name="Buffer",
        kind="buffer",
        target=make_buffer,
        arguments=BufferArguments,
        path="torch.zeros",
        input_names=(),
        min_inputs=0,
        max_inputs=0,
        doc=BufferArguments.__doc__ or "",
    ),
)
