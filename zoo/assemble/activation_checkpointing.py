"""`train.activation_checkpointing`: what it picks, and what is told of it. Floor 7."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from zoo.assemble.networks import Network
from zoo.assemble.resolve import Resolved
from zoo.diagnostics import Diagnostics, Span, first_of
from zoo.document import Mapping
from zoo.models import blocks_of
from zoo.models.recomputing import outermost_fitting, recompute, versions_of
from zoo.optim.frozen_statistics import into_training
from zoo.optim.selection import parse_selector, told_unmatched

WHAT = "train.activation_checkpointing"
MOST_NAMED = 3  # of modules in a message


def checkpoint_as_said(resolved: Resolved, module: nn.Module) -> None:
    """Has the modules of a built network that the recipe picks compute their activations twice."""
    recompute(module, checkpointed(resolved, module))


def checkpointed(resolved: Resolved, module: nn.Module) -> tuple[str, ...]:
    """The names of the modules that the recipe picks."""
    patterns = resolved.recipe.train.checkpointed
    return blocks_of(module) if patterns is None else outermost_fitting(module, patterns)


def check_checkpointing(resolved: Resolved, network: Network, diagnostics: Diagnostics) -> None:
    """Tells of a network without blocks, of patterns that fit none, and of picks that cannot be or save nothing."""
    if not resolved.recipe.train.activation_checkpointing:
        return
    section, module = resolved.section("train"), network.build("meta")
    span, node = section.key_span("activation_checkpointing"), section.get("activation_checkpointing")
    if isinstance(node, Mapping):
        names = [name for name, _ in module.named_modules() if name]
        selector = parse_selector(node, diagnostics, what=WHAT)
        told_unmatched(selector, names, diagnostics, what=WHAT, of="module of the network")
    picked = checkpointed(resolved, module)
    if picked:
        _tell_of_picks(module, picked, network, span, diagnostics)
    elif not isinstance(node, Mapping):
        message = f"{WHAT}: {network.name} has no blocks that can be told from its other modules"
        diagnostics.error("no-blocks", message, span, help="{match: …} picks modules by their names")


def _tell_of_picks(
    module: nn.Module, picked: Sequence[str], network: Network, span: Span, diagnostics: Diagnostics
) -> None:
    ran, writing = _tried(module, picked, network)
    idle = [name for name in picked if name not in ran]
    if idle:
        message = f"{WHAT}: what is computed without a call of the module itself is kept as ever: {_named(idle)}"
        diagnostics.warning("never-called", message, span, help="pick the module around it")
    layers = [name for name in ran if _is_layer(module.get_submodule(name))]
    if layers:
        diagnostics.warning(
            "saves-nothing",
            f"{WHAT}: a single layer keeps little but its input, which is kept all the same: {_named(layers)}",
            span,
            help="pick modules of several layers: true takes the network's blocks",
        )
    if writing:
        message = f"{WHAT}: what writes over its input cannot be computed again: {_named(list(writing))}"
        help = "inplace: false, where the network takes it; or pick other modules"
        diagnostics.error("writes-over-input", message, span, help=help)


def _is_layer(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn.") and not any(True for _ in module.children())


def _named(names: Sequence[str]) -> str:
    return first_of(names[:MOST_NAMED], len(names))


def _tried(module: nn.Module, picked: Sequence[str], network: Network) -> tuple[list[str], list[str]]:
    """Which of these modules run when the network, on ``meta``, trains on images, and which write over what they get.

    Where it does not run there, all and none.
    """
    ran: dict[str, tuple[int, ...]] = {}
    writing: list[str] = []

    def before(name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        ran[name] = versions_of((args, kwargs))

    def after(name: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if ran[name] != versions_of((args, kwargs)) and name not in writing:
            writing.append(name)

    for name in picked:
        module.get_submodule(name).register_forward_pre_hook(partial(before, name), with_kwargs=True)
        module.get_submodule(name).register_forward_hook(partial(after, name), with_kwargs=True)
    try:
        with torch.no_grad():
            into_training(module)(*(torch.zeros((2, *shape), device="meta") for shape in network.inputs.values()))
    except (RuntimeError, TypeError, ValueError, AssertionError, IndexError):
        return list(picked), []  # told elsewhere, or a network for other images
    return list(ran), writing
