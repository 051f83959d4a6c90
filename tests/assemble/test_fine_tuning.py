"""Whole runs as pretrained networks are fine-tuned: rates by layer, statistics that stand still."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import zoo
from zoo.assemble.architecture_copy import foreign_as_built
from zoo.assemble.dry_run import dry_run
from zoo.assemble.find_lr import find_learning_rate
from zoo.assemble.options import RunOptions
from zoo.assemble.run import run_recipe
from zoo.errors import CheckpointError, ConfigError, raise_if_errors
from zoo.train import read_checkpoint

RECIPE = """
name: pretrained
model: {architecture: tiny_resnet, width: 8}
data: {source: digits, batch_size: 256}
optimizer: {name: SGD, lr: 0.05, momentum: 0.9}
train: {max_steps: 6, precision: fp32}
reports: []
"""
NORMS = ("running_mean", "running_var", "num_batches_tracked")
FREEZE = "train.freeze_statistics=true"


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A recipe that begins with the weights of a short run."""
    monkeypatch.chdir(tmp_path)
    Path("pretrained.yaml").write_text(RECIPE)
    run("pretrained.yaml")
    weights = "model: {architecture: tiny_resnet, width: 8, weights: runs/pretrained/0001/checkpoints/last}"
    text = RECIPE.replace("pretrained", "tuned").replace("model: {architecture: tiny_resnet, width: 8}", weights)
    Path("tuned.yaml").write_text(text)
    return "tuned.yaml"


def run(recipe: str, *sets: str, **options: Any) -> Path:
    said = RunOptions(sets=sets, quiet=True, **options)
    return Path(run_recipe(recipe, said, raise_if_errors, lambda text: None)["run_dir"])


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(run_dir / "checkpoints" / "last").model


def moved(run_dir: Path) -> set[str]:
    """The tensors that are no longer those that the run began with."""
    first = weights(Path("runs/pretrained/0001"))
    return {name for name, tensor in weights(run_dir).items() if not torch.equal(tensor, first[name])}


def are_statistics(names: set[str]) -> set[str]:
    return {name for name in names if name.endswith(NORMS)}


@pytest.mark.parametrize(
    "sets",
    [
        (),
        ("train.accumulate=2",),
        ("train.ema={decay: 0.9}",),
        ("train.swa={start_epoch: 0.5, every_epochs: 0.2}",),
        ("train.lookahead={every: 2}",),
        ("train.precision=bf16",),
    ],
)
def test_statistics_stand_still_and_the_rest_trains(sets: tuple[str, ...], recipe: str) -> None:
    everything = set(weights(Path("runs/pretrained/0001")))
    frozen = moved(run(recipe, FREEZE, *sets))
    assert not are_statistics(frozen)
    assert frozen == everything - are_statistics(everything)  # the norms' weights and biases, too
    learning = moved(run(recipe, *sets))  # a control; SWA counts its batches anew, as many as the first run had
    assert learning >= {name for name in everything if not name.endswith("num_batches_tracked")}


def test_a_selector_picks_layers_and_what_trains_is_another_matter(recipe: str) -> None:
    still = moved(run(recipe, "train.freeze_statistics={match: [prep, '*.conv2']}"))
    everything = set(weights(Path("runs/pretrained/0001")))
    picked = {name for name in are_statistics(everything) if name.startswith("prep.") or ".conv2." in name}
    assert are_statistics(still) == are_statistics(everything) - picked
    assert picked
    norms = moved(run(recipe, FREEZE, "optimizer.groups=[{kind: norm, freeze: true}]"))
    assert norms == {name for name in everything if ".norm." not in name}
    learning = moved(run(recipe, "optimizer.groups=[{kind: norm, freeze: true}]"))
    assert learning == norms | are_statistics(everything)


def test_it_goes_on_where_it_stood(recipe: str) -> None:
    longer = (FREEZE, "train={epochs: 2, precision: fp32, freeze_statistics: true, swa: {start_epoch: 1}}")
    whole, parts = run(recipe, *longer), run(recipe, *longer, "train.epochs=1")
    run(recipe, *longer, run_dir=parts, resume=True)
    assert all(torch.equal(value, weights(parts)[name]) for name, value in weights(whole).items())


def test_a_finished_run_is_a_network_as_any_other(recipe: str) -> None:
    plain, frozen = run(recipe), run(recipe, FREEZE)
    assert (plain / "architecture.yaml").read_text() == (frozen / "architecture.yaml").read_text()
    assert zoo.summary(str(plain)) == zoo.summary(str(frozen))
    model = zoo.load_model(str(frozen)).train()
    assert all(module.training for module in model.modules())


def test_a_range_test_takes_the_steps_of_the_training(recipe: str) -> None:
    """The loss of the first step shows which statistics it normalised by."""
    sets, notes = ("optimizer.lr=find",), list[str]()
    still, learning = (
        find_learning_rate(recipe, RunOptions(sets=(*sets, said), quiet=True), raise_if_errors, notes.append).found
        for said in (FREEZE, "train.freeze_statistics=false")
    )
    assert sum(note.startswith("loaded 38 tensors from runs/pretrained/0001/checkpoints/last") for note in notes) == 2
    assert still.range_test.losses[0] != learning.range_test.losses[0]
    assert (still.is_new, learning.is_new) == (True, True)  # neither is taken for the other in the cache


def test_a_batch_of_one_image_is_no_matter_where_statistics_stand_still(recipe: str) -> None:
    Path("net.yaml").write_text("""
input: [1, 8, 8]
layers:
  - {op: Conv2d, out_channels: 8, kernel_size: 8}
  - BatchNorm2d
  - {op: flatten, start_dim: 1}
  - {op: Linear, out_features: 10}
""")
    one = ("model={architecture: net.yaml}", "data.batch_size=1437", "train.max_steps=2")  # of 1438
    with pytest.raises(ConfigError, match="a batch of its own"):
        run(recipe, *one)
    run(recipe, *one, FREEZE)


LAYERS = "optimizer={name: SGD, lr: 0.05, momentum: 0.9, layer_decay: 0.5}"
BY_HAND = (
    "optimizer={name: SGD, lr: 0.05, momentum: 0.9, groups: [{match: prep, lr_scale: 0.0625}, "
    "{match: layer1, lr_scale: 0.125}, {match: conv, lr_scale: 0.25}, {match: layer2, lr_scale: 0.5}]}"
)


def test_rates_fall_from_layer_to_layer_as_groups_by_hand_have_them(recipe: str) -> None:
    schedule = "schedule={name: OneCycleLR, peak_epoch: 0.3}"
    decayed, by_hand, plain = (run(recipe, schedule, *said) for said in ((LAYERS,), (BY_HAND,), ()))
    assert all(torch.equal(tensor, weights(by_hand)[name]) for name, tensor in weights(decayed).items())
    assert not torch.equal(weights(decayed)["prep.conv.weight"], weights(plain)["prep.conv.weight"])  # a control
    (epoch,) = [json.loads(line) for line in (decayed / "metrics.jsonl").read_text().splitlines()]
    (as_plain,) = [json.loads(line) for line in (plain / "metrics.jsonl").read_text().splitlines()]
    assert epoch["lr"] == as_plain["lr"]  # the head's
    labels = json.loads((decayed / "env.json").read_text())["parameter_groups"]
    assert labels == [f"SGD depth {depth}" for depth in (4, 3, 2, 1, 0)]


def test_a_decayed_training_goes_on_where_it_stood(recipe: str) -> None:
    plateau = "schedule={name: ReduceLROnPlateau, patience: 0, metric: train.loss, threshold: 0.5, min_lr: 0.01}"
    longer = (LAYERS, plateau, "train={epochs: 3, precision: fp32}")
    whole, parts = run(recipe, *longer), run(recipe, *longer, "train.epochs=2")
    run(recipe, *longer, run_dir=parts, resume=True)
    assert all(torch.equal(value, weights(parts)[name]) for name, value in weights(whole).items())


def test_a_dry_run_says_how_weights_of_another_size_were_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_file(zoo.load_model("timm:test_vit").state_dict(), "w.safetensors")
    Path("vit.yaml").write_text("""
model: {timm: test_vit, img_size: 32, in_chans: 1, weights: w.safetensors}
data: {source: synthetic, shape: [1, 32, 32], classes: 3, train: 8, test: 4, batch_size: 4}
optimizer: {name: SGD, lr: 0.05}
train: {max_steps: 1}
""")
    notes: list[str] = []
    dry_run("vit.yaml", RunOptions(quiet=True), raise_if_errors, notes.append)
    (note,) = (note for note in notes if note.startswith("loaded"))
    assert note.endswith(
        "w.safetensors; head is new: 3 classes here, 1000 in the file; "
        "resampled by timm, bicubic: pos_embed 10 x 10 -> 2 x 2; "
        "patch_embed.proj takes 1 channel here, 3 in the file: summed"
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("input: 3\nlayers: {model: {op: timm}}", "input"),
        ("input: [3, 32, wide]", "input.2"),
        ("input: [3, 32, 32]\nlayers: [timm]", "layers"),
        ("input: [3, 32, 32]\nlayers: {model: {num_classes: ten}}", "layers.model.num_classes"),
    ],
)
def test_a_foreign_models_damaged_copy_is_told_at_its_place(text: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "architecture.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=rf"architecture\.yaml is damaged: at {place} it says"):
        foreign_as_built(tmp_path)


def test_a_foreign_models_copy_says_what_it_was_built_for(tmp_path: Path) -> None:
    assert foreign_as_built(tmp_path) == (None, None)
    (tmp_path / "architecture.yaml").write_text("input: [1, 8, 8]\nlayers: {model: {op: timm, num_classes: 7}}")
    assert foreign_as_built(tmp_path) == ((1, 8, 8), 7)
