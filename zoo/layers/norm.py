"""Normalisation layers. Floor 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from zoo.layers.declare import module


def _check_groups(arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    groups, channels = arguments["num_groups"], arguments["num_channels"]
    return ("num_groups", f"{groups} does not divide num_channels {channels}") if channels % groups else None


OPS = (
    module(nn.BatchNorm1d),
    module(nn.BatchNorm2d),
    module(nn.BatchNorm3d),
    module(nn.InstanceNorm1d),
    module(nn.InstanceNorm2d),
    module(nn.InstanceNorm3d),
    module(nn.GroupNorm, check=_check_groups),
    module(nn.LayerNorm),
    module(nn.RMSNorm),
    module(nn.LocalResponseNorm),
)
