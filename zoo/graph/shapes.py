"""Shapes by running layers on the ``meta`` device, so that no shape formula is written twice. Floor 3.

The batch is a large prime: a size that is a multiple of it is a multiple of the batch. Where that could be a
coincidence (a multiple beyond dimension 0), a second prime decides. Every answer is kept: a network of a thousand
layers has few distinct (op, arguments, input shapes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.graph.plan import ParameterSpec, TensorSpec, Value
from zoo.layers import Op

BATCH, OTHER_BATCH = 8191, 8209
MOST_ELEMENTS = 2**62  # of one tensor at the batch above; beyond it torch's own arithmetic overflows


class ShapeError(Exception):
    """Torch's refusal to build or run a layer, in its own words; the planner says it in ours."""


@dataclass(frozen=True, slots=True)
class Inferred:
    """What comes out of a layer, and the parameters and buffers it holds, with the class of each one's module."""

    output: Value
    parameters: tuple[ParameterSpec, ...] = ()
    owners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One layer to run: plain arguments, complete."""

    op: Op
    arguments: Mapping[str, Any]
    inputs: tuple[Value, ...]
    named: Mapping[str, Value]
    call: Mapping[str, Any]

    @property
    def module_key(self) -> str:
        return f"{self.op.name}{sorted(self.arguments.items())!r}"

    @property
    def key(self) -> str:
        inputs = (self.inputs, sorted(self.named.items()), sorted(self.call.items()))
        return f"{self.module_key}{inputs!r}"


class Shapes:
    """Answers what comes out of a layer, and remembers."""

    def __init__(self) -> None:
        self._modules: dict[str, tuple[nn.Module, tuple[ParameterSpec, ...], tuple[str, ...]]] = {}
        self._answers: dict[str, Inferred | ShapeError] = {}

    def infer(self, request: Request) -> Inferred:
        """What comes out for these inputs. Raises ShapeError with torch's message."""
        key = request.key
        answer = self._answers.get(key)
        if answer is None:
            try:
                answer = self._infer(request)
            except ShapeError as error:
                answer = error
            self._answers[key] = answer
        if isinstance(answer, ShapeError):
            raise ShapeError(*answer.args)
        return answer

    def _infer(self, request: Request) -> Inferred:
        first = self._run(request, BATCH)
        if not _only_in_front(first):
            second = self._run(request, OTHER_BATCH)
            return Inferred(_agreed(first, second), *self._module(request)[1:])
        parameters, owners = self._module(request)[1:]
        return Inferred(first, parameters, owners)

    def _module(self, request: Request) -> tuple[nn.Module | None, tuple[ParameterSpec, ...], tuple[str, ...]]:
        if request.op.kind != "module":
            return None, (), ()
        key = request.module_key
        if key not in self._modules:
            module = _guarded(lambda: _built(request))
            self._modules[key] = (module.eval(), *_parameters(module))
        return self._modules[key]

    def _run(self, request: Request, batch: int) -> Value:
        module = self._module(request)[0]
        return _guarded(lambda: _spec(_result(request, module, batch), batch))


def _built(request: Request) -> nn.Module:
    with torch.device("meta"):
        return request.op.build(request.arguments)


def _result(request: Request, module: nn.Module | None, batch: int) -> Any:
    inputs = [_tensor(value, batch) for value in request.inputs]
    named = {name: _tensor(value, batch) for name, value in request.named.items()}
    with torch.no_grad(), torch.device("meta"):
        if module is not None:
            return module(*inputs, **named, **request.call)
        return request.op.apply(inputs, named, request.arguments)


def _guarded(act: Any) -> Any:
    """Runs torch; whatever it raises on a bad layer becomes one kind of error."""
    try:
        return act()
    except (
        RuntimeError,
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        AssertionError,
        AttributeError,
        NotImplementedError,
        ArithmeticError,
    ) as error:
        raise ShapeError(str(error) or type(error).__name__) from None


def _tensor(value: Value, batch: int) -> Any:
    if isinstance(value, TensorSpec):
        shape = [-size * batch if size < 0 else size for size in value.shape]
        return torch.empty(shape, dtype=getattr(torch, value.dtype), device="meta")
    if isinstance(value, dict):
        return {key: _tensor(item, batch) for key, item in value.items()}
    return tuple(_tensor(item, batch) for item in value) if isinstance(value, tuple) else None


def _spec(result: Any, batch: int) -> Value:
    if isinstance(result, Tensor):
        shape = tuple(-(size // batch) if size and size % batch == 0 else size for size in result.shape)
        return TensorSpec(shape, str(result.dtype).removeprefix("torch."))
    if isinstance(result, Mapping):
        return {str(key): _spec(item, batch) for key, item in result.items()}
    if isinstance(result, Sequence) and not isinstance(result, str):
        return tuple(_spec(item, batch) for item in result)
    if result is None:
        return None
    raise TypeError(f"a {type(result).__name__} came out, not a tensor")


def _only_in_front(value: Value) -> bool:
    """Whether at most dimension 0 of every tensor goes with the batch."""
    if isinstance(value, TensorSpec):
        return all(size >= 0 for size in value.shape[1:])
    items = value.values() if isinstance(value, dict) else value or ()
    return all(_only_in_front(item) for item in items)


def _agreed(first: Value, second: Value) -> Value:
    """Sizes that go with the batch under both primes; the others as they are."""
    if isinstance(first, TensorSpec) and isinstance(second, TensorSpec):
        sizes = [a if a == b else -a * BATCH if a < 0 else a for a, b in zip(first.shape, second.shape, strict=True)]
        return TensorSpec(tuple(sizes), first.dtype)
    if isinstance(first, dict) and isinstance(second, dict):
        return {key: _agreed(item, second[key]) for key, item in first.items()}
    if isinstance(first, tuple) and isinstance(second, tuple):
        return tuple(_agreed(a, b) for a, b in zip(first, second, strict=True))
    return first


def _parameters(module: nn.Module) -> tuple[tuple[ParameterSpec, ...], tuple[str, ...]]:
    """Every parameter and buffer in the state dict's order, and the class name of the module that holds it."""
    found: list[ParameterSpec] = []
    owners: list[str] = []
    for path, inner in module.named_modules():
        prefix = f"{path}." if path else ""
        for name, tensor in inner.named_parameters(recurse=False):
            found.append(ParameterSpec(prefix + name, tuple(tensor.shape), trainable=tensor.requires_grad))
            owners.append(type(inner).__name__)
        for name, tensor in inner.named_buffers(recurse=False):
            found.append(ParameterSpec(prefix + name, tuple(tensor.shape), is_buffer=True, trainable=False))
            owners.append(type(inner).__name__)
    return tuple(found), tuple(owners)
