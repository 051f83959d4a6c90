"""Which of a caller's params is told to be at fault, and which errors stay where they are."""

from __future__ import annotations

from pathlib import Path

from zoo.diagnostics import Diagnostics
from zoo.document import Mapping, read_text
from zoo.graph import plan_architecture

NET = """
name: net
input: [3, 32, 32]
params: {width: 8, kernel: 3, classes: int}
layers:
  conv: {op: Conv2d, out_channels: $width, kernel_size: $kernel}
  norm: {op: BatchNorm2d, num_features: $(width)}
  flatten: {op: flatten, start_dim: 1}
  fc: {op: Linear, out_features: $classes}
"""


def told(params: str, text: str = NET) -> list[tuple[str, int, str]]:
    """File, column and message of every error, params given as a flow mapping."""
    diagnostics = Diagnostics()
    document = read_text(text, diagnostics, name="net.yaml")
    given = read_text(params, diagnostics, name="recipe.yaml")
    assert document is not None
    assert isinstance(given, Mapping)
    plan_architecture(document, diagnostics, params=given, folder=Path())
    return [(item.span.file, item.span.column, item.message) for item in diagnostics if item.span is not None]


def test_each_faulty_param_is_told_at_its_value() -> None:
    messages = told("{width: -8, kernel: [3, -1], classes: 10}")
    assert [(file, column) for file, column, _ in messages] == [("recipe.yaml", 9), ("recipe.yaml", 21)]
    assert messages[1][2].startswith("net: kernel: [3, -1] does not fit: ")


def test_what_fits_the_default_alone_is_the_params_fault() -> None:
    text = NET.replace("$(width)", "8")
    assert [file for file, _, _ in told("{width: 16, classes: 10}", text)] == ["recipe.yaml"]


def test_the_networks_own_errors_stay_in_the_network() -> None:
    text = NET.replace("$(width)", "7")
    assert [file for file, _, _ in told("{width: 16, kernel: 5, classes: 10}", text)] == ["net.yaml"]


def test_a_param_without_default_is_not_blamed_for_what_it_hides() -> None:
    text = NET.replace("start_dim: 1", "start_dim: 9")
    assert [file for file, _, _ in told("{classes: 10}", text)] == ["net.yaml"]
    assert told("{classes: ten}")[0][0] == "recipe.yaml"
