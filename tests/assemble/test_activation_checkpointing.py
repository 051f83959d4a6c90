"""Whole runs whose activations are computed twice: the same to the last bit, whatever else the recipe has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.assemble.benching import bench_recipe_engine
from zoo.assemble.find_lr import find_learning_rate
from zoo.assemble.options import RunOptions
from zoo.assemble.run import run_recipe
from zoo.errors import ConfigError, raise_if_errors
from zoo.train import read_checkpoint

NET = """
input: [1, 8, 8]
params: {classes: 10}
blocks:
  Block:
    layers:
      conv1: {op: Conv2d, out_channels: 8, kernel_size: 3, padding: 1, bias: false}
      bn1: BatchNorm2d
      drop: {op: Dropout, p: 0.2}
      conv2: {op: Conv2d, out_channels: 8, kernel_size: 3, padding: 1, bias: false}
      bn2: BatchNorm2d
      depth: {op: StochasticDepth, p: 0.2, mode: row}
      add: {op: add, from: [input, depth]}
      relu: relu
      both: {op: chunk, chunks: 2, dim: 1}
    output: {map: relu, halves: both}
layers:
  conv: {op: Conv2d, out_channels: 8, kernel_size: 3, padding: 1}
  block1: Block
  block2: {op: Block, from: block1.map}
  again: {share: block2, from: block2.map}
  halves: {op: cat, from: [again.halves.0, block1.halves.1], dim: 1}
  flatten: {op: flatten, start_dim: 1}
  fc: {op: Linear, out_features: $classes}
  early: {op: flatten, from: block1.map, start_dim: 1}
  head: {op: Linear, out_features: $classes}
output: {logits: fc, aux: head}
"""
RECIPE = """
name: twice
model: {architecture: net.yaml}
data: {source: digits, batch_size: 256}
loss: {auxiliary: {aux: 0.3}}
optimizer: {name: SGD, lr: 0.05, momentum: 0.9}
train: {max_steps: 6, precision: fp32}
reports: []
"""
ON, OFF = "train.activation_checkpointing=true", "train.activation_checkpointing=false"


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(NET)
    Path("twice.yaml").write_text(RECIPE)
    return "twice.yaml"


def run(recipe: str, *sets: str, **options: Any) -> Path:
    said = RunOptions(sets=sets, quiet=True, **options)
    return Path(run_recipe(recipe, said, raise_if_errors, lambda text: None)["run_dir"])


def outcome(run_dir: Path) -> tuple[dict[str, torch.Tensor], list[Any]]:
    """Weights and statistics, averaged where they are, and the losses of all epochs."""
    epochs = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return read_checkpoint(run_dir / "checkpoints" / "last").model, [[one["train"], one["test"]] for one in epochs]


def assert_same(one: Path, other: Path) -> None:
    (mine, losses), (others, other_losses) = outcome(one), outcome(other)
    assert losses == other_losses
    assert list(mine) == list(others)
    assert all(torch.equal(tensor, others[name]) for name, tensor in mine.items())


@pytest.mark.slow
@pytest.mark.parametrize(
    "sets",
    [
        (),
        ("train.accumulate=2", "train.grad_clip=0.5"),
        ("train.ema={decay: 0.9}", "train.precision=bf16"),
        ("train.swa={start_epoch: 0.5, every_epochs: 0.2}",),
        ("train.lookahead={every: 2}", "train.channels_last=false"),
        ("train.freeze_statistics={match: block1}",),
        ("optimizer.groups=[{match: [conv.*, block1], freeze: {until: 0.5}}]",),
    ],
)
def test_a_run_is_bit_for_bit_the_one_without(sets: tuple[str, ...], recipe: str) -> None:
    assert_same(run(recipe, *sets, ON), run(recipe, *sets))


def test_a_pupils_too(recipe: str) -> None:
    teacher = run(recipe, "name=teacher")
    sets = ("loss={distillation: {teacher: " + str(teacher) + "}}", "model={architecture: tiny_resnet, width: 4}")
    assert_same(run(recipe, *sets, ON), run(recipe, *sets))


@pytest.mark.slow
def test_a_range_test_is_the_same_and_found_again(recipe: str) -> None:
    found = [
        find_learning_rate(
            recipe, RunOptions(sets=("optimizer.lr=find", said), quiet=True), raise_if_errors, lambda text: None
        ).found
        for said in (OFF, ON)
    ]
    assert found[0].range_test.losses == found[1].range_test.losses
    assert [one.is_new for one in found] == [True, False]


@pytest.mark.slow
def test_a_run_goes_on_with_it_and_without(recipe: str) -> None:
    longer = "train={epochs: 3, precision: fp32}"
    whole, parts = run(recipe, longer), run(recipe, longer, "train.epochs=1")
    run(recipe, longer, "train.epochs=2", "train.activation_checkpointing={match: block1}", run_dir=parts, resume=True)
    assert "match: block1" in (parts / "resolved.yaml").read_text()
    run(recipe, longer, OFF, run_dir=parts, resume=True)
    assert_same(parts, whole)
    with pytest.raises(ConfigError, match="accumulate"):
        run(recipe, longer, ON, "train.accumulate=2", run_dir=parts, resume=True)


def test_nothing_else_knows_of_it(recipe: str) -> None:
    plain, twice = run(recipe), run(recipe, ON)
    assert (plain / "architecture.yaml").read_text() == (twice / "architecture.yaml").read_text()
    assert zoo.summary(str(plain)) == zoo.summary(str(twice))
    assert not [module for module in zoo.load_model(str(twice)).modules() if "forward" in vars(module)]


@pytest.mark.slow
def test_a_bench_has_the_bare_loop_do_the_same(recipe: str) -> None:
    bench = bench_recipe_engine(recipe, RunOptions(sets=(ON,), quiet=True), raise_if_errors)
    assert bench.engine_images_per_second > 0


@pytest.mark.slow
def test_a_dry_run_tells_of_less_memory(recipe: str) -> None:
    """The peak of a process, 0.7 GiB of which are libraries."""
    net = "model={architecture: custom_resnet, width: 16}"
    sets = [net, "data={source: synthetic, batch_size: 512}", "loss={}", "eval.batch_size=50"]
    peaks = []
    for said in (OFF, ON):
        options = [word for each in (*sets, said) for word in ("--set", each)]
        command = [sys.executable, "-m", "zoo", "run", recipe, "--dry-run", "--json", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(json.loads(done.stdout)["memory_bytes"] / 2**20)
    assert peaks[1] < peaks[0] - 100
