"""Lints: which layers a softmax shows through, and behind which a map is still one."""

from __future__ import annotations

import re

import pytest

from tests.graph.plan_world import HEAD, plan_of_text
from zoo.architectures import architecture_names
from zoo.diagnostics import Diagnostics
from zoo.layers import ops
from zoo.layers.reshape import OPS
from zoo.lint import KEEPS_ORDER, MAX_POOLS, NORMS, NORMS_OF_THE_LAST, SOFTMAX, TRANSPARENT, lint
from zoo.models import load_plan


def test_whatever_only_moves_values_is_transparent() -> None:
    assert {op.name for op in OPS} <= TRANSPARENT
    assert set(ops) >= TRANSPARENT


@pytest.mark.parametrize(
    ("behind", "shows"),
    [("{op: view, shape: [-1, 3072]}", True), ("{op: Dropout2d}", True), ("{op: Linear, out_features: 3}", False)],
)
def test_a_softmax_shows_through(behind: str, shows: bool) -> None:
    diagnostics = Diagnostics()
    lint(plan_of_text(HEAD + f"layers: [{{op: softmax, dim: 1}}, {behind}]"), diagnostics)
    assert ("softmax-before-loss" in [item.code for item in diagnostics]) == shows


HEADS = (
    "f: {op: flatten, start_dim: 1}, a: {op: softmax, dim: 1}, b: {op: softmax, dim: 1, from: f}, "
    "c: {op: sigmoid, from: f}, "
)


@pytest.mark.parametrize(
    ("join", "shows"),
    [
        ("s: {op: add, from: [a, b]}", True),
        ("s: {op: add, from: [a, b]}, h: {op: div, other: 2}", True),
        ("s: {op: stack, dim: 1, from: [a, b]}, m: {op: mean, dim: 1}", True),
        ("s: {op: add, from: [a, c]}", False),
        ("s: {op: mul, from: [a, b]}", False),
    ],
)
def test_softmaxes_show_through_their_average(join: str, shows: bool) -> None:
    diagnostics = Diagnostics()
    lint(plan_of_text(HEAD + f"layers: {{{HEADS}{join}}}"), diagnostics)
    told = [item.message.partition(":")[0] for item in diagnostics if item.code == "softmax-before-loss"]
    assert told == (["a", "b"] if shows else [])


@pytest.mark.parametrize(
    ("between", "is_map"),
    [
        ("{op: add, from: [conv, conv]}", True),
        ("{op: cat, dim: 1, from: [conv, conv]}", True),
        ("{op: GroupNorm, num_groups: 2}", True),
        ("{op: interpolate, scale_factor: 2}", True),
        ("{op: ChannelShuffle, groups: 2}", True),
        ("{op: AdaptiveAvgPool2d, output_size: 1}", True),
        ("{op: permute, dims: [0, 2, 3, 1]}", False),
        ("{op: movedim, source: 1, destination: -1}", False),
        ("{op: reshape, shape: [-1, 16, 16, 8]}", False),
        ("{op: flatten, start_dim: 1}", False),
        ("{op: flatten, start_dim: 2}", False),
    ],
)
def test_a_linear_on_a_map_is_told(between: str, is_map: bool) -> None:
    conv, linear = "{op: Conv2d, out_channels: 8, kernel_size: 17}", "{op: Linear, out_features: 3}"
    diagnostics = Diagnostics()
    lint(plan_of_text(HEAD + f"layers: {{conv: {conv}, x: {between}, fc: {linear}}}"), diagnostics)
    assert ("linear-on-map" in [item.code for item in diagnostics]) == is_map


@pytest.mark.parametrize(
    ("before", "norm", "help"),
    [
        (
            "relu",
            "LayerNorm",
            "LayerNorm2d normalises over the channels, normalized_shape: [8, 16, 16] over the whole map",
        ),
        ("relu", "RMSNorm", "normalized_shape: [8, 16, 16] over the whole map"),
        ("relu", "{op: layer_norm, normalized_shape: [16]}", "LayerNorm2d normalises over the channels"),
        ("relu", "{op: LayerNorm, normalized_shape: [8, 16, 16]}", None),
        ("relu", "LayerNorm2d", None),
        ("{op: permute, dims: [0, 2, 3, 1]}", "LayerNorm", None),
        ("{op: flatten, start_dim: 2}", "LayerNorm", None),
    ],
)
def test_a_norm_over_the_width_of_a_map_is_told(before: str, norm: str, help: str | None) -> None:
    conv = "{op: Conv2d, out_channels: 8, kernel_size: 17}"
    diagnostics = Diagnostics()
    lint(plan_of_text(HEAD + f"layers: [{conv}, {before}, {norm}]"), diagnostics)
    told = [item.help or "" for item in diagnostics if item.code == "norm-on-map"]
    assert len(told) == (help is not None)
    assert not told or told[0].startswith(help or "")


def test_what_keeps_the_order_of_dimensions_is_an_op() -> None:
    assert set(ops) >= KEEPS_ORDER
    assert not {"permute", "Permute", "transpose", "movedim", "rot90", "reshape", "view", "einsum"} & KEEPS_ORDER


def test_norms_pools_and_softmaxes_are_all_those_of_the_catalogue() -> None:
    modules = re.compile(r"(Batch|Instance)Norm\dd|instance_norm")
    assert {name for name in ops if modules.fullmatch(name)} == NORMS
    assert {name for name in ops if re.search(r"max_?pool\dd$", name.lower())} == MAX_POOLS
    assert set(ops) >= SOFTMAX | NORMS_OF_THE_LAST


@pytest.mark.filterwarnings("ignore:input's size at dim=0")  # the batch, which torch takes for channels
@pytest.mark.parametrize(
    ("shape", "layers", "is_told"),
    [
        ("[3, 32]", "{op: Conv1d, %s}, {op: MaxPool1d, kernel_size: 2}, InstanceNorm1d", True),
        ("[3, 8, 8]", "{op: Conv2d, %s}, {op: adaptive_max_pool2d, output_size: 2}, BatchNorm2d", True),
        ("[3, 8, 8, 8]", "{op: Conv3d, %s}, InstanceNorm3d", True),
        ("[16]", "{op: Linear, out_features: 8}, {op: InstanceNorm1d, num_features: 8}", False),
    ],
)
def test_a_bias_is_undone_by_every_norm_of_channels(shape: str, layers: str, is_told: bool) -> None:
    diagnostics = Diagnostics()
    layers = layers.replace("%s", "out_channels: 8, kernel_size: 3")
    lint(plan_of_text(f"input: {shape}\nlayers: [{layers}]"), diagnostics)
    assert ("bias-before-norm" in [item.code for item in diagnostics]) == is_told


@pytest.mark.parametrize("name", architecture_names())
def test_no_shipped_architecture_works_on_the_width_of_a_map(name: str) -> None:
    diagnostics = Diagnostics()
    plan = load_plan(name, diagnostics)
    assert plan is not None
    lint(plan, diagnostics)
    assert not {"linear-on-map", "norm-on-map"} & {item.code for item in diagnostics}


@pytest.mark.parametrize(
    "text",
    [
        "input: [64, 1, 1]\nlayers: {up: {op: ConvTranspose2d, out_channels: 32, kernel_size: 4}}",  # it enlarges
        "input: [16, 32]\nlayers: {fc: {op: Linear, out_features: 8}, norm: BatchNorm1d}",  # over dimension 1
        "input: [8, 8, 8]\nlayers: {conv: {op: Conv2d, out_channels: 8, kernel_size: 1}, norm: BatchNorm2d, "
        "again: {share: conv}}",  # once without the norm
    ],
)
def test_what_only_looks_like_a_slip_is_no_warning(text: str) -> None:
    diagnostics = Diagnostics()
    lint(plan_of_text(text), diagnostics)
    assert not list(diagnostics)


def test_a_bias_in_front_of_a_norm_is_one() -> None:
    diagnostics = Diagnostics()
    lint(plan_of_text("input: [16]\nlayers: {fc: {op: Linear, out_features: 8}, norm: BatchNorm1d}"), diagnostics)
    assert [item.code for item in diagnostics] == ["bias-before-norm"]
    assert next(iter(diagnostics)).help == "write bias: false, which saves 8 parameters"


@pytest.mark.parametrize(
    ("layers", "is_told"),
    [
        ("{c: {op: Conv2d, out_channels: 8, kernel_size: 3, repeat: 2}, n: BatchNorm2d}", False),
        ("{c: [{op: Conv2d, out_channels: 8, kernel_size: 3}, {op: Conv2d, out_channels: 8, kernel_size: 3}], "
        "n: BatchNorm2d}", True),
        ("{c: {layers: [{op: Conv2d, out_channels: 8, kernel_size: 3}, BatchNorm2d], repeat: 2}}", True),
    ],
)  # fmt: skip
def test_a_bias_that_another_copy_of_its_line_needs_is_no_slip(layers: str, is_told: bool) -> None:
    diagnostics = Diagnostics()
    lint(plan_of_text(f"input: [3, 16, 16]\nlayers: {layers}"), diagnostics)
    assert [item.code for item in diagnostics] == ["bias-before-norm"] * is_told
