"""Figures of a test beside the accuracy: against scikit-learn, by hand, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from zoo.train.scores import BINS, ByClass, Reliability, accuracy_interval, confusion, scores

RANDOM = np.random.default_rng(0)


def predicted(images: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of unequal classes, and probabilities that know something of them."""
    labels = RANDOM.choice(classes, images, p=np.arange(1, classes + 1) / (classes * (classes + 1) / 2))
    logits = RANDOM.normal(size=(images, classes))
    logits[np.arange(images), labels] += 1.5
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels.astype(np.int64), shares.astype(np.float32)


def test_confusion_is_scikit_learns() -> None:
    labels, predictions = RANDOM.integers(0, 7, (2, 500))
    np.testing.assert_array_equal(confusion(labels, predictions, 7), metrics.confusion_matrix(labels, predictions))
    assert not np.array_equal(confusion(predictions, labels, 7), metrics.confusion_matrix(labels, predictions))


def test_means_over_the_classes_are_scikit_learns() -> None:
    labels, shares = predicted(2000, 12)
    predictions, found = shares.argmax(axis=1), scores(labels, shares)
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, predictions))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(labels, predictions, average="macro"))
    assert found["macro_f1"] != pytest.approx(metrics.f1_score(labels, predictions, average="micro"), abs=0.01)
    assert found["accuracy_top5"] == pytest.approx(metrics.top_k_accuracy_score(labels, shares, k=5))
    by_class = ByClass.of(confusion(labels, predictions, 12))
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(labels, predictions)
    np.testing.assert_allclose(np.stack([by_class.precision, by_class.recall, by_class.f1]), [precision, recall, f1])


def test_classes_without_images_count_in_no_mean() -> None:
    counts = np.array([[8, 2, 0], [0, 0, 0], [1, 0, 9]])
    by_class = ByClass.of(counts)
    assert np.isnan(by_class.recall[1])
    assert by_class.mean(by_class.recall) == pytest.approx((0.8 + 0.9) / 2)
    assert by_class.mean(by_class.f1) == pytest.approx((16 / 19 + 18 / 19) / 2)
    assert ByClass.of(np.zeros((3, 3), np.int64)).mean(np.zeros(3)) == 0


def test_of_five_classes_there_is_no_top_five() -> None:
    assert scores(*predicted(50, 5))["accuracy_top5"] is None
    assert scores(*predicted(50, 6))["accuracy_top5"] is not None


def test_of_equally_likely_classes_the_first_come_first() -> None:
    labels = np.arange(10)
    sure_of_0 = np.zeros((10, 10), np.float32)
    sure_of_0[:, 0] = 1  # the softmax of all others has underflowed
    for shares in (np.full((10, 10), 0.1, np.float32), sure_of_0):
        assert scores(labels, shares)["accuracy_top5"] == 0.5
    assert scores(np.arange(1, 10), np.full((9, 10), np.nan, np.float32))["accuracy_top5"] == 0


@pytest.mark.parametrize("chance", [0.5, 0.94])
def test_the_interval_holds_the_truth_in_95_of_100_tests(chance: float) -> None:
    hits = RANDOM.binomial(400, chance, 3000)
    intervals = {count: accuracy_interval(int(count), 400) for count in set(hits.tolist())}
    share = np.mean([intervals[count][0] <= chance <= intervals[count][1] for count in hits.tolist()])
    assert 0.93 < share < 0.97
    assert accuracy_interval(10_000, 10_000)[0] < 1  # nor is a perfect test certain
    assert accuracy_interval(0, 5) == pytest.approx((0, 0.4345), abs=1e-4)


def test_reliability_bin_by_bin() -> None:
    confidence = np.array([0.05, 1 / BINS - 1e-6, 0.5, 0.52, 1.0, 1.0, 0.99], np.float32)
    hits = np.array([False, True, True, False, True, True, False])
    found = Reliability.of(confidence, hits)
    assert found.counts.tolist() == [2, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 3]
    assert found.accuracy[[0, 7, 14]].tolist() == pytest.approx([0.5, 0.5, 2 / 3])
    assert np.isnan(found.confidence[1])
    distances = abs(np.array([confidence[:2].mean() - 0.5, 0.01, (2.99 / 3) - 2 / 3]))
    assert found.error == pytest.approx((distances * [2, 2, 3]).sum() / 7, abs=1e-6)


def test_what_is_calibrated_has_no_error_and_what_is_too_sure_has() -> None:
    confidence = RANDOM.uniform(0.3, 1, 200_000)
    hits = RANDOM.uniform(size=200_000) < confidence
    assert Reliability.of(confidence, hits).error < 0.01
    assert Reliability.of(np.sqrt(confidence), hits).error > 0.05
