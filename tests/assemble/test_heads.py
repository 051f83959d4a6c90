"""Whole runs of a network with an auxiliary head: what is trained, and what every other command sees of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

import zoo
from zoo.assemble.explaining import ExplainOptions, explain_target
from zoo.assemble.options import RunOptions
from zoo.assemble.run import run_recipe
from zoo.assemble.trained import evaluate_run, network_images, open_network, predict_images
from zoo.errors import raise_if_errors
from zoo.train import read_checkpoint

NET = """
input: [1, 8, 8]
layers:
  conv: {op: Conv2d, out_channels: 8, kernel_size: 3}
  relu: ReLU
  flatten: {op: flatten, start_dim: 1}
  fc: {op: Linear, out_features: 10}
  early: {op: Conv2d, from: relu, out_channels: 10, kernel_size: 3}
  mean: {op: mean, dim: [2, 3]}
output: {aux: mean, logits: fc}
"""
RECIPE = """
name: heads
model: {architecture: net.yaml}
data: {source: digits, batch_size: 1438}
loss: {label_smoothing: 0.1, auxiliary: {aux: 0.5}}
optimizer: {name: SGD, lr: 0.5}
train: {max_steps: 1, precision: fp32}
reports: []
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(NET)
    Path("heads.yaml").write_text(RECIPE)
    return "heads.yaml"


def run(recipe: str, *sets: str) -> Path:
    options = RunOptions(sets=sets, quiet=True)
    return Path(run_recipe(recipe, options, raise_if_errors, lambda text: None)["run_dir"])


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(run_dir / "checkpoints" / "last").model


def test_a_step_goes_where_the_weights_of_the_losses_say(recipe: str) -> None:
    """One step's move is linear in the weight: at 0.5 it ends half-way between those at 0 and at 1."""
    none, half, whole = (weights(run(recipe, f"loss.auxiliary.aux={weight}")) for weight in (0, 0.5, 1))
    Path("alone.yaml").write_text(NET.partition("  early:")[0])
    alone = weights(run(recipe, "loss.auxiliary=null", "model.architecture=alone.yaml"))
    for name, value in half.items():
        torch.testing.assert_close(value, (none[name] + whole[name]) / 2)
    assert not torch.equal(none["conv.weight"], whole["conv.weight"])
    assert all(torch.equal(value, none[name]) for name, value in alone.items())  # at 0 the head might not be there
    assert alone.keys() < none.keys()


def test_a_killed_training_goes_on_and_every_command_sees_the_logits(recipe: str) -> None:
    longer = ("train={epochs: 2, precision: fp32}", "data.batch_size=256", "eval={tta: flip}")
    whole, parts = run(recipe, *longer), run(recipe, *longer, "train.epochs=1")
    options = RunOptions(run_dir=parts, resume=True, sets=longer, quiet=True)
    run_recipe(recipe, options, raise_if_errors, lambda text: None)
    assert all(torch.equal(value, weights(parts)[name]) for name, value in weights(whole).items())

    Image.new("L", (8, 8), 120).save("image.png")
    images = network_images(open_network(str(whole)), [Path("image.png")])
    module = zoo.load_model(str(whole)).eval()  # as the architecture has it: all outputs
    assert module(images).keys() == {"aux", "logits"}
    (told,) = predict_images(str(whole), [Path("image.png")], top=10)
    found = {each["class"]: each["probability"] for each in told["classes"]}
    shares = module(images)["logits"].softmax(dim=1)[0].tolist()
    assert [found[str(digit)] for digit in range(10)] == pytest.approx(shares, abs=1e-5)
    assert evaluate_run(str(whole))["accuracy"] > 0.5
    shown = explain_target(str(whole), ExplainOptions(out=Path("maps")), lambda text: None)
    assert shown["layer"] == "relu"  # of the auxiliary head's map the logits know nothing
