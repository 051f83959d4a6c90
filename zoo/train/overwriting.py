"""ReLUs that write over what they read, for as long as a network trains: one map less at a time. Floor 5.

The numbers are the same to the last bit: ReLU's gradient is computed from what comes out. Only a hook on the layer in
front would see another map, which is why the network is put back afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from zoo.graph import overwriting_relus, plan_of


@contextmanager
def relus_in_place(model: nn.Module) -> Iterator[None]:
    """Sets ``inplace`` on each ReLU that can have it, for the length of a ``with`` block.

    A network that was not compiled from a plan stays as it is.
    """
    plan = plan_of(model)
    relus = [model.get_submodule(path) for path in overwriting_relus(plan)] if plan else []
    _set(relus, True)
    try:
        yield
    finally:
        _set(relus, False)


def _set(relus: list[nn.Module], inplace: bool) -> None:
    for relu in relus:
        assert isinstance(relu, nn.ReLU)
        relu.inplace = inplace
