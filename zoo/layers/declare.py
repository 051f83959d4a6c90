"""How ops are declared: everything that can be read off a module class or a function is read off it. Floor 2."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from types import GenericAlias
from typing import Any

import torch
from torch import Tensor, nn

from zoo.layers.bounds import DESCRIBED, NAMED
from zoo.layers.op import Check, Inferred, Mixes, Op, Writer, as_call, no_fault
from zoo.schema import ArgsModel, arguments_model

INFERRED: dict[str, Inferred] = {
    "in_channels": "channels",
    "num_features": "channels",
    "num_channels": "channels",
    "input_channels": "channels",
    "in_features": "features",
    "normalized_shape": "features",
    "embed_dim": "features",
    "d_model": "features",
}
_NEVER_ARGUMENTS = ("device", "dtype", "generator", "out", "training", "_stacklevel")
_IMPORTS = {
    "nn": "from torch import nn",
    "F": "import torch.nn.functional as F",
    "torch": "import torch",
    "torchvision": "import torchvision",
}


def no_arguments() -> None:
    """A signature without arguments, for models that are declared as overrides whole."""


def forms(item: Any, dimensions: int) -> Any:
    """One value for all dimensions, or a list of one for each."""
    return item | GenericAlias(tuple, (item,) * dimensions)


class NoArguments(ArgsModel):
    """Takes no arguments."""


def module(
    target: type[nn.Module],
    *,
    overrides: Mapping[str, Any] | None = None,
    leave_out: Iterable[str] = (),
    infers: Mapping[str, Inferred] | None = None,
    check: Check | None = None,
    mixes: Mixes | None = None,
) -> Op:
    """A ``torch.nn`` class: arguments from its constructor's signature, inputs and call keywords from its forward's."""
    name = target.__name__
    arguments = arguments_model(
        name,
        target,
        leave_out=(*_NEVER_ARGUMENTS, *leave_out),
        overrides=overrides,
        within=NAMED,
        described=DESCRIBED,
    )
    names, required = tensor_parameters(target.forward, skip_self=True)
    call = arguments_model(f"{name}Call", target.forward, leave_out=("self", *names), within=NAMED)
    return Op(
        name=name,
        kind="module",
        target=target,
        arguments=arguments,
        path=f"nn.{name}",
        imports=("from torch import nn",),
        input_names=names,
        min_inputs=required,
        max_inputs=len(names),
        infers=infers if infers is not None else {k: v for k, v in INFERRED.items() if k in arguments.model_fields},
        call=call if call.model_fields else None,
        mixes=mixes,
        check=check or no_fault,
        doc=arguments.__doc__ or "",
    )


def function(
    path: str,
    target: Callable[..., Any],
    arguments: type[ArgsModel] | None = None,
    *,
    name: str | None = None,
    inputs: tuple[str, ...] | None = None,
    min_inputs: int | None = None,
    any_number: bool = False,
    second_input: str | None = None,
    gathers: bool = False,
    follows_training: bool = False,
    overrides: Mapping[str, Any] | None = None,
    leave_out: Iterable[str] = (),
    check: Check | None = None,
    mixes: Mixes | None = None,
    writes: Writer = as_call,
    doc: str | None = None,
) -> Op:
    """A function, written as ``path`` in source; its name is the path's last part.

    Without an ``arguments`` model the function has a signature that gives one, and its tensors are read off it too.
    """
    name = name or path.rpartition(".")[2]
    if arguments is None:
        found, required = tensor_parameters(target)
        unsettable = (*_NEVER_ARGUMENTS, *found, *leave_out)
        arguments = arguments_model(
            name, target, leave_out=unsettable, overrides=overrides, within=NAMED, described=DESCRIBED
        )
        follows_training = "training" in inspect.signature(target).parameters
        inputs, min_inputs = found if inputs is None else inputs, required if min_inputs is None else min_inputs
    if inputs is None:
        inputs = ("input",)
    return Op(
        name=name,
        kind="function",
        target=target,
        arguments=arguments,
        path=path,
        imports=(_IMPORTS[path.partition(".")[0]],) if "." in path else (),
        input_names=inputs,
        min_inputs=len(inputs) if min_inputs is None else min_inputs,
        max_inputs=None if any_number else len(inputs),
        second_input=second_input,
        gathers=gathers,
        follows_training=follows_training,
        mixes=mixes,
        check=check or no_fault,
        writes=writes,
        doc=doc if doc is not None else arguments.__doc__ or "",
    )


def tensor_parameters(callable_: Callable[..., Any], *, skip_self: bool = False) -> tuple[tuple[str, ...], int]:
    """The names of a callable's tensor parameters, and how many of them have no default."""
    try:
        hints = typing.get_type_hints(callable_)
    except (NameError, TypeError):
        hints = {}
    parameters = list(inspect.signature(callable_).parameters.values())[1 if skip_self else 0 :]
    tensors = [parameter for parameter in parameters if _is_tensor(parameter, hints.get(parameter.name))]
    required = [parameter for parameter in tensors if parameter.default is inspect.Parameter.empty]
    return tuple(parameter.name for parameter in tensors), len(required)


def _is_tensor(parameter: inspect.Parameter, annotation: Any) -> bool:
    if annotation is None:  # only torch's oldest functions lack annotations, and their first parameter is a tensor
        return parameter.default is inspect.Parameter.empty
    return annotation is Tensor or annotation is torch.Tensor or Tensor in typing.get_args(annotation)
