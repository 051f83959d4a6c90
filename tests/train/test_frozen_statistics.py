"""Batch norm's statistics that stand still in a training: as a plain loop with the layers in `eval()` has them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from timm.layers import BatchNormAct2d
from torch import nn

from tests.train.small_world import Small, Trap, in_process, in_ranks, only, small_net, small_training, traces
from zoo.events import Message
from zoo.optim.frozen_statistics import freeze_statistics, has_frozen_statistics, into_training
from zoo.train import fit

FROZEN = Small(train={"epochs": 2}, samples=64, frozen=True)
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def with_statistics(model: nn.Module) -> nn.Module:
    """Statistics that are no fresh network's, so that it shows whether they are used."""
    model[1].running_mean.uniform_(-1, 1, generator=torch.Generator().manual_seed(1))  # type: ignore[index,union-attr]
    model[1].running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(2))  # type: ignore[index,union-attr]
    return model


def trained(small: Small) -> dict[str, torch.Tensor]:
    training = small_training(small, None)
    with_statistics(training.model)
    list(fit(training))
    return training.model.state_dict()


def by_hand(*, frozen: bool) -> dict[str, torch.Tensor]:
    """The same steps in a loop of PyTorch's own words."""
    training = small_training(FROZEN, None)
    model = with_statistics(small_net()).to(memory_format=torch.channels_last)
    model[3].p = 0.0  # type: ignore[index,union-attr,assignment]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, fused=True)
    steps = training.steps.total
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=steps)
    model.train()
    if frozen:
        model[1].eval()  # type: ignore[index]
    for epoch in (1, 2):
        for batch in training.train.epoch(epoch):
            optimizer.zero_grad()
            images_BCHW = batch.images.contiguous(memory_format=torch.channels_last)
            nn.functional.cross_entropy(model(images_BCHW), batch.labels).backward()
            optimizer.step()
            if schedule.last_epoch < steps - 1:
                schedule.step()
    return model.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(value, other[name], atol=1e-6) for name, value in one.items())


def test_a_training_is_that_of_a_plain_loop_with_the_layer_in_eval() -> None:
    frozen = trained(FROZEN)
    assert same(frozen, by_hand(frozen=True))
    assert not same(frozen, by_hand(frozen=False))  # a control
    fresh = with_statistics(small_net()).state_dict()
    assert all(torch.equal(frozen[f"1.{name}"], fresh[f"1.{name}"]) for name in STATISTICS)
    assert not torch.equal(frozen["1.weight"], fresh["1.weight"])  # what is scaled with trains


def test_no_test_and_no_warming_up_thaws_them(monkeypatch: pytest.MonkeyPatch) -> None:
    training = small_training(replace(FROZEN, ema=True), None)
    monkeypatch.setattr(type(training.runtime), "warms_up", True)
    modes: list[tuple[bool, bool]] = []
    norm = training.model[1]  # type: ignore[index]
    norm.register_forward_hook(lambda module, *_: modes.append((module.training, training.model.training)))
    list(fit(training))
    assert set(modes) == {(False, True), (False, False)}


def test_a_killed_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    train: dict[str, Any] = {"epochs": 2, "accumulate": 3, "checkpoint": {"every_minutes": 1e-9}}
    small = replace(FROZEN, train=train, samples=70, ema=True)
    assert in_process(tmp_path / "whole", small)[0] == 0
    in_process(tmp_path / "run", small, Trap(after="step=3,"))
    code, said = in_process(tmp_path / "run", replace(small, resume=True))
    assert code == 0, said
    assert traces(tmp_path / "run") == traces(tmp_path / "whole")


def test_two_ranks_take_the_steps_of_one_with_batch_norm_too(tmp_path: Path) -> None:
    """Nothing in a step depends any more on how a batch is shared; where the statistics learn, it does."""

    def distance(small: Small, name: str) -> float:
        one, two = tmp_path / f"{name}1", tmp_path / f"{name}2"
        assert in_process(one, small)[0] == 0
        ends = in_ranks(two, small)
        assert [code for code, _ in ends] == [0, 0], ends
        mine, theirs = (load_file(each / "checkpoints/last/model.safetensors") for each in (one, two))
        return max(float((mine[key].double() - theirs[key].double()).abs().max()) for key in mine)

    assert distance(FROZEN, "frozen") < 2e-6
    assert distance(replace(FROZEN, frozen=False), "learning") > 1e-3  # a control


@pytest.mark.slow
def test_compiled_too() -> None:
    training = small_training(FROZEN, None)
    with_statistics(training.model)
    training.runtime.compile_mode = "default"
    assert any("compiled in" in event.text for event in only(list(fit(training)), Message))
    assert same(training.model.state_dict(), by_hand(frozen=True))


def test_a_mark_goes_into_copies_and_is_heeded_whatever_mode_the_network_was_in() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Sequential(nn.BatchNorm1d(3), nn.Dropout()), nn.LayerNorm(3))
    freeze_statistics(model, ["1"])
    for each in (model, deepcopy(model)):
        into_training(each.eval())
        assert [module.training for module in each.modules()] == [True, True, True, False, True, True]
    assert [name for name, module in model.named_modules() if has_frozen_statistics(module)] == ["1.0"]
    assert not has_frozen_statistics(model[0])


def test_a_dropout_within_a_norm_layer_goes_on() -> None:
    norm = BatchNormAct2d(3, drop_layer=nn.Dropout)
    freeze_statistics(norm, ["*"])
    into_training(norm)
    assert (norm.training, norm.drop.training) == (False, True)
