"""A recipe's ``data`` section turned into a data set. Floor 2; no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zoo.data.dataset import Dataset, Split
from zoo.data.places import Places, expanded
from zoo.data.settings import parse_data
from zoo.data.sources import sources
from zoo.data.splitting import hold_out
from zoo.diagnostics import Diagnostics
from zoo.document import Mapping, Scalar, folder_of
from zoo.errors import ConfigError, DataError


def open_dataset(
    node: Mapping,
    *,
    data_dir: Path | None = None,
    known: Path | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Dataset:
    """The data set that a recipe's ``data`` names, its validation split held out.

    ``known`` is where a run found it before. ``seed`` decides which images are held out, nothing else. One that has to
    be downloaded says so on stderr; ``quiet`` has it show no progress. Raises ConfigError where the section is wrong,
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
    places = Places(data_dir, known, folder_of(path), settings.skip_corrupt, quiet)
    try:
        dataset = sources[settings.source].open(settings, places)
    except DataError as error:
        if error.code == "data-not-found" and error.span is None and path is not None:
            error.span = path.span
        raise
    for name, split in (("training", dataset.train), ("test", dataset.test), ("validation", dataset.validation)):
        if split is not None:
            _check_labels(split, name, dataset.classes)
    return hold_out(dataset, settings.validation, seed)


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
