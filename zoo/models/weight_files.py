"""Files of weights: safetensors, or a PyTorch pickle that holds nothing but tensors. Floor 4.

A pickle is read with ``torch.load(weights_only=True)`` and in no other way: what that refuses stays unread.
"""

from __future__ import annotations

import argparse
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from torch import Tensor

from zoo.diagnostics import first_of
from zoo.errors import CheckpointError, first_line
from zoo.layout import CHECKPOINTS, is_dir, is_file
from zoo.registry import listed

_WRAPPERS = ("state_dict", "model", "model_state_dict", "weights", "module")
_MOST_NESTED = 4  # wrappers in wrappers; a pickle may hold itself
_MOST_NAMED = 8
_AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")  # as timm does, they are taken before the weights
# What torch's unpickler raises where bytes are missing or others.
_DAMAGES = (
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    BadZipFile,
    AttributeError,
    TypeError,
    struct.error,
)


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], str]:
    """A file's tensors by name, on the CPU, and what there is to say of their place in it: ``the averages in ema``.

    A folder is read by its ``model.safetensors``. Raises CheckpointError where it is missing, damaged, or holds
    anything but tensors.
    """
    file = weights_file(path)
    return (_read_safetensors(file), "") if _is_safetensors(file) else _read_pickle(file)


def weights_file(path: str | Path) -> Path:
    """The file that holds the weights at a path, which may be a folder's. Raises CheckpointError without one."""
    path = Path(path)
    file = path / "model.safetensors" if is_dir(path) else path
    if not is_file(file):
        help = "a file of weights goes by its path from the file that names it"
        if is_dir(path / CHECKPOINTS):
            help = f"that is a run: name one of its checkpoints, {path.name}/{CHECKPOINTS}/best"
        raise CheckpointError(f"there are no weights at {file}", code="no-weights", help=help)
    return file


def _is_safetensors(file: Path) -> bool:
    """By content: eight bytes of length, then JSON. Names lie."""
    try:
        with file.open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise CheckpointError(f"cannot read {file}: {error.strerror or error}", code="weights-unreadable") from error
    return start[8:] == b"{" or file.suffix == ".safetensors"


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{file} is damaged: {error}", code="weights-damaged") from error
    return tensors


def _read_pickle(file: Path) -> tuple[dict[str, Tensor], str]:
    try:
        # Warnings are of other pickle protocols, which are read or refused below. A Namespace is what training scripts
        # leave beside the weights: attributes, and nothing that runs.
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not _is_pickle(file):
            message = f"{file} is no file of weights: neither safetensors nor what torch.save writes"
            raise CheckpointError(message, code="weights-refused") from None
        raise CheckpointError(
            f"{file} is refused: it is not a file of plain weights",
            code="weights-refused",
            notes=[_reason(error)],
            help="a pickle can run any program when it is opened; ask for the weights as safetensors",
        ) from error
    except _DAMAGES as error:
        raise CheckpointError(f"{file} is damaged: {first_line(error)}", code="weights-damaged") from error
    return _state_dict(content, file)


def _is_pickle(file: Path) -> bool:
    """By content: a zip archive, or an old file that begins as a pickle of protocol 2 or later does."""
    with file.open("rb") as stream:
        return stream.read(1) == b"\x80" or zipfile.is_zipfile(stream)


def _reason(error: pickle.UnpicklingError) -> str:
    """What torch says is wrong, without its advice to open the file all the same."""
    text = str(error)
    foreign = re.search(r"GLOBAL (\S+) was not an allowed global", text)
    if foreign is not None:
        return f"it also holds an object of {foreign[1]}"
    said = [line.strip() for line in text.split("\n")]
    return next((line for line in said if line and "weights_only" not in line and "can still be" not in line), said[0])


def _state_dict(content: Any, file: Path) -> tuple[dict[str, Tensor], str]:
    """The state dict, also from inside a training checkpoint, and what there is to say of its place there.

    An average of the weights is what such a training tests, so it comes before them. What bears no usual name is taken
    where it is the only state dict there. Raises CheckpointError where there is none, or more than one.
    """
    inside = {key: _unwrapped(value) for key, value in content.items()} if isinstance(content, Mapping) else {}
    found = {str(key): _by_name(value) for key, value in inside.items() if _is_state_dict(value) and _has_floats(value)}
    if average := next((key for key in _AVERAGES if key in found), None):
        return found[average], f"the averages in {average}"
    if _is_state_dict(plain := _unwrapped(content)):
        return _by_name(plain), ""
    if len(found) > 1:
        raise CheckpointError(
            f"{file} holds several state dicts: {_some(list(found))}",
            code="weights-names",
            help="save the one that is meant to a file of its own",
        )
    if not found:
        raise CheckpointError(f"{file} holds no state dict of tensors", code="weights-refused", notes=_held(content))
    ((key, tensors),) = found.items()
    return tensors, f"those in {key}"


def _unwrapped(content: Any) -> Any:
    """What stands below usual names, one in the other."""
    for _ in range(_MOST_NESTED):
        if not isinstance(content, Mapping):
            break
        content = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), content)
    return content


def _is_state_dict(content: Any) -> bool:
    return isinstance(content, Mapping) and bool(content) and all(isinstance(each, Tensor) for each in content.values())


def _has_floats(tensors: Mapping[Any, Tensor]) -> bool:
    """Whether these may be weights: states of random generators are bytes alone."""
    return any(tensor.is_floating_point() for tensor in tensors.values())


def _by_name(tensors: Mapping[Any, Tensor]) -> dict[str, Tensor]:
    return {str(name): tensor for name, tensor in tensors.items()}


def _held(content: Any) -> list[str]:
    """What is there in place of tensors."""
    if not isinstance(content, Mapping):
        return [f"what it holds is of type {type(content).__name__}"]
    others = [f"{key} ({type(value).__name__})" for key, value in content.items() if not isinstance(value, Tensor)]
    return [f"beside tensors, or in place of them, it holds {_some(others)}"] if others else ["it is empty"]


def _some(names: list[str]) -> str:
    return listed(names, "and") if len(names) <= _MOST_NAMED else first_of(names[:_MOST_NAMED], len(names))
