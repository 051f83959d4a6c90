"""How deep each parameter of a network lies, from the stem at 0 to the head: for layer-wise learning rates. Floor 4.

Of a network of zoo's the graph tells, of a timm model timm itself (its ``group_matcher``), of any other, torchvision's
too, and timm's without their heads (``features``), the order of its modules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from torch import nn

from zoo.graph import depths_in, plan_of

_STACKED = 2  # modules of one class in a list, from which on a module that holds the list is opened
_NAMED = 3  # modules of one name but for its number, from which on they are a list and no branches
MATRICES = 2  # of a block: a convolution with its norm is a layer, and a list of those may be a block's inside


def parameter_depths(model: nn.Module) -> dict[str, int]:
    """Every parameter's depth by its dotted name; the model may be on ``meta``."""
    plan = plan_of(model)
    if plan is None:
        return _of_timm(model) if _is_counted_by_timm(model) else _by_order(model)

    depths = depths_in(plan, lambda path: parameter_depths(model.get_submodule(path)))
    return {name: _depth_below(name, depths) for name, _ in model.named_parameters()}


def _depth_below(name: str, depths: Mapping[str, int]) -> int:
    """The depth of the nearest part around a parameter that was counted."""
    path = name
    while path not in depths and path:
        path = path.rpartition(".")[0]
    return depths[path]


def _is_counted_by_timm(model: nn.Module) -> bool:
    """Whether it is a model of timm's that says how deep it is, or one with a head, from which timm counts."""
    is_of_timm = type(model).__module__.startswith("timm.")
    return is_of_timm and (hasattr(model, "group_matcher") or hasattr(model, "get_classifier"))


def _of_timm(model: nn.Module) -> dict[str, int]:
    """As ``timm.optim.param_groups_layer_decay`` has them; what timm says nothing of counts as the head."""
    import timm.models
    import timm.optim

    matcher, untyped = getattr(model, "group_matcher", None), cast("Any", timm.optim)
    if matcher is None:
        known = untyped.auto_group_layers(model)
    else:
        known = timm.models.group_parameters(model, matcher(coarse=False), reverse=True)
    head = max(known.values(), default=0)
    return {name: known.get(name, head) for name, _ in model.named_parameters()}


def _by_order(model: nn.Module) -> dict[str, int]:
    """By the order of modules, lists of modules opened; one of vectors alone, as a norm, belongs to the one before."""
    depths: dict[str, int] = {}
    depth = -1
    for names, has_matrix in _in_order(model, ""):
        depth += has_matrix
        depths |= dict.fromkeys(names, max(0, depth))
    return depths


def _in_order(module: nn.Module, prefix: str) -> Iterator[tuple[list[str], bool]]:
    """The parameters of each part that counts once, and whether it begins a depth of its own."""
    # Free tensors go with what stands before the module: tokens and positions with the stem.
    yield [f"{prefix}{name}" for name, _ in module.named_parameters(recurse=False)], False
    for name, child in module.named_children():
        if _opens(child):
            yield from _in_order(child, f"{prefix}{name}.")
            continue
        inside = dict(child.named_parameters(f"{prefix}{name}"))
        yield list(inside), any(tensor.ndim > 1 for tensor in inside.values())


def _opens(module: nn.Module) -> bool:
    """Whether the modules inside are counted one by one: of a list, and of what holds a stack of equal blocks."""
    if type(module) is nn.Sequential or isinstance(module, nn.ModuleList) or _is_numbered(module) or _is_stack(module):
        return True
    return any(_is_stack(child, _STACKED) for child in module.children())


def _is_stack(module: nn.Module, least: int = 1) -> bool:
    blocks = list(module.children())
    is_list = isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)
    is_of_one = len({*map(type, blocks)}) == 1 if is_list else _is_numbered(module)
    return is_of_one and len(blocks) >= least and _has_matrices(blocks[0])


def _is_numbered(module: nn.Module) -> bool:
    """Whether a module was a list before it was traced, and ``0``, ``1`` or ``denselayer1``, … are what was in it.

    Of the maps of a torchvision model the graph is kept, and every list and block is a plain module. A few of a name,
    or of one layer each, may be branches.
    """
    children = dict(module.named_children()) if type(module) is nn.Module else {}
    stems = {name.rstrip("0123456789") for name in children}
    if len(stems) != 1 or not all(name[-1].isdigit() for name in children):
        return False
    return stems == {""} or (len(children) >= _NAMED and _has_matrices(next(iter(children.values()))))


def _has_matrices(block: nn.Module) -> bool:
    return sum(tensor.ndim > 1 for tensor in block.parameters()) >= MATRICES
