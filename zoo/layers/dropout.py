"""Layers that drop values at random while training. Floor 2."""

from __future__ import annotations

from torch import nn

from zoo.layers.declare import module

OPS = tuple(
    module(target)
    for target in (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
)
