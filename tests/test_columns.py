"""Texts in a terminal's columns, of which some characters take two."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from zoo.columns import cells, end_of, in_columns, padded, shortened, shortened_within, start_of
from zoo.diagnostics import Diagnostic, Source, Span, render

TEXTS = st.text(st.sampled_from("ab猫犬é ー"), max_size=12)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(TEXTS, st.integers(1, 14))
def test_what_is_cut_fits_and_what_fits_is_whole(text: str, width: int) -> None:
    for cut in (shortened, shortened_within):
        assert cell_len(cut(text, width)) <= width
        assert (cut(text, width) == text) == (cell_len(text) <= width)
    assert text.startswith(start_of(text, width))
    assert text.endswith(end_of(text, width))
    assert cell_len(padded(text, width)) == max(width, cell_len(text))


def test_columns_stand_below_each_other() -> None:
    lines = in_columns([("猫", "97 %"), ("dog", "3 %"), ("", "x")])
    assert lines == ["猫   97 %", "dog  3 %", "     x"]
    assert cells("猫") == 2


@pytest.mark.parametrize("text", ["cat: x", "猫: x", "\t猫: x"])
def test_carets_stand_below_what_they_point_at(text: str) -> None:
    column = text.index("x") + 1
    item = Diagnostic("error", "odd", "odd", Span(Source("a.yaml", text), 1, column, 1, column + 1))
    line, carets = (each.partition("| ")[2] for each in render(item).splitlines()[-2:])
    assert line == text
    before = line.partition("x")[0]
    assert [carets.count(blank) for blank in "\t "] == [before.count("\t"), cell_len(before.lstrip("\t"))]
    assert carets.endswith("^")
