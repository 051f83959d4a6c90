"""From a plan to a module: ordinary submodules, and for each block a class with an ordinary ``forward``. Floor 3.

Nothing here runs while the network does. Each distinct block text becomes one Python class, compiled from generated
source that :mod:`linecache` knows, so tracebacks and debuggers show the line of the forward they are in. Plain chains
are ``nn.Sequential``.
"""

from __future__ import annotations

import hashlib
import linecache
import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from types import ModuleType
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from zoo.graph.plan import Block, ParameterSpec, Plan, Step
from zoo.graph.python_text import class_identifier
from zoo.graph.source import forward_of, import_lines, imported_names
from zoo.layers import initialisers, ops


def compile_plan(plan: Plan, *, device: str | torch.device = "cpu") -> nn.Module:
    """Builds the network: fp32, contiguous, in training mode, initialised and frozen as the plan says.

    The same seed gives the same weights on any device. On ``meta`` nothing is allocated or initialised. The plan
    itself is kept as ``module.zoo_plan``; the module can be pickled and deep-copied.
    """
    on_meta = torch.device(device).type == "meta"
    with torch.device("meta" if on_meta else "cpu"):
        module = _compose(plan.root, class_identifier(plan.name))
    for spec, tensor in _tensors_to_set(module, plan.root):
        if not on_meta and spec.init is not None and not spec.images_wanted:
            with torch.no_grad():
                initialisers[spec.init.name].fill(tensor, **spec.init.arguments)
        if not spec.is_buffer:
            tensor.requires_grad_(spec.trainable)
    # nn.Module takes any attribute, but its stubs say tensors and modules only.
    object.__setattr__(module, "zoo_plan", plan)
    return module if on_meta else module.to(device)


def plan_of(module: nn.Module) -> Plan | None:
    """The plan that a module was compiled from; None for a module that is not zoo's."""
    return cast("Plan | None", module.__dict__.get("zoo_plan"))


def initialise_from_images(module: nn.Module, images: Iterable[Tensor]) -> None:
    """Runs the initialisers that are computed from training images (``patch_whitening``).

    ``images`` are normalised floats, each (C, H, W), as a tensor (N, C, H, W) holds them; they are gone through once
    for each initialiser, which takes the first ``images`` of them. Does nothing where no layer asks for images.
    """
    plan = plan_of(module)
    for spec, tensor in _tensors_to_set(module, plan.root) if plan else ():
        if spec.init is not None and spec.images_wanted:
            arguments = {**spec.init.arguments, "images": islice(images, spec.images_wanted)}
            with torch.no_grad():
                initialisers[spec.init.name].fill(tensor, **arguments)


def images_wanted(plan: Plan) -> int:
    """How many training images the plan's initialisers are computed from; 0 where none needs any."""
    return max((spec.images_wanted for _, step in plan.walk() for spec in step.parameters), default=0)


class BlockModule(nn.Module):
    """Base of the generated classes: a module whose class comes back from its source when it is unpickled."""

    __zoo_source__: ClassVar[str]

    def __reduce__(self) -> tuple[Any, ...]:
        return _blank, (type(self).__name__, self.__zoo_source__), self.__dict__


def _blank(name: str, source: str) -> BlockModule:
    cls = _block_class(name, source)
    return cls.__new__(cls)


@cache
def _block_class(name: str, source: str) -> type[BlockModule]:
    """The class of a block text. Its source is found by ``inspect`` and shown in tracebacks.

    It stands in a module of its own, among the imported ones: ``torch.compile`` looks there for the names it uses.
    """
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    filename = f"<zoo {name} {digest}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    module = ModuleType(f"{__name__}.{name}_{digest}")
    vars(module).update(BlockModule=BlockModule, __file__=filename)
    exec(compile(source, filename, "exec"), vars(module))
    sys.modules[module.__name__] = module
    cls = cast("type[BlockModule]", vars(module)[name])
    cls.__zoo_source__ = source
    return cls


def _class_text(block: Block, name: str) -> str:
    return "\n".join([*import_lines(block), "", "", f"class {name}(BlockModule):", forward_of(block).method(), ""])


def _compose(block: Block, name: str) -> nn.Module:
    """A block's module: its class, then its parameters and submodules in the order of its steps."""
    if name in imported_names(block):  # a plugin's function may be called like the layer that calls it
        name += "Layer"
    module = _block_class(name, _class_text(block, name))()
    for step in block.steps:
        if step.is_tensor:
            _register(module, step)
        elif step.is_module:
            module.add_module(step.name, _submodule(step))
    return module


def _register(module: nn.Module, step: Step) -> None:
    """A free tensor: zeros until its initialiser fills it."""
    tensor = ops[step.op].target(**step.arguments)
    if step.kind == "buffer":
        module.register_buffer(step.name, tensor, persistent=step.arguments.get("persistent", True))
    else:
        module.register_parameter(step.name, tensor)


def _submodule(step: Step) -> nn.Module:
    if step.body is None:
        return ops[step.op].build(step.arguments)
    if becomes_sequential(step.body):
        return nn.Sequential(OrderedDict((inner.name, _submodule(inner)) for inner in step.body.steps))
    return _compose(step.body, class_identifier(step.body.class_name or step.name, prefix="Layer"))


def becomes_sequential(block: Block) -> bool:
    """Whether a block becomes an ``nn.Sequential``: a plain chain, no name of which hides a method of it."""
    return block.is_sequential and not any(hasattr(nn.Sequential, step.name) for step in block.steps)


def _tensors_to_set(module: nn.Module, block: Block) -> Iterator[tuple[ParameterSpec, Tensor]]:
    """Each parameter and buffer that is initialised or frozen by the plan, in forward order."""
    for step in block.steps:
        if step.body is not None:
            yield from _tensors_to_set(module.get_submodule(step.name), step.body)
        for spec in step.parameters:
            if spec.init is None and (spec.is_buffer or spec.trainable):
                continue
            path = step.name if step.kind != "module" else f"{step.name}.{spec.name}"
            yield spec, module.get_buffer(path) if spec.is_buffer else module.get_parameter(path)
