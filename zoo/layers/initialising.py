"""Initialisers: torch.nn.init's under short names, the speedruns' own, and fillers for buffers. Floor 2."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.layers.bounds import NonNegative, Positive, Probability, Size
from zoo.layers.initialiser import ANY_DIMS, FIRST_IMAGES, FaultFinder, Initialiser, no_fault
from zoo.schema import ArgsModel, arguments_model


class PatchWhitening(ArgsModel):
    """Whitens the patches of the training images; made from them before training."""

    images: Size = Field(FIRST_IMAGES, description="how many training images to measure")
    eps: float = Field(5e-4, ge=0, description="added to the eigenvalues, inside the root")


class Arange(ArgsModel):
    """Counts up from ``start``, in the tensor's order."""

    start: float = Field(0, description="the first value")
    step: float = Field(1, description="from value to value")


class Linspace(ArgsModel):
    """Goes from ``start`` to ``end`` in equal steps, in the tensor's order."""

    start: float = Field(description="the first value")
    end: float = Field(description="the last value")


class RelativePosition(ArgsModel):
    """For every pair of a window's places, the number of their offset: the index into a table of position biases."""

    window_size: tuple[Size, Size] = Field(description="the window's height and width")


class PartialDirac(ArgsModel):
    """The first filters pass a channel each through, the others keep what they have."""


# Ejected files quote these functions as they stand: code within 88 columns, which any formatter leaves alone.


@torch.no_grad()
def partial_dirac(weight: Tensor) -> Tensor:
    """The first ``in_channels`` filters become the identity, the others stay.

    ``weight``: out_channels, in_channels, then one to three sides. Source: Jordan, "94 % on CIFAR-10 in 3.29 seconds
    on a single GPU" (2024), section 3.2.
    """
    nn.init.dirac_(weight[: weight.shape[1]])
    return weight


@torch.no_grad()
def patch_whitening(
    weight: Tensor,
    images: Iterable[Tensor],
    eps: float = 5e-4,
) -> Tensor:
    """Filters that take the correlation out of the images' patches; then the same filters negated.

    ``weight``: OIHW; ``images``: each float CHW, as a tensor BCHW holds them. With C·H·W values in a patch, the first
    C·H·W filters are the eigenvectors of the patches' second moments (the images are normalised, so they are not
    centred again), largest first, each divided by the root of its eigenvalue + ``eps``; the next as many are their
    negatives; any further ones keep what they have. Source: Page, "How to train your ResNet" 8 (2019), and Jordan
    (2024), section 3.1.
    """
    height, width = weight.shape[2:]
    values = weight[0].numel()
    moments, count = torch.zeros(values, values, dtype=torch.float64), 0
    # Not all at once: a value is in as many patches as a patch has places.
    left = iter(images)
    some = [next(left)]
    if some[0].shape[0] != weight.shape[1]:
        found, due = some[0].shape[0], weight.shape[1]
        raise ValueError(f"the images have {found} channels, the filters {due}")
    size = max(1, 2**18 // some[0].numel())
    some += islice(left, size - 1)
    while some:
        windows = torch.stack(some).unfold(2, height, 1).unfold(3, width, 1)
        patches = windows.transpose(1, 3).reshape(-1, values)
        moments += (patches.T @ patches).cpu().double()
        count += len(patches)
        some = list(islice(left, size))
    eigenvalues, eigenvectors = torch.linalg.eigh(moments / count)
    filters = (eigenvectors / torch.sqrt(eigenvalues + eps)).T.flip(0)
    filters = filters.reshape(-1, *weight.shape[1:])
    whitening = torch.cat([filters, -filters])[: len(weight)]
    weight[: len(whitening)] = whitening.to(weight)
    return weight


@torch.no_grad()
def arange(tensor: Tensor, start: float = 0, step: float = 1) -> Tensor:
    """``start``, ``start + step``, … in the tensor's order."""
    steps = torch.arange(tensor.numel(), dtype=torch.float64)
    return tensor.copy_((start + step * steps).reshape(tensor.shape))


@torch.no_grad()
def linspace(tensor: Tensor, start: float, end: float) -> Tensor:
    """From ``start`` to ``end`` in equal steps, in the tensor's order."""
    values = torch.linspace(start, end, tensor.numel(), dtype=torch.float64)
    return tensor.copy_(values.reshape(tensor.shape))


@torch.no_grad()
def relative_position(tensor: Tensor, window_size: tuple[int, int]) -> Tensor:
    """Indices 0 … (2h-1)(2w-1)-1 for every ordered pair of places in an h x w window.

    ``tensor`` holds (h·w)² values. Source: Liu et al., "Swin Transformer" (2021), section 3.2.
    """
    height, width = window_size
    rows = torch.arange(height).repeat_interleave(width)
    columns = torch.arange(width).repeat(height)
    down = rows[:, None] - rows[None, :] + height - 1
    across = columns[:, None] - columns[None, :] + width - 1
    return tensor.copy_((down * (2 * width - 1) + across).reshape(tensor.shape))


def _check_limits(arguments: Mapping[str, Any], shape: tuple[int, ...]) -> str | None:
    low, high = arguments.get("a", -2.0), arguments.get("b", 2.0)
    return None if low < high else f"b {high:g} is not above a {low:g}"


def _check_interval(arguments: Mapping[str, Any], shape: tuple[int, ...]) -> str | None:
    low, high = arguments.get("a", 0.0), arguments.get("b", 1.0)
    return None if low <= high else f"b {high:g} lies below a {low:g}"


def _check_groups(arguments: Mapping[str, Any], shape: tuple[int, ...]) -> str | None:
    groups = arguments.get("groups", 1)
    return f"groups {groups} does not divide out_channels {shape[0]}" if shape[0] % groups else None


def _check_window(arguments: Mapping[str, Any], shape: tuple[int, ...]) -> str | None:
    places = math.prod(arguments["window_size"])
    wrong = math.prod(shape) != places**2
    return f"a window of {places} places has {places**2} pairs, the tensor is {list(shape)}" if wrong else None


_WEIGHTS = (2, 8)
_CHECKS: dict[str, FaultFinder] = {"trunc_normal": _check_limits, "uniform": _check_interval, "dirac": _check_groups}
_TORCH_DIMS = {
    "dirac": (3, 5),
    "eye": (2, 2),
    "sparse": (2, 2),
    **dict.fromkeys(("kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "orthogonal"), _WEIGHTS),
}
_TORCH_BOUNDS = {"sparsity": Probability, "std": NonNegative, "groups": Size}
_ANY_DTYPE = ("constant", "ones", "zeros", "eye", "dirac")
_TORCH = (
    "uniform",
    "normal",
    "trunc_normal",
    "constant",
    "ones",
    "zeros",
    "eye",
    "dirac",
    "xavier_uniform",
    "xavier_normal",
    "kaiming_uniform",
    "kaiming_normal",
    "orthogonal",
    "sparse",
)


def _of_torch(name: str) -> Initialiser:
    fill = getattr(nn.init, f"{name}_")
    bounds = {**_TORCH_BOUNDS, "std": Positive} if name == "trunc_normal" else _TORCH_BOUNDS  # it divides by std
    arguments = arguments_model(name, fill, leave_out=("tensor", "generator"), within=bounds)
    return Initialiser(
        name,
        arguments,
        fill,
        dims=_TORCH_DIMS.get(name, ANY_DIMS),
        floats_only=name not in _ANY_DTYPE,
        check=_CHECKS.get(name, no_fault),
        doc=arguments.__doc__ or "",
    )


_PATCH_IMPORTS = ("from collections.abc import Iterable", "from itertools import islice")


def _own(fill: Callable[..., Any], arguments: type[ArgsModel], **options: Any) -> Initialiser:
    return Initialiser(fill.__name__, arguments, fill, doc=arguments.__doc__ or "", **options)


INITIALISERS = (
    *(_of_torch(name) for name in _TORCH),
    _own(partial_dirac, PartialDirac, dims=(3, 5)),
    _own(patch_whitening, PatchWhitening, dims=(4, 4), needs_images=True, imports=_PATCH_IMPORTS),
    _own(arange, Arange),
    _own(linspace, Linspace),
    _own(relative_position, RelativePosition, check=_check_window),
)
