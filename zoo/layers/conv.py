"""Convolutions. Floor 2."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from zoo.layers.bounds import Amount
from zoo.layers.declare import forms, module
from zoo.layers.op import Arguments, Fault, Op, all_but_first


def each(value: Any) -> tuple[Any, ...]:
    """A number or a tuple of them as a tuple."""
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _groups(arguments: Arguments) -> Fault | None:
    groups = arguments.get("groups", 1)
    for name in ("in_channels", "out_channels"):
        if name in arguments and arguments[name] % groups:
            return Fault("groups", f"{groups} does not divide {name} {arguments[name]}")
    return None


def _check_convolution(arguments: Arguments) -> Fault | None:
    if arguments.get("padding") == "same" and any(stride != 1 for stride in each(arguments.get("stride", 1))):
        return Fault("padding", "same wants stride 1")
    return _groups(arguments)


def _check_transposed(arguments: Arguments) -> Fault | None:
    strides, dilations = each(arguments.get("stride", 1)), each(arguments.get("dilation", 1))
    for extra in each(arguments.get("output_padding", 0)):
        if extra >= max(*strides, *dilations):
            return Fault("output_padding", f"{extra} is not smaller than stride or dilation")
    return _groups(arguments)


def _convolution(target: type[nn.Module], dimensions: int) -> Op:
    padding = Literal["same", "valid"] | forms(Amount, dimensions)
    return module(target, overrides={"padding": padding}, check=_check_convolution, mixes=all_but_first)


def _transposed(target: type[nn.Module]) -> Op:
    return module(target, overrides={"padding_mode": Literal["zeros"]}, check=_check_transposed, mixes=all_but_first)


OPS = (
    _convolution(nn.Conv1d, 1),
    _convolution(nn.Conv2d, 2),
    _convolution(nn.Conv3d, 3),
    _transposed(nn.ConvTranspose1d),
    _transposed(nn.ConvTranspose2d),
    _transposed(nn.ConvTranspose3d),
    module(nn.Unfold, mixes=all_but_first),
    module(nn.Fold, mixes=all_but_first),
)
