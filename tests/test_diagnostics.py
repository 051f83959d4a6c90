"""What messages have in common."""

from __future__ import annotations

import pytest

from zoo.diagnostics import counted


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 epochs"),
        (1, "1 epoch"),
        (1.0, "1 epoch"),
        (0.5, "0.5 epochs"),
        (1200, "1,200 epochs"),
        (20 / 23, "0.87 epochs"),
        (12.345, "12.35 epochs"),
    ],
)
def test_a_number_of_things(number: float, text: str) -> None:
    assert counted(number, "epoch") == text
