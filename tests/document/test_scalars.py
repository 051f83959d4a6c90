"""YAML 1.2's core schema, value by value."""

from __future__ import annotations

import math
from typing import Any

import pytest

from zoo.diagnostics import Diagnostics
from zoo.document import plain, read_text
from zoo.document.scalars import resolve

TABLE: list[tuple[str, Any]] = [
    ("1e-3", 0.001), ("1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("+1e3", 1000.0), ("-2", -2), ("010", 10), ("0o10", 8),
    ("0x1F", 31), ("1_000", "1_000"), ("12:30", "12:30"), ("no", "no"), ("No", "No"), ("on", "on"), ("off", "off"),
    ("yes", "yes"), ("y", "y"), ("true", True), ("True", True), ("TRUE", True), ("tRUE", "tRUE"), ("false", False),
    ("null", None), ("Null", None), ("~", None), ("", None), ("none", "none"), ("2024-01-01", "2024-01-01"),
    ("0b11", "0b11"), (".inf", math.inf), ("-.INF", -math.inf), ("inf", "inf"), ("1e400", math.inf), ("-", "-"),
    ("1e", "1e"), ("0xg", "0xg"), ("+", "+"), (".", "."), ("1.2.3", "1.2.3"), ("٣", "٣"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), TABLE)
def test_plain_scalars(text: str, value: Any) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


def test_not_a_number() -> None:
    assert math.isnan(resolve(".nan"))  # type: ignore[arg-type]


def test_quotes_make_text_and_keys_are_text() -> None:
    node = read_text("1: '1'\ntrue: \"true\"\nnull: ''\non: |\n  1\n", Diagnostics())
    assert node is not None
    assert plain(node) == {"1": "1", "true": "true", "null": "", "on": "1\n"}


def test_numbers_of_absurd_length_are_refused() -> None:
    with pytest.raises(ValueError, match="500 characters"):
        resolve("1" * 500)
