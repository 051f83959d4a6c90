"""What messages have in common."""

from __future__ import annotations

import pytest

from zoo.diagnostics import Diagnostic, Note, Source, Span, counted, render


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


def test_no_control_character_reaches_a_terminal() -> None:
    span = Span(Source("a\x1b]0;.yaml", "x:\t\x9b31m é"), 1, 9, 1, 10)
    told = Diagnostic("error", "bad", "no \x1b[2J", span, notes=(Note("two\nlines\x07"),), help="\x7f")
    assert render(told) == (
        "error[bad]: no \\x1b[2J\n"
        " --> a\\x1b]0;.yaml:1:9\n"
        "  |\n"
        "1 | x:\t\ufffd31m é\n"
        "  |   \t     ^\n"
        "  = note: two\n"
        "          lines\\x07\n"
        "  = help: \\x7f"
    )
