"""Helpers for data that are read at random: images of several sizes, tars, scripts in processes of their own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from zoo.data import Dataset

ROOT = Path(__file__).parents[2]
PER_SHARD = 8


def images(count: int, seed: int = 0) -> list[bytes]:
    """Encoded images of several sizes, PNG and JPEG in turn."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        stream = io.BytesIO()
        pixels = random.integers(0, 256, (10 + number % 3, 12, 3), dtype=np.uint8)
        Pillow.fromarray(pixels).save(stream, format="JPEG" if number % 2 else "PNG")
        made.append(stream.getvalue())
    return made


def write_tar(path: Path, members: Iterable[tuple[str, bytes]], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def all_of(dataset: Dataset) -> list[tuple[str, int, bytes, tuple[int, ...]]]:
    """Every sample of every split: id, label, pixels, shape."""
    splits = [dataset.train, dataset.test, *([dataset.validation] if dataset.validation is not None else [])]
    return [
        (split.id(index), int(split.labels[index]), split.image(index).tobytes(), split.image(index).shape)
        for split in splits
        for index in range(len(split))
    ]


def started(script: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python process that runs a script from the root of the project."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)


def printed(script: str, *arguments: str) -> str:
    """What a script prints."""
    process = started(script, *arguments)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out
