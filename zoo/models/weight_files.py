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

from zoo.errors import CheckpointError, first_line
from zoo.layout import CHECKPOINTS, is_dir, is_file

_WRAPPERS = ("state_dict", "model", "model_state_dict", "weights", "module")
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
    """A file's tensors by name, on the CPU, and the key of the average of the weights, where they are one of those.

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
    """The state dict, also from inside a training checkpoint that bears it under a usual name; and that of an average.

    An average of the weights is what such a training tests, so it comes before them.
    """
    for key in _AVERAGES:
        average = content.get(key) if isinstance(content, Mapping) else None
        if isinstance(average, Mapping) and _is_state_dict(_unwrapped(average)):
            return {str(name): tensor for name, tensor in _unwrapped(average).items()}, key
    content = _unwrapped(content)
    if not _is_state_dict(content):
        raise CheckpointError(f"{file} holds no state dict of tensors", code="weights-refused")
    return {str(name): tensor for name, tensor in content.items()}, ""


def _unwrapped(content: Any) -> Any:
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    return content


def _is_state_dict(content: Any) -> bool:
    return isinstance(content, Mapping) and all(isinstance(value, Tensor) for value in content.values())
