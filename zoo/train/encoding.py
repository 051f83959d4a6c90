"""Training state as JSON and tensors: nested plain data in, and exactly the same out. No pickle. Floor 5."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zoo.errors import CheckpointError

_MARK = "$"


class TensorStore:
    """Tensors on their way into a safetensors file, and the layout each had in memory.

    safetensors takes contiguous tensors only and keeps no strides; a channels_last tensor that came back
    contiguous would give other last digits. So strides travel in the JSON beside it, those of 1x1 filters too: torch
    calls them contiguous whatever their strides, and takes other kernels for them.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.strides: dict[str, list[int]] = {}

    def put(self, name: str, tensor: Tensor) -> None:
        """Takes a tensor as it is now: contiguous, on the CPU, sharing no memory with any other."""
        tensor = tensor.detach()
        if tensor.stride() != torch.empty(tensor.shape, device="meta").stride():
            self.strides[name] = list(tensor.stride())
        self.tensors[name] = tensor.to("cpu", copy=True, memory_format=torch.contiguous_format)


def with_strides(tensor: Tensor, strides: list[int] | None) -> Tensor:
    """The tensor laid out with these strides."""
    if strides is None:
        return tensor
    return torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype).copy_(tensor)


def encode(value: Any, path: str, store: TensorStore) -> Any:
    """Plain data for JSON; every tensor goes to ``store`` under its path. Raises CheckpointError for anything else."""
    if isinstance(value, Tensor):
        store.put(path, value)
        return {_MARK: "tensor", "name": path}
    if isinstance(value, dict):
        return _encode_mapping(value, path, store)
    if isinstance(value, (list, tuple)):
        items = [encode(item, f"{path}.{number}", store) for number, item in enumerate(value)]
        return items if isinstance(value, list) else {_MARK: "tuple", "items": items}
    if isinstance(value, torch.dtype):
        return {_MARK: "dtype", "name": str(value).removeprefix("torch.")}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise CheckpointError(f"cannot save {path}: {type(value).__name__} is neither a tensor nor plain data")


def _encode_mapping(value: dict[Any, Any], path: str, store: TensorStore) -> Any:
    encoded = {key: encode(item, f"{path}.{key}", store) for key, item in value.items()}
    plain = _MARK not in value and all(isinstance(key, str) for key in value)
    if plain:
        return encoded
    # JSON's keys are strings: number keys (optimizers') travel as pairs.
    return {_MARK: "pairs", "items": [list(pair) for pair in encoded.items()]}


def decode(value: Any, tensors: dict[str, Tensor], strides: dict[str, list[int]]) -> Any:
    """What :func:`encode` was given. Raises KeyError for a tensor that is not there."""
    if isinstance(value, list):
        return [decode(item, tensors, strides) for item in value]
    if not isinstance(value, dict):
        return value
    match value.get(_MARK):
        case "tensor":
            return with_strides(tensors[value["name"]], strides.get(value["name"]))
        case "dtype":
            return getattr(torch, value["name"])
        case "tuple":
            return tuple(decode(item, tensors, strides) for item in value["items"])
        case "pairs":
            return {key: decode(item, tensors, strides) for key, item in value["items"]}
    return {key: decode(item, tensors, strides) for key, item in value.items()}
