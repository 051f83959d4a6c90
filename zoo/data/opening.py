"""A recipe's ``data`` section turned into a data set. Floor 2; no torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from zoo.data.dataset import Dataset, Split
from zoo.data.places import Places, expanded
from zoo.data.settings import DataSettings, parse_data
from zoo.data.sources import sources
from zoo.data.splitting import hold_out, hold_out_fold
from zoo.diagnostics import Diagnostics
from zoo.document import Mapping, Node, Scalar, folder_of
from zoo.errors import ConfigError, DataError

# Settings that say nothing of which images there are, and those by which some are held out of what was opened.
_OF_BATCHES = {"batch_size", "sampling", "repeats", "drop_last", "workers", "worker_timeout"}
_HELD_OUT = {"validation", "folds", "fold"}


class LastOpened:
    """The data set that was opened last, for trainings one after another, of which most are on the same data.

    Of one that something is held out of, the whole is kept beside what was made of it for the last seed or fold.
    """

    def __init__(self) -> None:
        self._key: object = None
        self._dataset: Dataset | None = None
        self._divided: tuple[object, Dataset] | None = None

    def get(self, key: object, open_it: Callable[[], Dataset]) -> Dataset:
        """The data set of this key. One of another key is let go before ``open_it`` is called."""
        if self._dataset is None or key != self._key:
            self._dataset = self._divided = None
            self._key, self._dataset = key, open_it()
        return self._dataset

    def divided(
        self, key: object, by: object, open_it: Callable[[], Dataset], divide: Callable[[Dataset], Dataset]
    ) -> Dataset:
        """What ``divide`` makes of the data set of this key, ``by`` says how: the last such division is given again."""
        whole = self.get(key, open_it)
        if self._divided is None or self._divided[0] != by:
            self._divided = None
            self._divided = by, divide(whole)
        return self._divided[1]


def open_dataset(
    node: Mapping,
    *,
    data_dir: Path | None = None,
    known: Path | None = None,
    seed: int = 0,
    quiet: bool = False,
    last: LastOpened | None = None,
) -> Dataset:
    """The data set that a recipe's ``data`` names, its validation split held out.

    ``known`` is where a run found it before. ``seed`` decides which images are held out, nothing else. One that has to
    be downloaded says so on stderr; ``quiet`` has it show no progress. ``last`` is what was opened before, and is given
    again where it is the same. Raises ConfigError where the section is wrong,
    UsageError where a path names the home of nobody, DataError where the data set is missing or broken or a label lies
    outside its classes.
    """
    diagnostics = Diagnostics()
    settings = parse_data(node, diagnostics)
    if settings is None:
        raise ConfigError(diagnostics)
    path = node.get("path")
    if isinstance(path, Scalar):
        expanded(str(path.value), "data.path", path.span)  # it is looked up later, where its place is not known
    places = Places(data_dir, known, folder_of(path), settings.skip_corrupt, quiet, settings.folds is not None)
    key, store = (settings.model_dump(exclude=_OF_BATCHES | _HELD_OUT), places), last or LastOpened()
    open_it = partial(_opened, settings, places, path)
    if settings.folds is not None:
        divide = partial(_without_fold, settings.folds, settings.fold, node)
        return store.divided(key, (settings.folds, settings.fold), open_it, divide)
    if settings.validation:
        divide = partial(hold_out, share=settings.validation, seed=seed)
        return store.divided(key, (settings.validation, seed), open_it, divide)
    return store.get(key, open_it)


def _opened(settings: DataSettings, places: Places, path: Node | None) -> Dataset:
    try:
        dataset = sources[settings.source].open(settings, places)
    except DataError as error:
        if error.code == "data-not-found" and error.span is None and path is not None:
            error.span = path.span
        raise
    for name, split in (("training", dataset.train), ("test", dataset.test), ("validation", dataset.validation)):
        if split is not None and not (split is dataset.test and len(split) == 0 and settings.folds is not None):
            _check_labels(split, name, dataset.classes)
    return dataset


def _without_fold(folds: int, fold: int, node: Mapping, dataset: Dataset) -> Dataset:
    try:
        return hold_out_fold(dataset, folds, fold)
    except DataError as error:
        error.span = node.value_span("folds")
        raise


def _check_labels(split: Split, name: str, classes: tuple[str, ...]) -> None:
    if len(split) == 0:
        raise DataError(f"the {name} split has no images")
    outside = np.flatnonzero((split.labels < 0) | (split.labels >= len(classes)))
    if len(outside):
        index = int(outside[0])
        raise DataError(
            f"{split.id(index)}: label {split.labels[index]} is outside the {len(classes)} classes",
            notes=[f"{len(outside):,} labels of the {name} split are, this is the first"] if len(outside) > 1 else (),
        )
