"""What is written reads back equal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.diagnostics import Diagnostics
from zoo.document import plain, read_text
from zoo.document.writer import flow_text, write_data

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.text("09.-+e:#<~ \n\t\"'", max_size=6)
_VALUES = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | _TEXTS
_DATA = st.recursive(
    _VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3), max_leaves=8
)


def read(text: str) -> Any:
    node = read_text(text, Diagnostics())
    assert node is not None, text
    return plain(node)


@pytest.mark.parametrize(
    "text",
    [
        "\x7f",
        "\x80",
        "\x85",
        "\u2028",
        "\ufeff",
        "\ufffe",
        "\uffff",
        "9" * 401,
        "1." + "0" * 500,
        "...",
        "1e-3",
        "\U0001f600",
    ],
    ids=ascii,
)
def test_odd_texts_read_back(text: str) -> None:
    data = {"a": text, "b": [text, {text: text}], text: 1}
    assert read(write_data(data)) == data


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.dictionaries(_TEXTS, _DATA, min_size=1, max_size=4))
def test_any_data_reads_back(data: dict[str, Any]) -> None:
    assert read(write_data(data)) == data
    assert read(f"x: {flow_text(data)}") == {"x": data}
