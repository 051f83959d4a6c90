"""The blocks of a network, each of which one would compute again as a whole. Floor 4.

Of a network of zoo's they are the named blocks of its graph, of a timm or torchvision model the items of its lists, or
where it has no such lists, modules of one class side by side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from torch import nn

from zoo.graph import blocks_in, plan_of
from zoo.models.depths import MATRICES

_LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def blocks_of(model: nn.Module) -> tuple[str, ...]:
    """The dotted names of a network's blocks in their order; none lies in another. The model may be on ``meta``."""
    plan = plan_of(model)
    if plan is not None:
        return blocks_in(plan, lambda path: blocks_of(model.get_submodule(path)))
    return tuple(_below(model, "", _LISTS)) or tuple(_below(model, "", (nn.Module,)))


def _below(module: nn.Module, prefix: str, holders: tuple[type[nn.Module], ...]) -> Iterator[str]:
    """The blocks in a module: of those that lie in one another, as in stages, the inner ones."""
    blocks = _side_by_side(module) if isinstance(module, holders) else ()
    for name, child in module.named_children():
        inside = list(_below(child, f"{prefix}{name}.", holders))
        yield from inside or ([f"{prefix}{name}"] if child in blocks else [])


def _side_by_side(module: nn.Module) -> list[nn.Module]:
    """What of a module's children may be blocks: those of which there are several, in a list all if none is a layer."""
    children = list(module.children())
    large = [child for child in children if _is_large(child)]
    if isinstance(module, _LISTS) and len(large) == len(children):
        return large
    counts = Counter(map(type, large))
    return [child for child in large if counts[type(child)] > 1]


def _is_large(module: nn.Module) -> bool:
    if isinstance(module, _LISTS) or not any(True for _ in module.children()):
        return False
    return sum(tensor.ndim > 1 for tensor in module.parameters()) >= MATRICES
