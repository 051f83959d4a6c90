"""Stratified splits that are a pure function of the labels and a key. Floor 2; no torch."""

from __future__ import annotations

import numpy as np

from zoo.data.dataset import Dataset, Labels
from zoo.data.draws import Integers, permutation
from zoo.errors import DataError


def stratified(labels: Labels, share: float, *key: int) -> tuple[Integers, Integers]:
    """Indices of what stays and of what is held out, each ascending: of every class the same share, rounded.

    A class with two images or more keeps at least one on either side.
    """
    shuffled = permutation(len(labels), *key)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]  # class by class, each in the shuffled order
    _, firsts = np.unique(labels[by_class], return_index=True)
    held: list[Integers] = []
    for members in np.split(by_class, firsts[1:]) if len(labels) else []:
        most = len(members) - 1
        held.append(members[: min(max(round(share * len(members)), min(1, most)), most)])
    held_out = np.sort(np.concatenate(held)) if held else np.empty(0, dtype=np.int64)
    return np.setdiff1d(np.arange(len(labels), dtype=np.int64), held_out, assume_unique=True), held_out


def hold_out(dataset: Dataset, share: float, seed: int) -> Dataset:
    """The data set with a share of its training split held out for validation, stratified, by the seed alone."""
    if share == 0:
        return dataset
    if dataset.validation is not None:
        raise DataError(
            f"data.validation: {dataset.name} brings a validation split of its own",
            help="remove data.validation, or that split",
        )
    kept, held = stratified(dataset.train.labels, share, seed)
    if len(held) == 0:
        raise DataError(f"data.validation: {share:g} of {len(kept)} training images holds none out")
    return dataset.with_validation(dataset.train.subset(kept), dataset.train.subset(held))
