"""A batch changed part by part, so that a CPU's cache holds what is computed on the way; blending. Floor 2."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from zoo.data.transforms.chosen import Change

_VALUES = 800_000  # of a part: 3.2 MB as float32


def in_parts(pixels_BHWC: Tensor, parameters: Mapping[str, Tensor], change: Change) -> Tensor:
    """What ``change`` makes of the images, which treats each image by itself. A GPU gets all of them at once."""
    count = max(1, _VALUES // pixels_BHWC[0].numel()) if len(pixels_BHWC) else 1
    if pixels_BHWC.device.type != "cpu" or len(pixels_BHWC) <= count:
        return change(pixels_BHWC, parameters)
    starts = range(0, len(pixels_BHWC), count)
    parts = ((at, {name: values[at : at + count] for name, values in parameters.items()}) for at in starts)
    return torch.cat([change(pixels_BHWC[at : at + count], own) for at, own in parts])


def blended(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """``first`` + (``second`` - ``first``) * ``share`` as OpenCV has it; float32, takes over both."""
    return first.addcmul_(second.sub_(first), share)
