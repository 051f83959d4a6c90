"""Weights from files: safetensors, or a PyTorch pickle that holds nothing but tensors. Floor 4.

A pickle is read with ``torch.load(weights_only=True)`` and in no other way: what that refuses stays unread.
"""

from __future__ import annotations

import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from torch import Tensor, nn

from zoo.diagnostics import and_more, counted
from zoo.errors import CheckpointError, first_line
from zoo.layout import CHECKPOINTS, is_dir, is_file
from zoo.registry import nearest

_WRAPPERS = ("state_dict", "model", "model_state_dict", "weights")
_PREFIXES = ("module.", "_orig_mod.", "module.")  # compiled inside DataParallel, or the other way round
_MOST_NAMED = 8
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


def load_weights(module: nn.Module, path: str | Path) -> str:
    """Fills a module with a file's weights, in place: device, dtype and memory layout stay the module's.

    Where the file's classifier was made for another number of classes, its head is left out and the module's own,
    freshly initialised, stays. Returns a line that says what was loaded.

    Raises CheckpointError for a file that cannot be read, is not weights alone, or does not fit.
    """
    path = Path(path)
    given = read_weights(path)
    own = module.state_dict()
    given = _unwrapped(given, own)
    # Files of before PyTorch 0.4.1 lack these counts, which nothing but an average without momentum reads.
    uncounted = [name for name in own if name.endswith("num_batches_tracked") and name not in given]
    given |= {name: own[name] for name in uncounted}
    _require_same_names(own, given, path)
    misfits = [name for name, tensor in own.items() if tensor.shape != given[name].shape]
    head = _head_of_other_classes(own, given, misfits)
    if misfits and head is None:
        shapes = [f"{name}: {list(own[name].shape)} here, {list(given[name].shape)} in the file" for name in misfits]
        raise CheckpointError(
            f"{path}: {len(misfits)} tensor{'s' if len(misfits) > 1 else ''} of another shape",
            code="weights-shape",
            notes=and_more(shapes[:_MOST_NAMED], len(shapes)),
        )
    module.load_state_dict({name: own[name] if name in misfits else given[name] for name in own})
    if head is None:
        return f"loaded {len(own) - len(uncounted)} tensors from {path}"
    classes, theirs = own[misfits[0]].shape[0], given[misfits[0]].shape[0]
    kept = len(own) - len(misfits) - len(uncounted)
    return f"loaded {kept} tensors from {path}; {head} is new: {classes} classes here, {theirs} in the file"


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """A file's tensors by name, on the CPU. A folder is read by its ``model.safetensors``.

    Raises CheckpointError where it is missing, damaged, or holds anything but tensors.
    """
    file = weights_file(path)
    return _read_safetensors(file) if _is_safetensors(file) else _read_pickle(file)


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


def _unwrapped(given: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the prefixes of DataParallel and torch.compile, where every name bears one and none fits."""
    for prefix in _PREFIXES:
        if given and not given.keys() & own.keys() and all(name.startswith(prefix) for name in given):
            given = {name.removeprefix(prefix): tensor for name, tensor in given.items()}
    return given


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


def _read_pickle(file: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings(action="ignore"):  # of other pickle protocols, which are read or refused below
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
    said = [line.strip() for line in str(error).split("\n")]
    return next((line for line in said if line and "weights_only" not in line), said[0])


def _state_dict(content: Any, file: Path) -> dict[str, Tensor]:
    """The state dict, also from inside a training checkpoint that bears it under a usual name."""
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(f"{file} holds no state dict of tensors", code="weights-refused")
    return {str(name): tensor for name, tensor in content.items()}


def _require_same_names(own: Mapping[str, Tensor], given: Mapping[str, Tensor], path: Path) -> None:
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    if not missing and not unexpected:
        return
    notes = [f"missing: {text}" for text in and_more(missing[:_MOST_NAMED], len(missing))]
    notes += [f"not in this network: {text}" for text in and_more(unexpected[:_MOST_NAMED], len(unexpected))]
    if missing and unexpected:
        notes.append(f"nearest to {missing[0]}: {', '.join(nearest(missing[0], unexpected))}")
    raise CheckpointError(
        f"{path} does not fit: {counted(len(missing), 'tensor')} missing, {len(unexpected)} not in this network",
        code="weights-names",
        notes=notes,
    )


def _head_of_other_classes(own: Mapping[str, Tensor], given: Mapping[str, Tensor], misfits: list[str]) -> str | None:
    """The classifier's name, if the tensors that do not fit are its own and differ in the number of classes alone."""
    modules = {name.rpartition(".")[0] for name in misfits}
    if modules != {list(own)[-1].rpartition(".")[0]} or not misfits:
        return None
    only_classes = all(own[name].shape[1:] == given[name].shape[1:] for name in misfits)
    return modules.pop() if only_classes else None
