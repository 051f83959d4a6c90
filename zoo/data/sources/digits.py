"""scikit-learn's handwritten digits: 1,797 grey images of 8 x 8, inside the package, no download. Floor 2."""

from __future__ import annotations

import numpy as np

from zoo.data.dataset import ArraySplit, Dataset
from zoo.data.places import Places
from zoo.data.sources.source import Known, Source, SourceArguments
from zoo.data.splitting import stratified

_TEST_SHARE = 0.2


class Digits(SourceArguments):
    """scikit-learn's digits, 8 x 8 grey: 1,438 for training and 359 for testing, a fixed stratified split."""


def open_digits(arguments: Digits, places: Places) -> Dataset:
    """The digits; grey levels 0..16 are spread over 0..255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    everything = ArraySplit(images, bunch.target.astype(np.int64))
    train, test = stratified(everything.labels, _TEST_SHARE)
    classes = tuple(str(digit) for digit in range(10))
    return Dataset("digits", everything.subset(train), everything.subset(test), classes, found="scikit-learn")


SOURCE = Source("digits", Digits, open_digits, lambda _: Known((1, 8, 8), 10, 1438))
