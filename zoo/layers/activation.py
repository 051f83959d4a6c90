"""Activations as layers. Floor 2."""

from __future__ import annotations

from typing import Literal

from torch import nn

from zoo.layers.bounds import Dim
from zoo.layers.declare import module
from zoo.layers.op import Arguments, Check, Fault, along, over


def _check_range(low: str, high: str, low_default: float, high_default: float) -> Check:
    def check(arguments: Arguments) -> Fault | None:
        first, second = arguments.get(low, low_default), arguments.get(high, high_default)
        return None if first < second else Fault(high, f"{second:g} is not above {low} {first:g}")

    return check


_PLAIN = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.SiLU,
    nn.Mish,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Hardshrink,
    nn.Softshrink,
    nn.Tanhshrink,
    nn.Softplus,
    nn.Softsign,
    nn.Sigmoid,
    nn.LogSigmoid,
    nn.Tanh,
    nn.Threshold,
    nn.PReLU,
    nn.Identity,
)

OPS = (
    *(module(target) for target in _PLAIN),
    module(nn.GELU, overrides={"approximate": Literal["none", "tanh"]}),
    module(
        nn.Hardtanh, leave_out=("min_value", "max_value"), check=_check_range("min_val", "max_val", -1.0, 1.0)
    ),  # torch deprecated the two
    module(nn.RReLU, check=_check_range("lower", "upper", 1 / 8, 1 / 3)),
    module(nn.GLU, mixes=over("dim")),
    module(nn.Softmax2d, mixes=along(-3)),
    # torch guesses the dimension when it is left out, and warns; here it is asked for
    *(
        module(target, overrides={"dim": (Dim, ...)}, mixes=over("dim"))
        for target in (nn.Softmax, nn.LogSoftmax, nn.Softmin)
    ),
)
