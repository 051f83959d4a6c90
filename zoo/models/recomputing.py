"""Activation checkpointing: what a module computes on the way is computed again when its gradients are due. Floor 4.

Of a module picked for it only the inputs are kept until the backward pass, which runs its forward pass a second time:
memory for time (Chen et al. 2016, arXiv:1604.06174; ``torch.utils.checkpoint``, not reentrant). The training is bit for
bit the one without it: the second pass draws the same random numbers, in the same autocast, and works on copies of the
buffers as the first one found them, so that batch norm's statistics move once. What a module counts elsewhere, in an
attribute of Python say, it counts twice.

A picked module keeps its class and its names: only its instance has another ``forward``, which copies of it have too.
Without gradients, as in a test, and in evaluation mode it does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten
from torch.utils.checkpoint import checkpoint

from zoo.errors import UsageError
from zoo.optim.selection import fits

_Kept = tuple[dict[str, Tensor | None], str, Tensor]  # the buffers of a module, the name of one, its value then


def outermost_fitting(model: nn.Module, patterns: Sequence[str]) -> tuple[str, ...]:
    """The names of the modules that a pattern fits and no module around which is among them, in the model's order.

    A list of modules, which has no forward pass of its own, stands for what is in it.
    """
    found: list[str] = []
    for name, module in model.named_modules():
        runs = type(module).forward is not nn.Module.forward or "forward" in vars(module)
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if name and runs and not inside and any(fits(name, pattern) for pattern in patterns):
            found.append(name)
    return tuple(found)


def recompute(model: nn.Module, names: Iterable[str]) -> None:
    """Has these modules of a model compute again, in the backward pass, what they would have kept for it."""
    for name in names:
        module = model.get_submodule(name)
        object.__setattr__(module, "forward", partial(_forward, name, module, module.forward))


def _forward(name: str, module: nn.Module, forward: Any, /, *args: Any, **kwargs: Any) -> Any:
    """The forward pass of a picked module."""
    if not (module.training and torch.is_grad_enabled()):
        return forward(*args, **kwargs)
    # One by one, so that torch watches over each tensor; a list may be another by the time of the second pass.
    leaves, form = tree_flatten((args, kwargs))

    def run(*leaves: Any) -> Any:
        args, kwargs = tree_unflatten(leaves, form)
        return forward(*args, **kwargs)

    if torch.compiler.is_compiling():  # writes each buffer once by itself, and takes no contexts of ours
        return checkpoint(run, *leaves, use_reentrant=False)
    versions = versions_of(leaves)
    kept = list(_buffers_of(module))
    output = checkpoint(run, *leaves, use_reentrant=False, context_fn=lambda: (nullcontext(), _with_buffers(kept)))
    if versions_of(leaves) != versions:
        raise UsageError(
            f"train.activation_checkpointing: {name} writes over its input, so that it cannot be computed again",
            code="writes-over-input",
            help="inplace: false, where the network takes it; or {match: …} with names of other modules",
        )
    return output


def versions_of(values: Any) -> tuple[int, ...]:
    """How often each tensor in lists, tuples and dicts was written to."""
    return tuple(leaf._version for leaf in tree_leaves(values) if isinstance(leaf, Tensor))


def _buffers_of(module: nn.Module) -> Iterator[_Kept]:
    """A copy of each buffer in and below a module, and where it stands."""
    for inner in module.modules():
        for key, buffer in inner._buffers.items():
            if buffer is not None:
                yield inner._buffers, key, buffer.clone()


@contextmanager
def _with_buffers(kept: Sequence[_Kept]) -> Iterator[None]:
    """Puts copies in the place of buffers, to be written to and thrown away; then the buffers themselves again."""
    own = [(buffers, key, buffers[key]) for buffers, key, _ in kept]
    for buffers, key, then in kept:
        buffers[key] = then
    try:
        yield
    finally:  # torch leaves the second pass as soon as it has what it needs, by an exception
        for buffers, key, now in own:
            buffers[key] = now
