"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), in every form people have them in. Floor 2.

The official files are described at https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.archives import read_members
from zoo.data.dataset import ArraySplit, Image, Labels
from zoo.data.download import Remote
from zoo.data.sources.forms import Form, Found, KnownSet, Traits, folders_form, parquet_form
from zoo.data.sources.source import SourceArguments
from zoo.errors import DataError

_PIXELS = 3 * 32 * 32  # bytes of an image: red rows, green rows, blue rows

Parsed = tuple[Image, Labels]


class Cifar10(SourceArguments):
    """CIFAR-10: 50,000 + 10,000 colour images of 32 x 32 in 10 classes."""


class Cifar100(SourceArguments):
    """CIFAR-100: 50,000 + 10,000 colour images of 32 x 32 in 100 classes."""


@dataclass(frozen=True)
class _Layout:
    """Names and fields of one of the two sets' official files."""

    tar: str
    python_folder: str
    binary_folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    label_field: bytes  # in pickled batches
    label_bytes: int  # in front of each image in .bin files; the last is the class

    def forms(self) -> Iterator[Form]:
        """Pickled batches and .bin files, each in its tar and unpacked."""
        pickled, binary = f"{self.tar}-python.tar.gz", f"{self.tar}-binary.tar.gz"
        yield self._form(pickled, lambda folder: _file(folder / pickled), "", self._unpickle)
        yield self._form("pickled batches", self._unpacked(self.python_folder, ""), "", self._unpickle)
        yield self._form(binary, lambda folder: _file(folder / binary), ".bin", self._parse_binary)
        yield self._form(".bin files", self._unpacked(self.binary_folder, ".bin"), ".bin", self._parse_binary)

    def _form(
        self, name: str, place: Callable[[Path], Path | None], suffix: str, parse: Callable[[bytes, str], Parsed]
    ) -> Form:
        def read(folder: Path, skip_corrupt: int) -> Found:
            source = place(folder)
            assert source is not None
            train, test = ([name + suffix for name in names] for names in (self.train, self.test))
            return _split(source, train, parse), _split(source, test, parse), ()

        return Form(name, lambda folder: place(folder) is not None, read)

    def _unpacked(self, inner: str, suffix: str) -> Callable[[Path], Path | None]:
        """The folder itself or the one inside it, whichever holds all files."""
        names = [name + suffix for name in self.train + self.test]

        def place(folder: Path) -> Path | None:
            candidates = (folder / inner, folder)
            return next((c for c in candidates if all((c / name).is_file() for name in names)), None)

        return place

    def _unpickle(self, data: bytes, where: str) -> Parsed:
        """A pickled batch: ``data`` (n, 3072) uint8 and a list of labels."""
        try:
            batch = _ArraysOnly(io.BytesIO(data), encoding="bytes").load()
            pixels, labels = np.asarray(batch[b"data"], dtype=np.uint8), np.asarray(batch[self.label_field])
            return _checked(pixels.reshape(-1, _PIXELS), labels)
        # Bytes that were changed make the unpickler ask its few harmless classes for anything, terabytes included: what
        # comes of that (SystemError, OverflowError, MemoryError …) says of every kind that this is no batch.
        except Exception as error:
            raise DataError(f"{where}: not a batch of {self.tar}: {error}", help="download it again") from error

    def _parse_binary(self, data: bytes, where: str) -> Parsed:
        """Records of ``label_bytes`` + 3072 bytes."""
        record = self.label_bytes + _PIXELS
        if not data or len(data) % record:
            raise DataError(
                f"{where}: {len(data)} bytes are no whole number of records of {record}", help="download it again"
            )
        records = np.frombuffer(data, dtype=np.uint8).reshape(-1, record)
        return _checked(records[:, self.label_bytes :], records[:, self.label_bytes - 1])


def _checked(pixels: Image, labels: Any) -> Parsed:
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    if len(labels) != len(images):
        raise ValueError(f"{len(images)} images and {len(labels)} labels")
    return images, np.asarray(labels, dtype=np.int64)


def _file(path: Path) -> Path | None:
    return path if path.is_file() else None


def _split(source: Path, names: Collection[str], parse: Callable[[bytes, str], Parsed]) -> ArraySplit:
    """A split from its files in a folder or a tar, in the order of their names."""
    files = _read(source, names)
    missing = [name for name in names if name not in files]
    if missing:
        raise DataError(f"{source}: lacks {', '.join(missing)}", help="download it again")
    parsed = [parse(files[name], f"{source}/{name}") for name in names]
    images = np.concatenate([images for images, _ in parsed])
    ids = [f"{source}/{name} image {index}" for name, (_, labels) in zip(names, parsed, strict=True)
           for index in range(len(labels))]  # fmt: skip
    return ArraySplit(np.ascontiguousarray(images), np.concatenate([labels for _, labels in parsed]), ids)


def _read(source: Path, names: Collection[str]) -> dict[str, bytes]:
    if source.is_file():
        return read_members(source, names)
    return {name: (source / name).read_bytes() for name in names}


class _ArraysOnly(pickle.Unpickler):
    """Unpickles numpy arrays and plain containers; whatever else a file asks for is refused before it is looked up."""

    _ALLOWED = frozenset(
        {
            ("numpy", "dtype"),
            ("numpy", "ndarray"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        """The thing of this name, if it is one an array needs."""
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"refused: it asks for {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


_CIFAR10 = _Layout(
    "cifar-10", "cifar-10-batches-py", "cifar-10-batches-bin",
    tuple(f"data_batch_{number}" for number in range(1, 6)), ("test_batch",), b"labels", 1,
)  # fmt: skip
_CIFAR100 = _Layout(
    "cifar-100", "cifar-100-python", "cifar-100-binary", ("train",), ("test",), b"fine_labels", 2
)  # fmt: skip

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR100_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""
CIFAR100_CLASSES = tuple(_CIFAR100_NAMES.split())

_CIFAR10_TRAITS = Traits(CIFAR10_CLASSES, (32, 32), 3, (50_000, 10_000), ("cifar10", "cifar-10", "CIFAR10"))
_CIFAR10_SET = KnownSet(
    "cifar10", "CIFAR-10", _CIFAR10_TRAITS,
    (*_CIFAR10.forms(), parquet_form(_CIFAR10_TRAITS), folders_form(_CIFAR10_TRAITS)),
    (Remote("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),),
)  # fmt: skip
_CIFAR100_TRAITS = Traits(CIFAR100_CLASSES, (32, 32), 3, (50_000, 10_000), ("cifar100", "cifar-100", "CIFAR100"))
_CIFAR100_SET = KnownSet(
    "cifar100", "CIFAR-100", _CIFAR100_TRAITS,
    (*_CIFAR100.forms(), parquet_form(_CIFAR100_TRAITS), folders_form(_CIFAR100_TRAITS)),
    (Remote("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),),
)  # fmt: skip


CIFAR10 = _CIFAR10_SET.source(Cifar10)
CIFAR100 = _CIFAR100_SET.source(Cifar100)
