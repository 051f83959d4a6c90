"""Encoded images to uint8 arrays: sizes checked before anything is decoded, damage told with its place. Floor 2.

The one file that imports Pillow and, albumentations aside, OpenCV. Plain PNGs go through OpenCV: its libpng checks
every chunk, where Pillow lets some damage pass, and takes half the time.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any, BinaryIO

import numpy as np

from zoo.data.dataset import ArraySplit, Image, LazySplit, Split
from zoo.data.encoded import MOST_BYTES, Encoded, EncodedSplit
from zoo.data.indexed import Indexed, Joined, Made
from zoo.errors import DataError

MOST_PIXELS = 80_000_000  # of one image; a larger one is refused before it is decoded
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER = 33  # bytes up to the end of what tells its size and colours
_PNG_CHANNELS = {0: 1, 2: 3}  # by PNG's colour type
_ORIENTATION = 0x0112  # EXIF's tag; what its values ask for, in Pillow's words
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_BROKEN = (OSError, ValueError, SyntaxError, RuntimeError)  # Pillow's for broken images; the last of AVIF's
_OPENCV_ERRORS_ONLY = 2  # of OpenCV's levels of logging
_CHUNK = 512  # images a thread decodes, or looks at, at a time


def decode(image: Encoded, channels: int | None = None) -> Image:
    """The image (height, width, channels): 3, or 1 where it is grey; ``channels`` asks for one of the two.

    It is turned as its EXIF orientation says. Of 16 bits the upper 8 are taken. Raises DataError naming the image and
    the cause.
    """
    try:
        with image.open() as stream:
            header = stream.read(_PNG_HEADER)
            own = _plain_png(header)
            if own is not None:
                return _decode_png(image, header + stream.read(), own, channels)
            return _decode_by_pillow(image, stream, channels)
    except OSError as error:
        raise DataError(f"{image.id}: cannot be read: {error.strerror or error}") from error


def _decode_by_pillow(image: Encoded, stream: BinaryIO, channels: int | None) -> Image:
    with _opened(image, stream) as opened:
        _refuse_unknown_range(image, opened)
        wanted = channels or _channels(opened)
        try:
            if _is_16_bit(opened):
                pixels = (np.asarray(_upright(opened)) >> 8).astype(np.uint8)
                return np.repeat(pixels[..., None], wanted, axis=2)
            pixels = np.asarray(_upright(opened).convert("L" if wanted == 1 else "RGB"))
        except _BROKEN as error:
            raise DataError(f"{image.id}: cannot be decoded: {error}") from error
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _upright(opened: Any) -> Any:
    """The image as viewers show it, and as OpenCV decodes it: turned as its EXIF orientation says."""
    from PIL import Image as Pillow

    opened.load()  # TIFFs are turned here already, and say so no more
    try:
        orientation = opened.getexif().get(_ORIENTATION, 1)
    except Exception:  # whatever is wrong with that block, the pixels may be right
        orientation = 1
    turn = _TURNS.get(orientation)
    return opened.transpose(getattr(Pillow.Transpose, turn)) if turn is not None else opened


def _is_16_bit(opened: Any) -> bool:
    """Whether an image is of 16-bit grey, which Pillow would clip at 255; it opens some of these as 32 bits."""
    return opened.mode.startswith("I;16") or (opened.mode == "I" and opened.format in ("PNG", "PPM"))


def _refuse_unknown_range(image: Encoded, opened: Any) -> None:
    """Raises DataError for numbers of which nobody says what is black and what white; Pillow would clip them at 255."""
    if opened.mode == "F" or (opened.mode == "I" and not _is_16_bit(opened)):
        numbers = "floating-point numbers" if opened.mode == "F" else "32-bit integers"
        raise DataError(
            f"{image.id}: its pixels are {numbers}, whose range is not known", help="save it with 8 or 16 bits"
        )


def _plain_png(header: bytes) -> int | None:
    """The channels of a PNG of 8-bit grey or RGB, neither interlaced nor too large; None for all others."""
    if header[:8] != _PNG or len(header) < _PNG_HEADER:
        return None
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header[16:29])
    if depth != 8 or interlace or not 0 < width * height <= MOST_PIXELS:
        return None
    return _PNG_CHANNELS.get(colour)


@cache
def _opencv() -> Any:
    """OpenCV, told to leave what is wrong with an image to our own message.

    The libpng inside it is not told so by anything: it prints a line of its own to stderr.
    """
    import cv2

    if hasattr(cv2, "setLogLevel"):  # OpenCV 4
        cv2.setLogLevel(_OPENCV_ERRORS_ONLY)
    else:
        cv2.utils.logging.setLogLevel(_OPENCV_ERRORS_ONLY)
    return cv2


def _decode_png(image: Encoded, data: bytes, own: int, channels: int | None) -> Image:
    cv2 = _opencv()
    flag = cv2.IMREAD_GRAYSCALE if own == 1 else cv2.IMREAD_COLOR
    try:
        pixels: Any = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flag)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise DataError(f"{image.id}: cannot be decoded: {_cause(image, data)}")
    if own == (channels or own):
        return pixels[..., None] if own == 1 else np.ascontiguousarray(pixels[..., ::-1])
    return np.repeat(pixels[..., None], 3, axis=2) if own == 1 else _decode_by_pillow(image, io.BytesIO(data), 1)


def one_thread() -> None:
    """Keeps OpenCV from starting threads of its own in a worker, where every worker would start as many as cores."""
    import cv2

    cv2.setNumThreads(0)


def _opened(image: Encoded, stream: BinaryIO) -> Any:
    """The image with nothing but its header read; its declared size is within bounds."""
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    stream.seek(0)
    try:
        opened = Pillow.open(stream)
    except Pillow.DecompressionBombError as error:
        raise DataError(f"{image.id}: refused before decoding: {error}") from error
    except _BROKEN as error:
        # Pillow's own words for what it does not know name an object of Python's.
        reason = "" if isinstance(error, UnidentifiedImageError) else f": {error}"
        raise DataError(f"{image.id}: not an image{reason}") from error
    width, height = opened.size
    if width * height > MOST_PIXELS:
        opened.close()
        raise DataError(f"{image.id}: refused before decoding: it declares {width} x {height} pixels")
    return opened


def _cause(image: Encoded, data: bytes) -> str:
    """What Pillow says is wrong with an image that OpenCV refused without a word."""
    try:
        _decode_by_pillow(image, io.BytesIO(data), None)
    except DataError as error:
        return error.message.rpartition(": ")[2]
    return "a chunk's checksum is wrong, or its end is missing"


def _channels(opened: Any) -> int:
    """1 where it is grey, with an alpha channel or a palette too."""
    if opened.mode == "P":
        palette = np.asarray(opened.getpalette("RGB") or (), dtype=np.uint8).reshape(-1, 3)
        return 1 if len(palette) and (palette == palette[:, :1]).all() else 3
    return 1 if opened.mode in ("L", "1", "LA", "La") or _is_16_bit(opened) else 3


def decode_splits(
    splits: Sequence[EncodedSplit], *, channels: int | None = None, skip_corrupt: int = 0
) -> tuple[list[Split], tuple[str, ...]]:
    """The splits of one data set without the corrupt images, whose causes come second.

    All images have the same channels: those asked for, else 3 where any image of any split is in colour, else 1.
    The images of a split that are of one size and fit are decoded at once, two threads or more at work; others one by
    one as they are asked for, and then all are tried here only where ``skip_corrupt`` is above 0. Raises DataError
    naming the first corrupt image beyond ``skip_corrupt``, which counts those of all splits.
    """
    everything = Joined([split.images for split in splits])
    if len(everything) == 0:
        raise DataError("no images")
    common = channels or (3 if any_colour(everything) else 1)
    decoded: list[Split] = []
    skipped: tuple[str, ...] = ()
    for encoded in splits:
        split, more = _decode_split(encoded, common, skip_corrupt, len(skipped))
        decoded.append(split)
        skipped += more
    return decoded, skipped


def any_colour(images: Indexed[Encoded]) -> bool:
    """Whether one of them is in colour, by their headers alone; broken ones are left to whoever decodes them.

    Data sets are sorted by class, so each thread looks at images from all over: a colour one is soon met, if there
    are many, and only a set without any is read to its end.
    """
    strides = -(-len(images) // _CHUNK)

    def look(first: int) -> bool:
        return any(_is_colour(images[index]) for index in range(first, len(images), strides))

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return any(pool.map(look, range(strides)))


def _is_colour(image: Encoded) -> bool:
    try:
        with image.open() as stream:
            plain = _plain_png(stream.read(_PNG_HEADER))
            if plain is not None:
                return plain == 3
            with _opened(image, stream) as opened:
                return _channels(opened) == 3
    except (DataError, OSError):
        return False


def _decode_split(
    encoded: EncodedSplit, channels: int, skip_corrupt: int, skipped: int
) -> tuple[Split, tuple[str, ...]]:
    """The split, and what of it is left out beside the ``skipped`` of the splits before it."""
    images, labels, ids = encoded.images, encoded.labels, encoded.ids
    array = _array_for(images, channels)
    failures = _Decoder(images, channels, array).run() if array is not None else None
    if failures is not None and array is not None:
        return _without(ArraySplit(array, labels, ids), failures, skip_corrupt, skipped)
    failures = _Decoder(images, channels, None).run() if skip_corrupt else {}
    digests = Made(partial(_digest_at, images), len(images))
    lazy = LazySplit(partial(_decode_at, images, channels), labels, ids, digests)
    return _without(lazy, failures or {}, skip_corrupt, skipped)


def _digest_at(images: Indexed[Encoded], index: int) -> str:
    return images[index].digest()


def _decode_at(images: Indexed[Encoded], channels: int, index: int) -> Image:
    try:
        return decode(images[index], channels)
    except DataError as error:
        error.help = (
            error.help or "mend or remove it, or have it left out: data.skip_corrupt: 1 tries all of them first"
        )
        raise


def _array_for(images: Indexed[Encoded], channels: int) -> Image | None:
    """Memory for all images at the size of the first readable one; None where they are too many."""
    for index in range(len(images)):
        try:
            height, width, _ = decode(images[index]).shape
        except DataError:
            continue
        fits = len(images) * height * width * channels <= MOST_BYTES
        return np.empty((len(images), height, width, channels), dtype=np.uint8) if fits else None
    return np.empty((len(images), 1, 1, channels), dtype=np.uint8)


def _without(
    split: Split, failures: dict[int, DataError], skip_corrupt: int, skipped: int
) -> tuple[Split, tuple[str, ...]]:
    count = len(failures) + skipped
    if failures and count > skip_corrupt:
        first = failures[min(failures)]
        raise DataError(
            first.message,
            notes=[f"{count} images are corrupt"] if count > 1 else (),
            help=f"mend or remove it, or leave such images out with data.skip_corrupt: {count}",
        ) from first
    if not failures:
        return split, ()
    kept = np.setdiff1d(np.arange(len(split)), np.fromiter(failures, dtype=np.int64))
    return split.subset(kept), tuple(failures[index].message for index in sorted(failures))


class _Decoder:
    """Decodes many images in threads (decoders let go of the interpreter's lock) and collects what fails."""

    def __init__(self, images: Indexed[Encoded], channels: int, array: Image | None) -> None:
        self._images, self._channels, self._array = images, channels, array
        self._failures: dict[int, DataError] = {}
        self._sizes_differ = False

    def run(self) -> dict[int, DataError] | None:
        """Fills the array, if there is one. What failed, by index; None where an image does not fit the array."""
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            list(pool.map(self._work, range(0, len(self._images), _CHUNK)))
        return None if self._sizes_differ else self._failures

    def _work(self, start: int) -> None:
        for index in range(start, min(start + _CHUNK, len(self._images))):
            if self._sizes_differ:
                return
            try:
                self._keep(index, decode(self._images[index], self._channels))
            except DataError as error:
                self._failures[index] = error

    def _keep(self, index: int, pixels: Image) -> None:
        if self._array is None:
            return
        if pixels.shape == self._array.shape[1:]:
            self._array[index] = pixels
        else:
            self._sizes_differ = True
