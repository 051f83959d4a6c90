"""WebDataset's tar shards, indexed once and then read at random. Floor 2; no torch.

Streamed, shards give images in nearly their own order, which a buffer shuffles as far as it is large. With an index
any image can be read at any time, so that order, draws and resuming are those of every other source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from zoo.data.dataset import Dataset
from zoo.data.encoded import EncodedSplit, Spans, facts_at
from zoo.data.indexed import Joined, Made, Names
from zoo.data.places import Places
from zoo.data.progress import bar, tell
from zoo.data.sources.kept import Index, Kept
from zoo.data.sources.own import OwnFiles, numbered, own_dataset, read_parts
from zoo.data.sources.source import Source
from zoo.data.sources.tars import compressed, index_tar
from zoo.diagnostics import counted
from zoo.errors import DataError, EnvironmentFault

_TRAIN, _TEST = ("train", "training"), ("test",)
_VALIDATION = ("val", "valid", "validation")
_CLASS_FILES = ("classes.txt", "classnames.txt")
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<number>\d+)\.tar")


class WebDataset(OwnFiles):
    """WebDataset's tar shards: train*.tar, test*.tar, perhaps val*.tar, with KEY.jpg and KEY.cls; read at random."""


def shards(folder: Path, names: Sequence[str]) -> list[Path]:
    """The tars of a split: those below a folder of its name, else those that bear it as a word of theirs.

    ``imagenet1k-train-0000.tar`` is of the training split, ``contest-0.tar`` of no test. Raises DataError for tars
    that are compressed.
    """
    below = next((folder / name for name in names if (folder / name).is_dir()), None)
    word = re.compile(rf"(?:^|[^a-z])(?:{'|'.join(names)})(?![a-z])", re.IGNORECASE)
    files = [path for path in (below or folder).iterdir() if path.name[0] != "." and (below or word.search(path.name))]
    packed = sorted(path for path in files if path.name.lower().endswith(_COMPRESSED))
    if packed:
        raise compressed(packed[0])
    tars = (path for path in files if path.suffix.lower() == ".tar")
    return sorted(path for path in tars if path.is_file() or path.is_symlink())  # a link that leads nowhere is told


def open_webdataset(arguments: WebDataset, places: Places) -> Dataset:
    """A data set of one's own in tar shards. Without ``test``, ``val`` stands in for it."""
    if arguments.path is not None:
        _refuse_streams(arguments.path)
    missing = "no tar shards: none of the folders has train*.tar in it"
    folder = places.find(arguments.path, lambda folder: folder.is_dir() and shards(folder, _TRAIN), missing)
    train, test, held = (shards(folder, names) for names in (_TRAIN, _TEST, _VALIDATION))
    indexed = _Indexed(folder, [*train, *test, *held], quiet=places.quiet)
    splits = read_parts(indexed.split, (train, test, held), arguments.test, folder, may_lack_test=places.may_lack_test)
    classes = _class_names(folder) or numbered(splits[0], f"write their names into {folder / _CLASS_FILES[0]}")
    dataset = own_dataset(folder, splits, classes, arguments, places)
    return replace(dataset, notes=indexed.notes)


def _refuse_streams(path: str) -> None:
    """Raises DataError for what WebDataset's own loader takes in place of a folder: addresses, pipes, shards' names."""
    if "://" in path or path.startswith("pipe:"):
        raise DataError(
            f"data.path: {path} is no folder of this machine: shards are read at random, from a disk",
            code="data-not-found",
            help="download them, and name the folder that they lie in",
        )
    if path.endswith(".tar"):
        raise DataError(
            f"data.path: {path} names shards, where their folder is wanted",
            code="data-not-found",
            help=f"write path: {Path(path).parent}; a split's shards are found by its name in theirs",
        )


class _Indexed:
    """The images of a data set's tars by their indices, which are made where the cache has none.

    A cache that cannot be written to costs the time to make them again, and a note.
    """

    def __init__(self, folder: Path, paths: Sequence[Path], *, quiet: bool) -> None:
        self._source, self._quiet = folder, quiet
        self._kept: Kept | None = Kept("webdataset", folder)
        self._facts = {path: facts_at(path) for path in paths}
        self._places = {path: self._kept.place(path, facts) for path, facts in self._facts.items()}
        self._indices: dict[Path, Index] = {}
        self.notes: tuple[str, ...] = ()

    def split(self, paths: Sequence[Path]) -> EncodedSplit:
        """The samples of some of the tars. Raises DataError."""
        _refuse_gaps(paths)
        with ExitStack() as stack:
            if self._missing() and self._kept is not None:
                try:
                    stack.enter_context(self._kept.held(tell))
                except EnvironmentFault as error:
                    self._keep_none(error)
            self._make(self._missing())
        parts = [self._spans(path) for path in paths]
        labels = np.concatenate([self._indices[path].labels for path in paths])
        if len(labels) == 0:
            raise DataError(f"{paths[0]}: no image in it" + _nor_in(len(paths) - 1))
        return EncodedSplit(Joined(parts), labels, Joined([part.ids for part in parts]))

    def _missing(self) -> list[Path]:
        """The tars without an index; those that are kept are read."""
        for path, place in self._places.items():
            index = Index.read(place) if path not in self._indices else None
            if index is not None and index.names is not None:
                self._indices[path] = index
        return [path for path in self._places if path not in self._indices]

    def _make(self, paths: Sequence[Path]) -> None:
        if not paths:
            return
        tell(f"indexing {counted(len(paths), 'tar')} of {self._source}")
        sizes = {path: self._facts[path][0] for path in paths}
        with bar(sum(sizes.values()), quiet=self._quiet) as advance:
            for path, size in sizes.items():
                self._indices[path] = index_tar(path)
                self._keep(path)
                advance(size)
        if self._kept is not None:
            self._kept.sweep(self._places.values())

    def _keep(self, path: Path) -> None:
        try:
            if self._kept is not None:
                self._indices[path].write(self._places[path])
        except EnvironmentFault as error:
            self._keep_none(error)

    def _keep_none(self, error: EnvironmentFault) -> None:
        self._kept = None
        self.notes = (f"warning: the index of {self._source} is made again in every run: {error.message}",)

    def _spans(self, path: Path) -> Spans:
        index, facts = self._indices[path], self._facts[path]
        assert index.names is not None
        ids = Made(partial(_id, path, index.names), len(index.names))
        return Spans(path, index.starts, index.sizes, facts, ids, "{} {} {}".format(path, *facts))


def _id(path: Path, names: Names, index: int) -> str:
    return f"{path}/{names[index]}"


def _nor_in(more: int) -> str:
    return f", nor in {counted(more, 'more file')}" if more else ""


def _refuse_gaps(paths: Sequence[Path]) -> None:
    """Raises DataError where shards are numbered, and a number among them is not there.

    Numbers of which most are not there count something else.
    """
    numbers: dict[str, dict[int, int]] = {}
    for match in filter(None, (_NUMBERED.fullmatch(path.name) for path in paths)):
        numbers.setdefault(match["stem"], {})[int(match["number"])] = len(match["number"])
    for stem, there in numbers.items():
        lacking = max(there) - min(there) + 1 - len(there)
        if 0 < lacking < len(there):
            number = next(number for number in range(min(there), max(there)) if number not in there)
            example = paths[0].with_name(f"{stem}{number:0{min(there.values())}d}.tar")
            also = f", nor are {counted(lacking - 1, 'more shard')}" if lacking > 1 else ""
            raise DataError(f"{example} is not there{also}: the split is not whole", help="download it again")


def _class_names(folder: Path) -> tuple[str, ...] | None:
    """The classes' names, a line each, in a file beside the shards; None where there is no such file."""
    path = next((folder / name for name in _CLASS_FILES if (folder / name).is_file()), None)
    if path is None:
        return None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}", help="write it as UTF-8, a class's name a line") from error
    names = tuple(line.strip() for line in lines)
    while names and not names[-1]:
        names = names[:-1]
    if not all(names):
        raise DataError(f"{path} line {names.index('') + 1}: a class without a name")
    return names or None


SOURCE = Source("webdataset", WebDataset, open_webdataset)
