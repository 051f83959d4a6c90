"""Stratified splits: of each class a share, found in one pass over the labels; folds as scikit-learn counts them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from zoo.data import ArraySplit, Dataset
from zoo.data.draws import permutation
from zoo.data.splitting import fold_of, hold_out_fold, stratified
from zoo.errors import DataError


@given(st.lists(st.integers(-1, 5), max_size=40), st.floats(0.01, 0.99), st.integers(0, 3))
def test_what_is_held_out_is_what_looking_class_by_class_holds_out(numbers: list[int], share: float, key: int) -> None:
    labels = np.array(numbers, dtype=np.int64)
    shuffled = permutation(len(labels), key)
    expected: set[int] = set()
    for label in set(numbers):
        members = [index for index in shuffled.tolist() if labels[index] == label]
        most = len(members) - 1
        expected |= set(members[: min(max(round(share * len(members)), min(1, most)), most)])
    kept, held = stratified(labels, share, key)
    assert held.tolist() == sorted(expected)
    assert kept.tolist() == sorted(set(range(len(labels))) - expected)


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(2, 6))
def test_folds_have_as_many_images_of_each_class_as_scikit_learns(numbers: list[int], folds: int) -> None:
    """StratifiedKFold numbers the classes as they first come, zoo as the data set does: here the two are one order."""
    labels = np.array([*range(5), *numbers], dtype=np.int64)
    if np.bincount(labels).max() < folds:
        return
    splitter = StratifiedKFold(folds, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer images than folds
        expected = [np.bincount(labels[held], minlength=5).tolist() for _, held in splitter.split(labels, labels)]
    parts = [fold_of(labels, folds, fold) for fold in range(folds)]
    assert [np.bincount(labels[held], minlength=5).tolist() for _, held in parts] == expected
    assert sorted(np.concatenate([held for _, held in parts]).tolist()) == list(range(len(labels)))  # each image once
    for kept, held in parts:
        assert sorted([*kept.tolist(), *held.tolist()]) == list(range(len(labels)))
        assert (np.diff(held) > 0).all()


def test_folds_are_shuffled() -> None:
    """The control: dealt out in the order of the files, the first fold would have the first image of each class."""
    labels = np.repeat(np.arange(3), 50)
    _, held = fold_of(labels, 5, 0)
    assert len(held) == 30
    assert len(set(np.diff(held).tolist())) > 3


def of_counts(*counts: int) -> Dataset:
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    split = ArraySplit(np.zeros((len(labels), 2, 2, 1), np.uint8), labels)
    return Dataset("counted", split, split, tuple("abcdefgh"[: len(counts)]))


def test_classes_of_fewer_images_than_folds() -> None:
    assert hold_out_fold(of_counts(6, 5, 0), 5, 1).notes == ()
    (note,) = hold_out_fold(of_counts(6, 4, 2), 5, 0).notes
    assert note == "warning: data.folds: 5 folds of 2 classes with fewer images, of which some have none: b, c"
    with pytest.raises(DataError, match=r"data\.folds: b, c: a class of one training image"):
        hold_out_fold(of_counts(6, 1, 1), 5, 0)
    with pytest.raises(DataError, match="5 folds of classes that have 4 images at most"):
        hold_out_fold(of_counts(4, 3), 5, 0)
    with pytest.raises(DataError, match="brings a validation split of its own"):
        hold_out_fold(hold_out_fold(of_counts(6, 6), 5, 0), 5, 0)
