"""Layers and functions that change a tensor's shape and keep its values. Floor 2."""

from __future__ import annotations

from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from zoo.layers.bounds import LARGEST_SIZE, Dim, DimOrDims, Dims, Margin, Size
from zoo.layers.declare import NoArguments, function, module
from zoo.layers.op import Op, argument_texts, over
from zoo.schema import ArgsModel

SizeOrRest = Annotated[int, Field(ge=-1, le=LARGEST_SIZE, description="a size; -1 takes what is left")]


class Flatten(ArgsModel):
    """Joins the dimensions ``start_dim`` to ``end_dim`` into one."""

    start_dim: Dim = Field(0, description="the first that is joined")
    end_dim: Dim = Field(-1, description="the last that is joined")


class Unflatten(ArgsModel):
    """Splits a dimension into several."""

    dim: Dim
    sizes: tuple[SizeOrRest, ...] = Field(description="the sizes it becomes; -1 takes what is left")


class Reshape(ArgsModel):
    """Gives the values another shape; one size may be -1."""

    shape: tuple[SizeOrRest, ...] = Field(description="the new sizes, the batch first; -1 takes what is left")


class Permute(ArgsModel):
    """Puts the dimensions into another order."""

    dims: Dims


class Transpose(ArgsModel):
    """Swaps two dimensions."""

    dim0: Dim
    dim1: Dim


class Movedim(ArgsModel):
    """Moves dimensions to other positions."""

    source: DimOrDims
    destination: DimOrDims


class Squeeze(ArgsModel):
    """Takes out dimensions of size 1."""

    dim: DimOrDims


class Unsqueeze(ArgsModel):
    """Puts in a dimension of size 1."""

    dim: Dim


class Expand(ArgsModel):
    """Repeats dimensions of size 1 without copying; -1 keeps a size."""

    size: tuple[SizeOrRest, ...] = Field(description="the new sizes, the batch first; -1 keeps one")


class Repeat(ArgsModel):
    """Repeats the tensor along each dimension, copying."""

    repeats: tuple[Size, ...] = Field(description="how often, for each dimension, the batch first")


class Tile(ArgsModel):
    """Repeats the tensor along its last dimensions, copying."""

    dims: tuple[Size, ...] = Field(description="how often, for each of the last dimensions")


class RepeatInterleave(ArgsModel):
    """Repeats each value along a dimension."""

    repeats: Size = Field(description="how often")
    dim: Dim


class Upscale(ArgsModel):
    """Rearranges channels into a larger map."""

    upscale_factor: Size = Field(description="how many times the sides grow")


class Downscale(ArgsModel):
    """Rearranges a map into more channels."""

    downscale_factor: Size = Field(description="how many times the sides shrink")


class Groups(ArgsModel):
    """Interleaves the channels of groups."""

    groups: Size = Field(description="how many groups the channels form")


class Roll(ArgsModel):
    """Rolls values along dimensions; what leaves at one end enters at the other."""

    shifts: Margin | tuple[Margin, ...] = Field(description="how far, for each of the dimensions")
    dims: DimOrDims


class Flip(ArgsModel):
    """Reverses the order along dimensions."""

    dims: Dims


class Rot90(ArgsModel):
    """Rotates the plane of two dimensions by quarter turns."""

    k: int = Field(1, ge=-4, le=4, description="how many quarter turns")
    dims: tuple[Dim, Dim] = Field(description="the plane: from the first towards the second; [2, 3] is an image's")


class Select(ArgsModel):
    """Takes one index of a dimension, which goes."""

    dim: Dim
    index: Margin = Field(description="which one; -1 is the last")


class Narrow(ArgsModel):
    """Takes a stretch of a dimension."""

    dim: Dim
    start: Margin = Field(description="where it begins")
    length: Size = Field(description="how many it takes")


class Chunk(ArgsModel):
    """Cuts a dimension into equal parts: a tuple."""

    chunks: Size = Field(description="how many parts")
    dim: Dim = 0


class Split(ArgsModel):
    """Cuts a dimension into parts of one size, or of these sizes: a tuple."""

    split_size_or_sections: Size | tuple[Size, ...] = Field(description="the size of every part, or of each")
    dim: Dim = 0


class Unbind(ArgsModel):
    """Takes a dimension apart, index by index: a tuple."""

    dim: Dim = 0


def _view(input: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    return input.view(shape)


def method(name: str, arguments: type[ArgsModel], target: Any, **options: Any) -> Op:
    """A function that torch has only as a tensor's method."""

    def writes(op: Op, inputs: Any, keywords: Any, training: str | None) -> str:
        return f"{inputs[0]}.{name}({', '.join(argument_texts(op, keywords))})"

    return function(name, target, arguments, writes=writes, **options)


OPS = (
    module(nn.Flatten),
    module(nn.Unflatten, overrides={"dim": Dim, "unflattened_size": tuple[SizeOrRest, ...]}),
    module(nn.PixelShuffle),
    module(nn.PixelUnshuffle),
    module(nn.ChannelShuffle),
    function("torch.flatten", torch.flatten, Flatten),
    function("torch.unflatten", torch.unflatten, Unflatten),
    function("torch.reshape", torch.reshape, Reshape),
    function("torch.permute", torch.permute, Permute),
    function("torch.transpose", torch.transpose, Transpose),
    function("torch.movedim", torch.movedim, Movedim),
    function("torch.squeeze", torch.squeeze, Squeeze, mixes=over("dim")),
    function("torch.unsqueeze", torch.unsqueeze, Unsqueeze),
    function("torch.tile", torch.tile, Tile),
    function("torch.repeat_interleave", torch.repeat_interleave, RepeatInterleave),
    function("torch.roll", torch.roll, Roll, mixes=over("dims")),
    function("torch.flip", torch.flip, Flip, mixes=over("dims")),
    function("torch.rot90", torch.rot90, Rot90, mixes=over("dims")),
    function("torch.select", torch.select, Select, mixes=over("dim")),
    function("torch.narrow", torch.narrow, Narrow, mixes=over("dim")),
    function("torch.chunk", torch.chunk, Chunk, mixes=over("dim")),
    function("torch.split", torch.split, Split, mixes=over("dim")),
    function("torch.unbind", torch.unbind, Unbind, mixes=over("dim")),
    function("F.pixel_shuffle", F.pixel_shuffle, Upscale),
    function("F.pixel_unshuffle", F.pixel_unshuffle, Downscale),
    function("F.channel_shuffle", F.channel_shuffle, Groups),
    method("expand", Expand, torch.Tensor.expand),
    method("repeat", Repeat, torch.Tensor.repeat),
    method("view", Reshape, _view),
    method("detach", NoArguments, torch.Tensor.detach, doc="Lets no gradient through."),
    method("contiguous", NoArguments, torch.Tensor.contiguous, doc="Lays the values out in the shape's order."),
)
