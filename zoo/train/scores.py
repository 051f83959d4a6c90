"""What the predictions of a test say beside the accuracy: its interval, F1, calibration. Floor 5; no torch.

All figures are fractions. N images, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

BINS = 15  # of the confidence, equally wide, as in Guo et al. 2017


def scores(labels_N: Indices, probabilities_NK: NDArray[np.floating[Any]]) -> dict[str, Any]:
    """The figures of a test by their names in ``result.json``.

    ``accuracy_interval`` is the 95 % one, ``accuracy_top5`` None of five classes and fewer; ``balanced_accuracy`` and
    ``macro_f1`` are means over the classes that have images; ``calibration_error`` is the expected one.
    """
    predictions, confidence = probabilities_NK.argmax(axis=1), probabilities_NK.max(axis=1)
    hits, classes = predictions == labels_N, probabilities_NK.shape[1]
    by_class = ByClass.of(confusion(labels_N, predictions, classes))
    return {
        "accuracy_interval": list(accuracy_interval(int(hits.sum()), len(hits))),
        "accuracy_top5": float((_ranks(labels_N, probabilities_NK) < 5).mean()) if classes > 5 else None,
        "balanced_accuracy": by_class.mean(by_class.recall),
        "macro_f1": by_class.mean(by_class.f1),
        "calibration_error": Reliability.of(confidence, hits).error,
    }


def _ranks(labels_N: Indices, probabilities_NK: NDArray[np.floating[Any]]) -> Indices:
    """How many classes come before the true one, N. Of equally likely ones the first does, as in ``argmax``.

    Ties are common: where a network is sure, the softmax of all other classes underflows to 0.
    """
    true_N1 = np.take_along_axis(probabilities_NK, labels_N[:, None], axis=1)
    earlier = np.arange(probabilities_NK.shape[1]) < labels_N[:, None]
    before = ~(probabilities_NK <= true_N1) | ((probabilities_NK == true_N1) & earlier)  # what is nan comes first too
    ranks: Indices = before.sum(axis=1)
    return ranks


def accuracy_interval(hits: int, samples: int) -> tuple[float, float]:
    """Where the accuracy on endlessly many such images lies, with 95 % confidence (Wilson 1927).

    It knows of the test images' number, not of other seeds.
    """
    from scipy.stats import binomtest

    found = binomtest(hits, samples).proportion_ci(confidence_level=0.95, method="wilson")
    return float(found.low), float(found.high)


def confusion(labels_N: Indices, predictions_N: Indices, classes: int) -> Indices:
    """Counts, KK: row = true class, column = predicted class."""
    cells = np.bincount(labels_N * classes + predictions_N, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


@dataclass(frozen=True, slots=True)
class ByClass:
    """Figures of every class, K; nan where a class has no images, or was never predicted."""

    recall: Floats  # of its images, those that were found: its accuracy
    precision: Floats  # of the images that were taken for it, those that are of it
    f1: Floats
    present: NDArray[np.bool_]

    @classmethod
    def of(cls, counts_KK: Indices) -> ByClass:
        """Those of a confusion matrix."""
        right, images, taken = np.diag(counts_KK), counts_KK.sum(axis=1), counts_KK.sum(axis=0)
        return cls(_share(right, images), _share(right, taken), _share(2 * right, images + taken), images > 0)

    def mean(self, figures_K: Floats) -> float:
        """The mean over the classes that have images."""
        return float(figures_K[self.present].mean()) if self.present.any() else 0.0


def _share(part: Indices, whole: Indices) -> Floats:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often predictions of a confidence are right, bin by bin of the confidence: all arrays BINS long."""

    counts: Indices
    confidence: Floats  # the mean of a bin's; nan of an empty one
    accuracy: Floats  # likewise

    @classmethod
    def of(cls, confidence_N: NDArray[np.floating[Any]], hits_N: NDArray[np.bool_]) -> Reliability:
        """Bins ``(0, 1/15], …, (14/15, 1]``, as Guo et al. 2017."""
        scaled = np.nan_to_num(np.ceil(confidence_N.astype(np.float64) * BINS))  # nan stays in its bin's mean
        bins = np.clip(scaled.astype(np.int64) - 1, 0, BINS - 1)
        counts = np.bincount(bins, minlength=BINS)
        sums = (np.bincount(bins, weights=each, minlength=BINS) for each in (confidence_N, hits_N))
        confidence, accuracy = (np.where(counts > 0, each / np.maximum(counts, 1), np.nan) for each in sums)
        return cls(counts.astype(np.int64), confidence, accuracy)

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of confidence and accuracy, weighed by images."""
        filled = self.counts > 0
        distances = np.abs(self.confidence - self.accuracy)[filled]
        return float(np.average(distances, weights=self.counts[filled])) if filled.any() else 0.0
