"""Networks with several heads: what comes out in training and otherwise, and the loss of all of them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.models.heads import AuxiliaryLoss, Heads, logits_of

IMAGES, LABELS = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2, 1, 1, 0, 2])


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.fc, self.aux = nn.Linear(5, 4), nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.trunk(x)
        return {"aux": self.aux(x), "logits": self.fc(x)}


def test_the_output_without_a_weight_gives_the_logits() -> None:
    assert Heads.among({"aux": 0, "logits": 0}, {"aux": 0.3}) == Heads("logits", {"aux": 0.3})
    assert Heads.among({"aux": 0, "logits": 0, "map": 0}, {"aux": 0.3}) is None  # which of the two?
    assert Heads.among({"aux": 0}, {"aux": 0.3}) is None
    assert Heads.among({"logits": 0}, {"aux": 0.3}) is None


def test_training_sees_all_heads_and_all_others_the_logits() -> None:
    plain, module = TwoHeads(), TwoHeads()
    module.load_state_dict(plain.state_dict())
    Heads("logits", {"aux": 0.3}).attach(module)
    outputs = plain(IMAGES)
    assert torch.equal(module.train()(IMAGES), torch.stack([outputs["logits"], outputs["aux"]]))
    for each in (module.eval(), copy.deepcopy(module)):
        assert torch.equal(each(IMAGES), outputs["logits"])
    assert torch.equal(logits_of(module.train()(IMAGES)), outputs["logits"])
    assert torch.equal(logits_of(outputs["logits"]), outputs["logits"])
    assert module.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_the_loss_and_its_gradients_are_those_written_by_hand(reduction: str, weight: float) -> None:
    by_hand, module = TwoHeads(), TwoHeads()
    module.load_state_dict(by_hand.state_dict())
    Heads("logits", {"aux": weight}).attach(module)
    loss = AuxiliaryLoss(nn.CrossEntropyLoss(reduction=reduction), {"aux": weight})
    outputs = by_hand(IMAGES)
    expected = sum(
        share * F.cross_entropy(outputs[name], LABELS, reduction=reduction)
        for name, share in (("logits", 1), ("aux", weight))
    )
    found = loss(module(IMAGES), LABELS)
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    for ours, theirs in zip(module.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    assert loss.reduction == reduction
    assert torch.equal(loss(outputs["logits"], LABELS), loss.loss(outputs["logits"], LABELS))  # of a test


def test_compiled_it_switches_too() -> None:
    module = TwoHeads()
    Heads("logits", {"aux": 0.3}).attach(module)
    compiled = torch.compile(module, backend="eager")
    assert compiled(IMAGES).shape == (2, 6, 3)
    module.eval()
    assert compiled(IMAGES).shape == (6, 3)
