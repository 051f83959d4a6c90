"""Checkpoints on disk: written whole or not at all, verified at every load. Floor 5.

A checkpoint is a folder::

    model.safetensors      the network's weights and buffers, as they are tested
    training.safetensors   the other tensors of the training state
    training.json          its plain data, and the layout of every tensor that is not contiguous
    manifest.json          format, epochs and steps gone through, and for each file its size and SHA-256; then its own

It is written into a hidden folder beside its place, each file and the folder fsynced, read back and verified,
and only then renamed. Whenever the process is killed, every folder without a leading dot is whole.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import safetensors.torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from torch import Tensor

from zoo.disk import disk_faults, draft_of, fsync_folder, write_through
from zoo.errors import CheckpointError
from zoo.layout import MANIFEST
from zoo.train.encoding import TensorStore

FORMAT = 1
MODEL, TRAINING, PLAIN = "model.safetensors", "training.safetensors", "training.json"


class DamagedCheckpointError(CheckpointError):
    """A checkpoint that does not verify: another may."""


class FileSum(BaseModel):
    """A file's size in bytes and its SHA-256."""

    model_config = ConfigDict(strict=True, frozen=True)

    bytes: Annotated[int, Field(ge=0)]
    sha256: str


class Manifest(BaseModel):
    """What ``manifest.json`` says: where in the training the checkpoint stands, and its files' sizes and sums."""

    model_config = ConfigDict(strict=True, frozen=True)

    epoch: Annotated[int, Field(ge=0)]
    step: Annotated[int, Field(ge=0)]
    files: dict[Annotated[str, Field(pattern=r"^[^\x00]+$")], FileSum]

    def render(self) -> bytes:
        """The file's bytes. Its last key is the SHA-256 of all before it, so that not a byte may differ."""
        data = {"format": FORMAT, **self.model_dump()}
        digest = hashlib.sha256(json.dumps(data).encode()).hexdigest()
        return (json.dumps({**data, "manifest": digest}, indent=2) + "\n").encode()


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint's contents. Model tensors are contiguous; their strides are in ``model_strides``."""

    path: Path
    manifest: Manifest
    model: dict[str, Tensor]
    tensors: dict[str, Tensor]
    state: dict[str, Any]
    model_strides: dict[str, list[int]]
    strides: dict[str, list[int]]


def write_checkpoint(
    path: Path, *, model: TensorStore, training: TensorStore, state: dict[str, Any], epoch: int, step: int
) -> None:
    """Writes a verified checkpoint to a path that does not exist yet. Raises EnvironmentFault; leaves no debris."""
    plain = {"state": state, "model_strides": model.strides, "strides": training.strides}
    files: dict[str, Callable[[], bytes]] = {
        MODEL: lambda: safetensors.torch.save(model.tensors),
        TRAINING: lambda: safetensors.torch.save(training.tensors),
        PLAIN: lambda: json.dumps(plain).encode(),
    }
    draft = draft_of(path)
    with disk_faults(path):
        try:
            draft.mkdir(parents=True)
            sums = {name: _write(draft / name, content()) for name, content in files.items()}
            _write(draft / MANIFEST, Manifest(epoch=epoch, step=step, files=sums).render())
            fsync_folder(draft)
            verify(draft)
            draft.rename(path)
            fsync_folder(path.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _write(path: Path, content: bytes) -> FileSum:
    write_through(path, content)
    return FileSum(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def verify(path: Path) -> Manifest:
    """Checks every file of a checkpoint against its manifest, and the manifest against itself.

    Raises DamagedCheckpointError; CheckpointError for a manifest that has another format or points outside its folder.
    """
    manifest = read_manifest(path)
    for name, expected in manifest.files.items():
        try:
            with (path / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DamagedCheckpointError(f"{path / name}: {error.strerror}") from None
        if digest != expected.sha256:
            raise DamagedCheckpointError(f"{path / name}: its SHA-256 is not the manifest's")
    if missing := {MODEL, TRAINING, PLAIN} - manifest.files.keys():
        raise DamagedCheckpointError(f"{path / MANIFEST} lacks {', '.join(sorted(missing))}")
    return manifest


def read_manifest(path: Path) -> Manifest:
    """A checkpoint's manifest, checked against itself alone. Raises what :func:`verify` raises."""
    file = path / MANIFEST
    try:
        raw = file.read_bytes()
        data = json.loads(raw)
        _refuse_other_formats(file, data)
        manifest = Manifest.model_validate(data)
    except OSError as error:
        raise DamagedCheckpointError(f"{file}: {error.strerror}") from None
    except (ValueError, RecursionError):  # pydantic's ValidationError is a ValueError
        raise DamagedCheckpointError(f"{file} is not a manifest") from None
    _refuse_outside(file, manifest.files)
    if manifest.render() != raw:
        raise DamagedCheckpointError(f"{file}: its own SHA-256 does not fit")
    return manifest


def _refuse_other_formats(manifest: Path, data: Any) -> None:
    """Raises CheckpointError for a whole manifest of another format, for which no older checkpoint makes up."""
    if not isinstance(data, dict) or data.get("format") == FORMAT:
        return
    rest = {key: value for key, value in data.items() if key != "manifest"}
    if data.get("manifest") == hashlib.sha256(json.dumps(rest).encode()).hexdigest():
        raise CheckpointError(
            f"{manifest} has format {data.get('format')!r}; this version of zoo reads format {FORMAT}",
            code="checkpoint-format",
            help="use the version that wrote it: env.json of the run names it",
        )


def _refuse_outside(manifest: Path, names: Iterable[str]) -> None:
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise CheckpointError(f"{manifest} points outside its folder: {name}", code="checkpoint-outside")
        if (manifest.parent / name).is_symlink():
            raise CheckpointError(f"{manifest.parent / name} is a link", code="checkpoint-outside")


def read_checkpoint(path: Path, verified: Manifest | None = None) -> Checkpoint:
    """Verifies a checkpoint, unless it was ``verified`` just now, and reads it.

    Raises DamagedCheckpointError, or CheckpointError as ``verify`` does.
    """
    manifest = verified or verify(path)
    try:
        plain = json.loads((path / PLAIN).read_bytes())
        return Checkpoint(
            path,
            manifest,
            safetensors.torch.load_file(path / MODEL),
            safetensors.torch.load_file(path / TRAINING),
            plain["state"],
            plain["model_strides"],
            plain["strides"],
        )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DamagedCheckpointError(f"{path} cannot be read: {error}") from error
