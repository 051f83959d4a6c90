"""Lints: which layers a softmax shows through."""

from __future__ import annotations

import pytest

from tests.graph.plan_world import HEAD, plan_of_text
from zoo.diagnostics import Diagnostics
from zoo.layers import ops
from zoo.layers.reshape import OPS
from zoo.lint import TRANSPARENT, lint


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
