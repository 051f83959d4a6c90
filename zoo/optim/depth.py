"""Layer-wise learning-rate decay: parameters by how deep in the network they lie. Floor 2.

The rate of a parameter is multiplied by ``layer_decay ** (deepest - depth)``: the head keeps its rate. Source:
Clark et al. 2020 (ELECTRA, arXiv:2003.10555), Bao et al. 2021 (BEiT, arXiv:2106.08254). How deep a parameter lies,
whoever knows the network says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import nn

from zoo.optim.selection import NamedParameter

DepthsOf = Callable[[nn.Module], Mapping[str, int]]
"""Every parameter's depth by its dotted name: 0 is the stem, the largest the head."""


def all_alike(model: nn.Module) -> dict[str, int]:
    """The depths of a network of which nothing is known: it is all head."""
    return {name: 0 for name, _ in model.named_parameters()}


def split_by_depth(
    parameters: Sequence[NamedParameter], depths: Mapping[str, int]
) -> list[tuple[int, tuple[NamedParameter, ...]]]:
    """The parameters of each depth in their order, the deepest first."""
    found: dict[int, list[NamedParameter]] = {}
    for parameter in parameters:
        found.setdefault(depths[parameter.name], []).append(parameter)
    return [(depth, tuple(found[depth])) for depth in sorted(found, reverse=True)]
