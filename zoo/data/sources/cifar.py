"""CIFAR-10 in any of the forms people have it in. Floor 2."""

from __future__ import annotations

from zoo.data.dataset import Dataset
from zoo.data.places import Places
from zoo.data.sources import parquet
from zoo.data.sources.catalogue import Source, SourceArguments
from zoo.errors import DataError

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Cifar10(SourceArguments):
    """CIFAR-10 (Krizhevsky 2009): 50,000 and 10,000 colour images of 32 x 32 in 10 classes."""


def open_cifar10(arguments: Cifar10, places: Places) -> Dataset:
    """CIFAR-10."""
    for folder in places.folders("cifar10", "cifar-10", "CIFAR10"):
        train, test = (parquet.shards(folder, split) for split in ("train", "test"))
        if train and test:
            train_split, _, skipped = parquet.read_split(train, places.skip_corrupt)
            test_split, _, more = parquet.read_split(test, places.skip_corrupt)
            return Dataset(
                "cifar10", train_split, test_split, CIFAR10_CLASSES, skipped=(*skipped, *more), found=str(folder)
            )
    raise DataError("no CIFAR-10 was found", notes=places.looked(), help="zoo run quickstart needs no data set")


CIFAR10 = Source("cifar10", Cifar10, open_cifar10)
