"""The evidence in a run folder: arrays as npz, the rest as JSON, written whole or not at all. Floor 6.

::

    evidence/evidence.json       what was asked for, class names, remarks, LR range test, layer table
    evidence/predictions.npz     labels, predictions, confidence: one entry per test image, in the split's order
    evidence/mistakes.npz        indices, images (uint8, NHWC), labels, predictions, confidence
    evidence/cams.npz            maps of the first mistakes (0..255, NHW) for the predicted and for the true class;
                                 for the predicted alone where the method knows no class
    evidence/augmentations.npz   originals (NHWC), augmented (N, versions, H, W, C)

No pickle: what is read is data, whoever wrote it.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import CheckpointError
from zoo.train.folder import disk_faults

FOLDER = "evidence"
Arrays = dict[str, NDArray[Any]]


def write_json(run_dir: Path, data: Mapping[str, Any]) -> None:
    """Writes evidence.json."""
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    _replace(run_dir / FOLDER / "evidence.json", text.encode())


def write_arrays(run_dir: Path, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes ``name.npz``."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, allow_pickle=False, **{key: np.ascontiguousarray(array) for key, array in arrays.items()}
    )
    _replace(run_dir / FOLDER / f"{name}.npz", buffer.getvalue())


def has_evidence(run_dir: Path) -> bool:
    """Whether a run's recording came to its end: evidence.json is written last."""
    return (run_dir / FOLDER / "evidence.json").is_file()


def read_json(run_dir: Path) -> dict[str, Any]:
    """evidence.json, or an empty mapping where the run recorded none. Raises CheckpointError where it is broken."""
    path = run_dir / FOLDER / "evidence.json"
    if not has_evidence(run_dir):
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise _broken(path, error) from error
    if not isinstance(data, dict):
        raise _broken(path, "a mapping was expected")
    return data


def read_arrays(run_dir: Path, name: str) -> Arrays | None:
    """The arrays of ``name.npz``; None where the run recorded none. Raises CheckpointError where they are broken."""
    path = run_dir / FOLDER / f"{name}.npz"
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _broken(path, error) from error


def _replace(path: Path, content: bytes) -> None:
    with disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _broken(path: Path, cause: object) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot be read: {cause}", help="remove the evidence folder to draw the report without it"
    )
