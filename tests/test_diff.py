"""Differences of plans, documents and plain data, with their places."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zoo.diagnostics import Diagnostics
from zoo.diff import diff_data, diff_documents, diff_plans, text
from zoo.document import Mapping, read_text
from zoo.graph import Plan, plan_architecture

ONE = """
input: [3, 8, 8]
layers:
  conv: {op: Conv2d, out_channels: 4, kernel_size: 3}
  relu: ReLU
  pool: {op: adaptive_avg_pool2d, output_size: 1}
"""


def document(source: str, name: str = "one.yaml") -> Mapping:
    found = read_text(source, Diagnostics(), name=name)
    assert found is not None
    return found


def plan(source: str, name: str = "one.yaml") -> Plan:
    diagnostics = Diagnostics()
    found = plan_architecture(document(source, name), diagnostics)
    assert found is not None, [item.message for item in diagnostics]
    return found


def test_a_plan_does_not_differ_from_itself() -> None:
    assert diff_plans(plan(ONE), plan(ONE)) == []


def test_layers_added_removed_and_changed() -> None:
    two = ONE.replace("out_channels: 4", "out_channels: 6").replace("  relu: ReLU\n", "  act: GELU\n")
    changes = {change.path: change for change in diff_plans(plan(ONE), plan(two, "two.yaml"))}
    assert {path: change.kind for path, change in changes.items()} == {
        "conv": "changed",
        "relu": "removed",
        "act": "added",
        "pool": "changed",  # it reads another layer and gives more channels
    }
    assert "112 parameters" in changes["conv"].before
    assert "168 parameters" in changes["conv"].after
    assert changes["conv"].after_place.startswith("two.yaml:4:")


def test_values_of_documents_with_places() -> None:
    changes = diff_documents(
        document("train: {epochs: 3}\nreports: [curves]\n"), document("train: {epochs: 4}\nreports: []\n", "b.yaml")
    )
    assert [(change.path, change.kind, change.before, change.after) for change in changes] == [
        ("train.epochs", "changed", 3, 4),
        ("reports", "changed", ["curves"], []),
    ]
    assert (changes[0].before_place, changes[0].after_place) == ("one.yaml:1:17", "b.yaml:1:17")


@pytest.mark.parametrize(("before", "after"), [(1, True), (0, False), (1, 1.0)])
def test_equal_in_python_is_not_always_equal(before: object, after: object) -> None:
    changes = diff_data({"x": before}, {"x": after})
    assert len(changes) == (1 if isinstance(after, bool) else 0)


def test_the_text_of_a_difference(golden: Callable[[str, str], None]) -> None:
    two = ONE.replace("out_channels: 4", "out_channels: 6").replace("  relu: ReLU\n", "  act: GELU\n")
    golden("diff.txt", text(diff_plans(plan(ONE), plan(two, "two.yaml"))) + "\n")
