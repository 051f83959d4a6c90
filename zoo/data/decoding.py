"""Encoded images to uint8 arrays: sizes checked before anything is decoded, damage told with its place. Floor 2.

The one file that imports Pillow.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zoo.data.dataset import ArraySplit, Image, Labels, Split
from zoo.errors import DataError

MOST_PIXELS = 100_000_000  # of one image; a larger one is refused before it is decoded
_CHUNK = 512  # images a thread decodes at a time


@dataclass(frozen=True, slots=True)
class Encoded:
    """An image file's bytes, or the file they are in, and what messages call it."""

    data: bytes | Path = field(repr=False)
    id: str


def decode(image: Encoded, *, channels: int | None = None) -> Image:
    """The image (height, width, 3), or (height, width, 1) where it is grey or ``channels`` is 1.

    Raises DataError naming the image and the cause.
    """
    from PIL import Image as Pillow

    stream = io.BytesIO(image.data) if isinstance(image.data, bytes) else image.data
    try:
        with Pillow.open(stream) as opened:
            width, height = opened.size
            if width * height > MOST_PIXELS:
                raise DataError(f"{image.id}: declares {width} x {height} pixels, more than {MOST_PIXELS:,}")
            grey = channels == 1 or (channels is None and opened.mode in ("L", "1"))
            pixels = np.asarray(opened.convert("L" if grey else "RGB"))
    except DataError:
        raise
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise DataError(f"{image.id}: cannot be decoded: {error}") from error
    return pixels if pixels.ndim == 3 else pixels[..., None]


def decode_all(images: Sequence[Encoded], labels: Labels, skip_corrupt: int = 0) -> tuple[Split, tuple[str, ...]]:
    """All images decoded into one array, which they must fit by their size; and the corrupt ones left out, with causes.

    Raises DataError at the first corrupt image beyond ``skip_corrupt``, and where sizes differ.
    """
    if not images:
        raise DataError("no images")
    first = next((shape for shape in map(_shape_or_none, images) if shape is not None), None)
    if first is None:
        decode(images[0])
    array = np.empty((len(images), *(first or (1, 1, 1))), dtype=np.uint8)
    failures = _decode_into(array, images)
    if len(failures) > skip_corrupt:
        raise failures[min(failures)]
    kept = np.setdiff1d(np.arange(len(images)), np.fromiter(failures, dtype=np.int64))
    everything = ArraySplit(array, labels, [image.id for image in images])
    return (everything.subset(kept) if failures else everything), tuple(e.message for e in failures.values())


def _shape_or_none(image: Encoded) -> tuple[int, ...] | None:
    try:
        return decode(image).shape
    except DataError:
        return None


def _decode_into(array: Image, images: Sequence[Encoded]) -> dict[int, DataError]:
    """Fills the array, two threads or more at work (decoders let go of the interpreter); what failed, by index."""
    failures: dict[int, DataError] = {}

    def work(start: int) -> None:
        for index in range(start, min(start + _CHUNK, len(images))):
            try:
                pixels = decode(images[index], channels=array.shape[-1])
                if pixels.shape != array.shape[1:]:
                    raise DataError(f"{images[index].id}: is {pixels.shape}, the first image {array.shape[1:]}")
                array[index] = pixels
            except DataError as error:
                failures[index] = error

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        list(pool.map(work, range(0, len(images), _CHUNK)))
    return failures
