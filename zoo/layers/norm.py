"""Normalisation layers. Floor 2."""

from __future__ import annotations

from torch import nn

from zoo.layers.declare import module
from zoo.layers.op import Arguments, Fault, all_but_first, along, last


def _check_groups(arguments: Arguments) -> Fault | None:
    groups, channels = arguments["num_groups"], arguments["num_channels"]
    return Fault("num_groups", f"{groups} does not divide num_channels {channels}") if channels % groups else None


OPS = (
    module(nn.BatchNorm1d),
    module(nn.BatchNorm2d),
    module(nn.BatchNorm3d),
    module(nn.InstanceNorm1d, mixes=last(1)),
    module(nn.InstanceNorm2d, mixes=last(2)),
    module(nn.InstanceNorm3d, mixes=last(3)),
    module(nn.GroupNorm, check=_check_groups, mixes=all_but_first),
    module(nn.LayerNorm),
    module(nn.RMSNorm),
    module(nn.LocalResponseNorm, mixes=along(1)),
)
