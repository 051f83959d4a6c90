"""Optimizers by name: zoo's own, torch.optim's, then timm.optim's. Floor 2."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from typing import Any

import torch
from torch.optim import Optimizer

from zoo.diagnostics import Diagnostic, Span
from zoo.optim.muon import Muon
from zoo.registry import Registry, unknown
from zoo.schema import ArgsModel, arguments_model

REFUSED: dict[str, str] = {
    "LBFGS": "it evaluates the loss several times a step",
    "SparseAdam": "it takes sparse gradients only",
    "Adahessian": "it needs second derivatives",
    "adahessian": "it needs second derivatives",
    "Lookahead": "it is `train.lookahead` here, for any optimizer",
}
_PARAMS = ("params", "named_params")  # handed over when the optimizer is built


@dataclass(frozen=True, slots=True)
class OptimizerEntry:
    """An optimizer that a recipe can name: what builds it, and its arguments model."""

    name: str
    target: Callable[..., Optimizer]
    arguments: type[ArgsModel]
    doc: str

    @property
    def has_fused(self) -> bool:
        """Whether there is a form of it that takes a step in one kernel."""
        return "fused" in self.arguments.model_fields

    @property
    def has_foreach(self) -> bool:
        """Whether there is a form of it that updates all tensors at once."""
        return "foreach" in self.arguments.model_fields


def optimizer_entry(name: str, target: Callable[..., Optimizer]) -> OptimizerEntry:
    """The entry of an optimizer class, or of a function that makes one; arguments come from the signature."""
    model = arguments_model(name, target, leave_out=_PARAMS, overrides=_numbers(target))
    return OptimizerEntry(name, target, model, model.__doc__ or "")


def find_optimizer(name: str) -> OptimizerEntry | None:
    """The optimizer of this name; ``torch:NAME`` and ``timm:NAME`` ask for one library's."""
    library, _, bare = name.rpartition(":")
    if library == "torch":
        target = _torch_optimizers().get(bare)
    elif library == "timm":
        target = _timm_optimizers().get(bare)
    elif name in optimizers:
        return optimizers[name]
    else:
        target = _timm_optimizers().get(name)
    return optimizer_entry(name, target) if target else None


def optimizer_names() -> list[str]:
    """Every name that :func:`find_optimizer` knows without a library before it."""
    return list(dict.fromkeys([*optimizers, *_timm_optimizers()]))


def unknown_optimizer(name: str, span: Span) -> Diagnostic:
    """The message about a name that no optimizer bears, or that of one that cannot be used."""
    reason = REFUSED.get(name.rpartition(":")[2])
    if reason:
        return Diagnostic("error", "unknown-optimizer", f"optimizer {name!r} cannot be used here: {reason}", span)
    return unknown("optimizer", name, optimizer_names(), span)


def _numbers(target: Callable[..., Optimizer]) -> dict[str, Any]:
    """Annotations that timm's signatures lack: a default of 0 stands for a float, ``lr`` is one in any case."""
    found: dict[str, Any] = {}
    for parameter in inspect.signature(target).parameters.values():
        is_bare = parameter.annotation is inspect.Parameter.empty
        if parameter.name == "lr" and not isinstance(parameter.default, float):
            is_optional = parameter.default is None
            found["lr"] = (float | None, None) if is_optional else (float, inspect.Parameter.empty)
        elif is_bare and type(parameter.default) is int:
            found[parameter.name] = (float, parameter.default)
    return found


def _is_optimizer(candidate: object) -> bool:
    return inspect.isclass(candidate) and issubclass(candidate, Optimizer) and candidate is not Optimizer


@cache
def _torch_optimizers() -> dict[str, Callable[..., Optimizer]]:
    names = {name: value for name, value in vars(torch.optim).items() if _is_optimizer(value)}
    return {name: names[name] for name in sorted(names) if name not in REFUSED}


@cache
def _timm_optimizers() -> dict[str, Callable[..., Optimizer]]:
    """timm's classes under their names, then the registry's names, which have defaults of their own."""
    library: Any = import_module("timm.optim")  # takes seconds, so only when no other optimizer has the name
    found: dict[str, Any] = {name: value for name, value in vars(library).items() if _is_optimizer(value)}
    for name in library.list_optimizers():
        info = library.get_optimizer_info(name)
        is_extern = isinstance(info.opt_class, str)  # of a library that timm only points to (apex, bitsandbytes)
        if not is_extern and not info.second_order:
            found.setdefault(name, partial(info.opt_class, **(info.defaults or {})))
    return {name: value for name, value in found.items() if name not in REFUSED}


def _fill(registry: Registry[OptimizerEntry]) -> None:
    registry.add("Muon", optimizer_entry("Muon", Muon))
    for name, target in _torch_optimizers().items():
        if name not in registry:
            registry.add(name, optimizer_entry(name, target))


optimizers: Registry[OptimizerEntry] = Registry("optimizer", _fill)
