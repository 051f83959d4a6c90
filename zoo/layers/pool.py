"""Pooling, resizing and padding layers. Floor 2."""

from __future__ import annotations

from types import GenericAlias
from typing import Any, Literal

from torch import nn

from zoo.layers.bounds import Amount, Margin, Positive, Size
from zoo.layers.conv import each
from zoo.layers.declare import forms, module
from zoo.layers.op import Arguments, Check, Fault, Op, last, maps


def window(dimensions: int, *, dilates: bool) -> dict[str, Any]:
    """The arguments of a pooling window in that many dimensions."""
    size = forms(Size, dimensions)
    named = {"kernel_size": size, "stride": size | None, "padding": forms(Amount, dimensions)}
    return named | {"dilation": size} if dilates else named


def check_window(arguments: Arguments) -> Fault | None:
    """Torch wants a pool's padding within half its kernel."""
    kernels, paddings = each(arguments["kernel_size"]), each(arguments.get("padding", 0))
    length = max(len(kernels), len(paddings))
    for kernel, padding in zip(*(v * length if len(v) == 1 else v for v in (kernels, paddings)), strict=True):
        if 2 * padding > kernel:
            return Fault("padding", f"{padding} is more than half the kernel_size {kernel}")
    return None


def adaptive(dimensions: int) -> Any:
    """Output sizes of an adaptive pool; null keeps the input's."""
    return Size | GenericAlias(tuple, (Size | None,) * dimensions) if dimensions > 1 else forms(Size, 1)


def check_one_of(first: str, second: str) -> Check:
    """Exactly one of two arguments is to be given."""

    def check(arguments: Arguments) -> Fault | None:
        number = sum(arguments.get(name) is not None for name in (first, second))
        return None if number == 1 else Fault(second, f"give either {first} or {second}")

    return check


def check_resize(arguments: Arguments) -> Fault | None:
    """What torch asks of ``interpolate`` and ``Upsample``."""
    if arguments.get("align_corners") is not None and arguments.get("mode", "nearest") not in ALIGNING_MODES:
        return Fault("align_corners", f"goes with the modes {', '.join(ALIGNING_MODES)}")
    return check_one_of("size", "scale_factor")(arguments)


def _pools(targets: tuple[type[nn.Module], ...], *, dilates: bool = False) -> list[Op]:
    ranks = enumerate(targets, start=1)
    return [
        module(pool, overrides=window(rank, dilates=dilates), check=check_window, mixes=last(rank))
        for rank, pool in ranks
    ]


def _adaptive(targets: tuple[type[nn.Module], ...]) -> list[Op]:
    return [
        module(pool, overrides={"output_size": adaptive(rank)}, mixes=last(rank))
        for rank, pool in enumerate(targets, start=1)
    ]


def _lp(rank: int, target: type[nn.Module]) -> Op:
    size = forms(Size, rank)
    return module(target, overrides={"kernel_size": size, "stride": size | None}, mixes=last(rank))


ALIGNING_MODES = ("linear", "bilinear", "bicubic", "trilinear")
MODES = Literal["nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area"]
RESIZE: dict[str, Any] = {
    "size": Size | tuple[Size, ...] | None,
    "scale_factor": Positive | tuple[Positive, ...] | None,
}
_PADS = (
    (nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d),
    (nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d),
    (nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d),
    (nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d),
    (nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d),
)

OPS = (
    *_pools((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), dilates=True),
    *_pools((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)),
    *_adaptive((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)),
    *_adaptive((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)),
    *(_lp(rank, pool) for rank, pool in enumerate((nn.LPPool1d, nn.LPPool2d, nn.LPPool3d), start=1)),
    *(
        module(
            pool, leave_out=("_random_samples",), check=check_one_of("output_size", "output_ratio"), mixes=last(rank)
        )
        for rank, pool in ((2, nn.FractionalMaxPool2d), (3, nn.FractionalMaxPool3d))
    ),
    *(
        module(pool, mixes=last(rank))
        for rank, pool in enumerate((nn.MaxUnpool1d, nn.MaxUnpool2d, nn.MaxUnpool3d), start=1)
    ),
    module(nn.Upsample, overrides={**RESIZE, "mode": MODES}, check=check_resize, mixes=maps),
    *(
        module(resize, overrides=RESIZE, check=check_one_of("size", "scale_factor"), mixes=maps)
        for resize in (nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d)
    ),
    *(
        module(pad, overrides={"padding": Margin | GenericAlias(tuple, (Margin,) * (2 * rank))}, mixes=last(rank))
        for kind in _PADS
        for rank, pad in enumerate(kind, start=1)
    ),
)
