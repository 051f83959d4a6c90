"""Stratified splits that are a pure function of the labels and a key. Floor 2; no torch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from zoo.data.dataset import Dataset, Labels
from zoo.data.draws import Integers, permutation, stream_of
from zoo.diagnostics import first_of
from zoo.errors import DataError

_FOLDS = stream_of("folds")  # what decides which images make a fold, and no seed
MOST_NAMED = 5  # of classes in a message


def stratified(labels: Labels, share: float, *key: int) -> tuple[Integers, Integers]:
    """Indices of what stays and of what is held out, each ascending: of every class the same share, rounded.

    A class with two images or more keeps at least one on either side.
    """
    by_class = _class_by_class(labels, *key)
    _, firsts = np.unique(labels[by_class], return_index=True)
    held: list[Integers] = []
    for members in np.split(by_class, firsts[1:]) if len(labels) else []:
        most = len(members) - 1
        held.append(members[: min(max(round(share * len(members)), min(1, most)), most)])
    held_out = np.sort(np.concatenate(held)) if held else np.empty(0, dtype=np.int64)
    return np.setdiff1d(np.arange(len(labels), dtype=np.int64), held_out, assume_unique=True), held_out


def fold_of(labels: Labels, folds: int, fold: int) -> tuple[Integers, Integers]:
    """Indices of what trains and of one of so many folds, each ascending; a pure function of the labels.

    Class by class the images are dealt out in turns, so that the folds' sizes differ by one at most, and so do their
    numbers of images of any class: those of scikit-learn's StratifiedKFold.
    """
    held_out = np.sort(_class_by_class(labels, _FOLDS)[fold::folds])
    return np.setdiff1d(np.arange(len(labels), dtype=np.int64), held_out, assume_unique=True), held_out


def _class_by_class(labels: Labels, *key: int) -> Integers:
    """The indices of one class after the other, each in an order that the key shuffles."""
    shuffled = permutation(len(labels), *key)
    return shuffled[np.argsort(labels[shuffled], kind="stable")]


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


def hold_out_fold(dataset: Dataset, folds: int, fold: int) -> Dataset:
    """The data set with one of so many folds of its training split held out for validation.

    It stands in for the test split where that is empty. Raises DataError where a class has a single image, which would
    train in no network that is tested on it, where all classes have fewer images than there are folds, and where there
    is a validation split already.
    """
    if dataset.validation is not None:
        raise DataError(
            f"data.folds: {dataset.name} brings a validation split of its own",
            help="remove data.folds, or that split",
        )
    labels = dataset.train.labels
    kept, held = fold_of(labels, folds, fold)
    notes = _require_enough(labels, folds, dataset.classes)
    found = dataset.with_validation(dataset.train.subset(kept), dataset.train.subset(held))
    assert found.validation is not None
    if len(dataset.test) == 0:
        found = replace(found, test=found.validation)
        notes.append("there is no test split: the fold stands in for it, and best has seen what is tested")
    return replace(found, notes=(*dataset.notes, *notes))


def _require_enough(labels: Labels, folds: int, classes: tuple[str, ...]) -> list[str]:
    """A warning where classes have fewer images than there are folds. Raises DataError where all have, or but one."""
    counts = np.bincount(labels, minlength=len(classes))

    def named(chosen: npt.NDArray[np.bool_]) -> str:
        names = [classes[index] for index in np.flatnonzero(chosen)[:MOST_NAMED]]
        return first_of(names, int(chosen.sum()))

    alone, few = counts == 1, (counts > 0) & (counts < folds)
    if alone.any():
        raise DataError(
            f"data.folds: {named(alone)}: a class of one training image, which cannot both train and be held out",
            help="leave such classes out, or add images",
        )
    if counts.max() < folds:
        raise DataError(
            f"data.folds: {folds} folds of classes that have {counts.max()} images at most",
            help=f"fewer folds, {counts.max()} at most",
        )
    if not few.any():
        return []
    of = "a class" if few.sum() == 1 else f"{few.sum()} classes"
    return [f"warning: data.folds: {folds} folds of {of} with fewer images, of which some have none: {named(few)}"]
