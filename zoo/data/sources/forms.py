"""Well-known data sets in the forms people have them in: looked for place by place, else downloaded. Floor 2."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.data.dataset import Dataset, Split
from zoo.data.decoding import decode, decode_splits
from zoo.data.download import Remote, download
from zoo.data.encoded import Encoded, EncodedSplit, images_below
from zoo.data.places import Places
from zoo.data.sources import folders, parquet
from zoo.data.sources.source import Known, Source, SourceArguments
from zoo.errors import DataError

_SPLITS = ("train", "test")

Found = tuple[Split, Split, tuple[str, ...]]  # training split, test split, what was skipped
Reader = Callable[[Path, int], Found]  # of a folder; the number of corrupt images that may be skipped


@dataclass(frozen=True)
class Form:
    """One form a data set comes in: ``present`` tells whether a folder holds it, ``read`` reads it."""

    name: str
    present: Callable[[Path], bool]
    read: Reader


@dataclass(frozen=True)
class Traits:
    """What tells the files of a data set from those of others.

    ``size`` is the images' height and width, ``rows`` how many the training and the test split have; ``has_twin`` where
    another set of this size has as many.
    """

    classes: tuple[str, ...]
    size: tuple[int, int]
    channels: int
    rows: tuple[int, int]
    folders: tuple[str, ...]  # its names as folders
    has_twin: bool = False

    def fit(self, first: Encoded | None) -> bool:
        """Whether an image is of this set's size; a broken one is told when it is read."""
        try:
            return first is None or decode(first).shape[:2] == self.size
        except DataError:
            return True

    def are_named(self, names: Sequence[str]) -> bool:
        """Whether these are the classes. Most names have to agree, not all (the Hub's CIFAR-100 writes "cra" for
        crab), but none may stand at another's number.
        """
        agree = sum(name == own for name, own in zip(names, self.classes, strict=False))
        return len(names) == len(self.classes) and agree == len({*names} & {*self.classes}) > len(names) / 2


@dataclass(frozen=True)
class KnownSet:
    """A well-known data set: what it is known by, its forms, and where it is on the net."""

    name: str
    title: str
    traits: Traits
    forms: tuple[Form, ...]
    remotes: tuple[Remote, ...]

    def source(self, arguments: type[SourceArguments]) -> Source:
        """The set as recipes name it: all of it is known before, and no argument changes it."""
        known = Known((self.traits.channels, *self.traits.size), len(self.traits.classes), self.traits.rows[0])
        return Source(self.name, arguments, lambda _, places: self.open(places), lambda _: known)

    def open(self, places: Places) -> Dataset:
        """The data set from the first place that has it in any form, else from the net.

        Raises DataError: where it looked, how to get it, the recipe that needs none.
        """
        found = next(self._found(places), None)
        if found is not None:
            return self._read(*found, places)
        target = places.home / self.traits.folders[0]
        try:
            for remote in self.remotes:
                if not (target / remote.name).is_file():
                    download(remote, target, quiet=places.quiet)
        except DataError as failure:
            raise self._missing(places, failure) from failure
        for form in self.forms:
            if form.present(target):
                return self._read(form, target, places)
        raise DataError(f"{target}: what was downloaded is not {self.title}")

    def _found(self, places: Places) -> Iterator[tuple[Form, Path]]:
        for folder in places.folders(*self.traits.folders):
            for form in self.forms:
                if form.present(folder):
                    yield form, folder

    def _read(self, form: Form, folder: Path, places: Places) -> Dataset:
        train, test, skipped = form.read(folder, places.skip_corrupt)
        found = f"{folder} ({form.name})"
        return Dataset(self.name, train, test, self.traits.classes, skipped=skipped, found=found, folder=folder)

    def _missing(self, places: Places, failure: DataError) -> DataError:
        urls = ", ".join(remote.url for remote in self.remotes)
        return DataError(
            f"{self.title} was not found, and downloading it failed: {failure.message}",
            code="data-not-found",
            notes=[*places.looked(), f"forms it is known in: {', '.join(form.name for form in self.forms)}"],
            help=f"get {urls} and name its folder with --data-dir; or `zoo run quickstart`, which needs no data set",
        )


def parquet_form(traits: Traits) -> Form:
    """Parquet in the Hugging Face layout.

    Files that name no classes count where they lie in a folder of the set's name, or have as many rows as it has.
    """

    def present(folder: Path) -> bool:
        train, test = parquet.shards(folder, "train"), parquet.shards(folder, "test")
        if not train or not test:
            return False
        if not parquet.is_readable(train[0]):
            return True  # which is told where it is read
        names = parquet.names_of(train[0])
        if names is not None:
            is_it = traits.are_named(names)
        else:
            is_it = folder.name in traits.folders or (
                not traits.has_twin and (parquet.rows(train), parquet.rows(test)) == traits.rows
            )
        return is_it and traits.fit(parquet.first_image(train[0]))

    return Form("parquet", present, _read_parquet)


def _read_parquet(folder: Path, skip_corrupt: int) -> Found:
    train, test = (parquet.read_split(parquet.shards(folder, split)) for split in _SPLITS)
    return _decoded(train, test, skip_corrupt)


def _decoded(train: EncodedSplit, test: EncodedSplit, skip_corrupt: int) -> Found:
    splits, skipped = decode_splits([train, test], skip_corrupt=skip_corrupt)
    return splits[0], splits[1], skipped


def folders_form(traits: Traits) -> Form:
    """Image folders of exactly these classes."""

    def present(folder: Path) -> bool:
        found = ({path.name for path in folders.class_folders(folder / split)} for split in _SPLITS)
        if any(names != set(traits.classes) for names in found):
            return False
        first = next(images_below(folder / "train" / traits.classes[0]), None)
        return first is None or traits.fit(Encoded(first, str(first)))

    def read(folder: Path, skip_corrupt: int) -> Found:
        train, test = (
            folders.find_split(folder / split, traits.classes, is_train=split == _SPLITS[0]) for split in _SPLITS
        )
        return _decoded(train, test, skip_corrupt)

    return Form("image folders", present, read)
