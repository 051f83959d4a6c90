"""Shapes by running layers on the ``meta`` device, so that no shape formula is written twice. Floor 3.

The batch is a large prime: a size that is a multiple of it is a multiple of the batch. Where that could be a
coincidence (a multiple beyond dimension 0, or no batch in what comes in), a second prime decides. Every answer is
kept: a network of a thousand layers has few distinct (op, arguments, input shapes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.graph.lean_meta import lean_meta
from zoo.graph.plan import ParameterSpec, TensorSpec, Value, specs_in
from zoo.layers import Op

T = TypeVar("T")

BATCH, OTHER_BATCH = 8191, 8209
MOST_ANSWERS = 20_000  # that are kept
MOST_PARTS = 10_000  # outputs of one layer


class ShapeError(Exception):
    """Torch's refusal to build or run a layer, in its own words; the planner says it in ours."""


@dataclass(frozen=True, slots=True)
class Inferred:
    """What comes out of a layer, and the parameters and buffers it holds.

    ``views`` says of each tensor that comes out which one of those that go in it shares its memory with, or None.
    """

    output: Value
    parameters: tuple[ParameterSpec, ...] = ()
    views: tuple[int | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One layer to run: plain arguments, complete."""

    op: Op
    arguments: Mapping[str, Any]
    inputs: tuple[Value, ...]
    named: Mapping[str, Value]
    call: Mapping[str, Any]

    @property
    def has_batch(self) -> bool:
        """Whether a size of what comes in goes with the batch; of what is made of parameters alone none does."""
        specs = chain.from_iterable(map(specs_in, (*self.inputs, *self.named.values())))
        return any(size < 0 for spec in specs for size in spec.shape)

    @property
    def module_key(self) -> str:
        """The same for modules built alike."""
        return f"{id(self.op)}{sorted(self.arguments.items())!r}"

    @property
    def key(self) -> str:
        """The same for layers with the same answer."""
        inputs = (self.inputs, sorted(self.named.items()), sorted(self.call.items()))
        return f"{self.module_key}{inputs!r}"


class Shapes:
    """Answers what comes out of a layer, and remembers for as long as the process lives."""

    def __init__(self) -> None:
        self._ops: dict[int, Op] = {}  # keeps those alive whose identity stands in a key
        self._modules: dict[str, tuple[nn.Module, tuple[ParameterSpec, ...]]] = {}
        self._answers: dict[str, Inferred | ShapeError] = {}

    def infer(self, request: Request) -> Inferred:
        """What comes out for these inputs. Raises ShapeError with torch's message."""
        self._ops[id(request.op)] = request.op
        if len(self._answers) > MOST_ANSWERS:
            self._answers.clear()
            self._modules.clear()
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
        first, views = self._run(request, BATCH)
        if not request.has_batch or not _only_in_front(first):
            first = _agreed(first, self._run(request, OTHER_BATCH)[0])
        return Inferred(first, self._module(request)[1], views)

    def _module(self, request: Request) -> tuple[nn.Module | None, tuple[ParameterSpec, ...]]:
        if request.op.kind != "module":
            return None, ()
        key = request.module_key
        if key not in self._modules:
            module = _guarded(lambda: _built(request))
            self._modules[key] = (module.eval(), _parameters(module))
        return self._modules[key]

    def _run(self, request: Request, batch: int) -> tuple[Value, tuple[int | None, ...]]:
        module = self._module(request)[0]
        return _guarded(lambda: _result(request, module, batch))


def _built(request: Request) -> nn.Module:
    with torch.device("meta"), lean_meta():
        return request.op.build(request.arguments)


def _result(request: Request, module: nn.Module | None, batch: int) -> tuple[Value, tuple[int | None, ...]]:
    if _parts(request) > MOST_PARTS:
        raise ValueError(f"more than {MOST_PARTS:,} outputs")
    inputs = [_tensor(value, batch) for value in request.inputs]
    named = {name: _tensor(value, batch) for name, value in request.named.items()}
    with torch.no_grad(), torch.device("meta"), lean_meta():
        if module is not None:
            result = module(*inputs, **named, **request.call)
        else:
            result = request.op.apply(inputs, named, request.arguments)
    return _spec(result, batch), _views(list(_tensors(result)), list(_tensors([inputs, list(named.values())])))


def _parts(request: Request) -> int:
    """How many outputs an op that takes a tensor apart may have: known before they are made."""
    spec = request.inputs[0] if request.inputs else None
    if request.op.name not in ("unbind", "split", "chunk") or not isinstance(spec, TensorSpec):
        return 1
    dim = request.arguments.get("dim", 0)
    size = spec.shape[dim] if -len(spec.shape) <= dim < len(spec.shape) else 1
    step = request.arguments.get("split_size_or_sections", 1)
    most = int(request.arguments.get("chunks", size))
    return min(size, most) // (step if isinstance(step, int) else max(size, 1))


def _views(results: list[Tensor], inputs: list[Tensor]) -> tuple[int | None, ...]:
    memory = {tensor.untyped_storage()._cdata: index for index, tensor in reversed(list(enumerate(inputs)))}
    return tuple(memory.get(tensor.untyped_storage()._cdata) for tensor in results)


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a nest of tuples, lists and mappings, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(item)


def _guarded(act: Callable[[], T]) -> T:
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
        UsageError,  # a foreign model's library refuses an argument
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
    raise TypeError(f"expected a tensor to come out, got {type(result).__name__}")


def _only_in_front(value: Value) -> bool:
    """Whether at most dimension 0 of every tensor goes with the batch."""
    return all(size >= 0 for spec in specs_in(value) for size in spec.shape[1:])


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


def _parameters(module: nn.Module) -> tuple[ParameterSpec, ...]:
    """Every parameter and buffer in the state dict's order, with the class name of the module that holds it."""
    found: list[ParameterSpec] = []
    for path, inner in module.named_modules():
        prefix, owner = f"{path}." if path else "", type(inner).__name__
        for name, tensor in inner.named_parameters(recurse=False):
            found.append(ParameterSpec(prefix + name, tuple(tensor.shape), trainable=tensor.requires_grad, owner=owner))
        for name, tensor in inner.named_buffers(recurse=False):
            found.append(ParameterSpec(prefix + name, tuple(tensor.shape), True, trainable=False, owner=owner))
    return tuple(found)


SHAPES = Shapes()
