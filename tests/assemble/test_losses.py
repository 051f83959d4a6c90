"""Losses by name, torch's and timm's: which fit, their arguments, and what they make of classes and of shares."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from zoo.assemble.losses import LossSpec, balanced, loss_arguments, loss_names

TORCHS = ("CrossEntropyLoss", "MultiMarginLoss", "NLLLoss")
LOGITS, CLASSES = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.3, -2.0]]), torch.tensor([2, 0])


def test_torchs_come_first_and_every_one_takes_classes() -> None:
    names = loss_names()
    assert names[:3] == TORCHS
    assert {"BinaryCrossEntropy", "LabelSmoothingCrossEntropy"} < set(names)
    assert not {"BCEWithLogitsLoss", "SoftTargetCrossEntropy", "MSELoss", "JsdCrossEntropy"} & set(names)
    for name in names:
        assert LossSpec(name).build()(LOGITS, CLASSES).ndim == 0
        assert "reduction" not in (fields := loss_arguments(name).model_fields) or fields["reduction"].default == "mean"


def test_a_binary_cross_entropy_is_torchs_of_ones_and_zeros() -> None:
    loss = LossSpec("BinaryCrossEntropy", {"smoothing": 0.0, "pos_weight": [1.0, 2.0, 3.0]}).build()
    expected = F.binary_cross_entropy_with_logits(
        LOGITS, F.one_hot(CLASSES, 3).float(), pos_weight=torch.tensor([1.0, 2.0, 3.0])
    )
    torch.testing.assert_close(loss(LOGITS, CLASSES), expected)
    shares = torch.tensor([[0.7, 0.3, 0.0], [0.1, 0.0, 0.9]])
    above = LossSpec("BinaryCrossEntropy", {"smoothing": 0.0, "target_threshold": 0.2}).build()
    ones = (shares > 0.2).float()
    torch.testing.assert_close(above(LOGITS, shares), F.binary_cross_entropy_with_logits(LOGITS, ones))
    assert above(LOGITS, shares) != F.binary_cross_entropy_with_logits(LOGITS, shares)


def test_balanced_weights_are_scikit_learns() -> None:
    labels = np.repeat([0, 1, 2], [50, 8, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert balanced(np.bincount(labels)) == pytest.approx(expected)
    loss = LossSpec("CrossEntropyLoss", {"weight": "balanced"})
    given = F.cross_entropy(LOGITS, CLASSES, weight=torch.tensor(expected, dtype=torch.float32))
    torch.testing.assert_close(loss.build([50, 8, 2])(LOGITS, CLASSES), given)
    assert loss.build()(LOGITS, CLASSES) == F.cross_entropy(LOGITS, CLASSES) != given


@pytest.mark.parametrize("written", ["{name: CrossEntropyLoss, label_smoothing: 0.1}", "{name: BinaryCrossEntropy}"])
def test_timm_is_imported_for_its_own_losses_only(written: str) -> None:
    code = f"""
import sys
from zoo.assemble.losses import parse_loss
from zoo.diagnostics import Diagnostics
from zoo.document import read_text
node = read_text({written!r}, Diagnostics())
assert parse_loss(node, Diagnostics()) is not None
print("timm" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str("Binary" in written)
