"""The evidence in a run folder: arrays as npz, the rest as JSON, written whole or not at all. Floor 6.

::

    evidence/evidence.json       what was asked for, class names, remarks, LR range test, layer table; after how many
                                 steps it was recorded
    evidence/predictions.npz     labels, predictions, confidence: one entry per test image, in the split's order
    evidence/mistakes.npz        indices, images (uint8, NHWC), labels, predictions, confidence
    evidence/cams.npz            maps of the first mistakes (0..255, NHW) for the predicted and for the true class;
                                 for the predicted alone where the method knows no class
    evidence/augmentations.npz   originals (NHWC), augmented (N, versions, H, W, C), epochs (N, versions)

No pickle: what is read is data, whoever wrote it.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.disk import disk_faults, make_folder, write_atomically
from zoo.errors import CheckpointError
from zoo.layout import EVIDENCE, EVIDENCE_DATA

Arrays = dict[str, NDArray[Any]]

# What zipfile, zlib and NumPy raise over damage: a flipped bit may as well name another method, or ask for a password.
_BROKEN_ARCHIVE = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


def begin(run_dir: Path) -> None:
    """Makes the folder and clears away an earlier recording.

    Of that evidence.json goes first: without it the rest counts for nothing. Raises EnvironmentFault.
    """
    folder = run_dir / EVIDENCE
    make_folder(folder)
    with disk_faults(folder):
        for path in (folder / EVIDENCE_DATA, *sorted(folder.glob("*.npz"))):
            path.unlink(missing_ok=True)


def write_json(run_dir: Path, data: Mapping[str, Any]) -> None:
    """Writes evidence.json. Raises EnvironmentFault."""
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(run_dir / EVIDENCE / EVIDENCE_DATA, text)


def write_arrays(run_dir: Path, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes ``name.npz``. Raises EnvironmentFault."""
    buffer = io.BytesIO()
    # Not told allow_pickle=False: numpy < 2.2 keeps it as an array of that name. Whoever reads refuses pickles.
    contiguous: dict[str, Any] = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
    np.savez_compressed(buffer, **contiguous)
    write_atomically(run_dir / EVIDENCE / f"{name}.npz", buffer.getvalue())


def has_evidence(run_dir: Path, steps: int | None) -> bool:
    """Whether the recording of a training of so many steps came to its end, and can be read."""
    try:
        return bool(read_json(run_dir, steps))
    except CheckpointError:
        return False


def read_json(run_dir: Path, steps: int | None = None) -> dict[str, Any]:
    """evidence.json, which is written last; an empty mapping where there is none of a training of so many steps.

    Without ``steps`` that of any. Raises CheckpointError where it is broken.
    """
    path = run_dir / EVIDENCE / EVIDENCE_DATA
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise _broken(path, error) from error
    if not isinstance(data, dict):
        raise _broken(path, "a mapping was expected")
    recorded = data.get("steps", steps)  # an old recording does not say
    return data if steps is None or recorded == steps else {}


def read_arrays(run_dir: Path, name: str) -> Arrays | None:
    """The arrays of ``name.npz``; None where the run recorded none. Raises CheckpointError where they are broken."""
    path = run_dir / EVIDENCE / f"{name}.npz"
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except _BROKEN_ARCHIVE as error:
        raise _broken(path, error) from error


def _broken(path: Path, cause: object) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot be read: {cause}", help="remove the evidence folder to draw the report without it"
    )
