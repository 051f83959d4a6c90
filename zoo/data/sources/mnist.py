"""MNIST (LeCun et al. 1998) and Fashion-MNIST (Xiao et al. 2017): idx files, parquet, image folders. Floor 2."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.dataset import ArraySplit
from zoo.data.download import Remote
from zoo.data.sources.forms import Form, Found, KnownSet, Traits, folders_form, parquet_form
from zoo.data.sources.source import SourceArguments
from zoo.errors import DataError

_MOST_BYTES = 1 << 28  # of one file once unpacked


class Mnist(SourceArguments):
    """MNIST: 60,000 + 10,000 grey images of handwritten digits, 28 x 28, in 10 classes."""


class FashionMnist(SourceArguments):
    """Fashion-MNIST: 60,000 + 10,000 grey images of clothes, 28 x 28, in 10 classes."""


def read_idx(path: Path, dimensions: int) -> Any:
    """The uint8 array in an idx file, packed or not (format: http://yann.lecun.com/exdb/mnist/)."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}", help="download it again") from error
    header = 4 + 4 * dimensions
    if len(data) < header or len(data) > _MOST_BYTES or data[:4] != bytes([0, 0, 8, dimensions]):
        raise DataError(f"{path}: not an idx file of uint8 in {dimensions} dimensions", help="download it again")
    shape = tuple(np.frombuffer(data, dtype=">u4", count=dimensions, offset=4).tolist())
    if len(data) - header != int(np.prod([int(size) for size in shape], dtype=object)):
        raise DataError(f"{path}: declares {shape}, holds {len(data) - header} bytes", help="download it again")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


_SPLITS = ("train", "t10k")


def _files(folder: Path) -> list[Path] | None:
    """Images and labels of both splits, wherever torchvision and others put them below a folder."""
    for inner in (folder, folder / "raw", folder / "MNIST" / "raw", folder / "FashionMNIST" / "raw"):
        found = [_named(inner, split, kind) for split in _SPLITS for kind in ("images", "labels")]
        if all(path is not None for path in found):
            return [path for path in found if path is not None]
    return None


def _named(folder: Path, split: str, kind: str) -> Path | None:
    rank = 3 if kind == "images" else 1
    stems = (f"{split}-{kind}-idx{rank}-ubyte", f"{split}-{kind}.idx{rank}-ubyte")
    candidates = (folder / f"{stem}{packed}" for stem in stems for packed in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


# The first training labels. Files that were packed again have another digest; these stay.
_FIRST_LABELS: dict[tuple[int, ...], bool] = {
    (5, 0, 4, 1, 9, 2, 1, 3, 1, 4): False,
    (9, 0, 0, 3, 0, 2, 7, 2, 5, 5): True,
}


def _is_fashion(folder: Path, files: list[Path]) -> bool:
    """Which of the two sets some idx files are: as their labels say, else as the nearest folder's name does.

    Folders above ``folder``, which is a data place or lies in one, have no say.
    """
    try:
        known = _FIRST_LABELS.get(tuple(read_idx(files[1], 1)[:10].tolist()))
    except DataError:  # it is told when they are read
        known = None
    if known is not None:
        return known
    names = [part.lower() for part in (folder.name, *files[0].relative_to(folder).parts[:-1])]
    return "fashion" in next((name for name in reversed(names) if "mnist" in name), folder.name.lower())


def _idx_form(*, is_fashion: bool) -> Form:
    """The idx files; both sets' bear the same names."""

    def present(folder: Path) -> bool:
        files = _files(folder)
        return files is not None and _is_fashion(folder, files) == is_fashion

    def read(folder: Path, skip_corrupt: int) -> Found:
        files = _files(folder)
        assert files is not None
        return _split(files[0], files[1]), _split(files[2], files[3]), ()

    return Form("idx files", present, read)


def _split(images: Path, labels: Path) -> ArraySplit:
    pixels, classes = read_idx(images, 3), read_idx(labels, 1)
    if len(pixels) != len(classes):
        raise DataError(f"{images}: {len(pixels)} images, but {len(classes)} labels in {labels}")
    ids = [f"{images} image {index}" for index in range(len(pixels))]
    return ArraySplit(pixels[..., None].copy(), classes.astype(np.int64), ids)


def _remotes(base: str, *digests: str, mirrored_in: str = "") -> tuple[Remote, ...]:
    names = [f"{split}-{kind}-ubyte.gz" for split in _SPLITS for kind in ("images-idx3", "labels-idx1")]
    return tuple(Remote(base + name, md5, mirrored_in) for name, md5 in zip(names, digests, strict=True))


_DIGITS = tuple(str(digit) for digit in range(10))
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

_MNIST_TRAITS = Traits(_DIGITS, (28, 28), 1, (60_000, 10_000), ("mnist", "MNIST"), has_twin=True)
_MNIST_SET = KnownSet(
    "mnist", "MNIST", _MNIST_TRAITS,
    (_idx_form(is_fashion=False), parquet_form(_MNIST_TRAITS), folders_form(_MNIST_TRAITS)),
    _remotes(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c",
    ),
)  # fmt: skip
_FASHION_TRAITS = Traits(
    _CLOTHES, (28, 28), 1, (60_000, 10_000), ("fashion_mnist", "fashion-mnist", "FashionMNIST"), has_twin=True
)
_FASHION_SET = KnownSet(
    "fashion_mnist", "Fashion-MNIST", _FASHION_TRAITS, (_idx_form(is_fashion=True), parquet_form(_FASHION_TRAITS)),
    _remotes(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310", mirrored_in="fashion_mnist",
    ),
)  # fmt: skip


MNIST = _MNIST_SET.source(Mnist)
FASHION_MNIST = _FASHION_SET.source(FashionMnist)
