"""Expressions: what they are worth, what they refuse, and where."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.diagnostics import Diagnostics, Source, Span, render
from zoo.document import Scalar, plain, read_text
from zoo.document.evaluation import NoNames, evaluate, fill_in, is_expression, substitute
from zoo.document.expressions import FUNCTIONS, ExpressionError, parse
from zoo.document.functions import FUNCTION_VALUES

PLACE = Span(Source("f.yaml"), 1, 1, 1, 1)
VALUES: dict[str, Any] = {
    "a": 3, "depths": [2, 3, 4], "wide": True, "mode": "same", "p": 0.5, "i": 1,
    "input.channels": 64, "halves.0.channels": 58, "input.shape": [196, 192], "0.channels": 7, "conv-1.width": 8,
}  # fmt: skip


class Names:
    def value(self, name: str, parts: tuple[int | str, ...]) -> Any:
        key = ".".join([name, *map(str, parts)])
        if key not in VALUES:
            raise ExpressionError(f"no {key}")
        return VALUES[key]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$a", 3),
        ("$(1 + 2)\n", 3),
        ("$input.channels", 64),
        ("$halves.0.channels", 58),
        ("$0.channels", 7),
        ("$conv-1.width", 8),
        ("$(1 + 2 * a)", 7),
        ("$(2 ** 3 ** 2)", 512),
        ("$(-2 ** 2)", -4),
        ("$(2 ** -1)", 0.5),
        ("$(7 // 2 + 7 % 2)", 4),
        ("$(7 / 2)", 3.5),
        ("$(10 - 4 - 3)", 3),
        ("$((1 + 2) * 3)", 9),
        ("$(a if a > 2 else 5)", 3),
        ("$(1 if not wide else 2 if a == 3 else 3)", 2),
        ("$(depths[0] + depths[-1])", 6),
        ("$(depths[1:])", [3, 4]),
        ("$(depths[::2])", [2, 4]),
        ("$(input.shape[0])", 196),
        ("$(0.channels + 1.5)", 8.5),
        ("$(halves.0.channels // 2)", 29),
        ("$(1 < a <= 3)", True),
        ("$(a < 3 or wide and a != 4)", True),
        ("$(not a == 3)", False),
        ("$(mode == 'same')", True),
        ('$(mode + "_x")', "same_x"),
        ("$(a in [1, 3] and 'am' in mode)", True),
        ("$(a not in depths)", False),
        ("$(max(1, a) + min(depths) + len(depths) + sum(depths))", 17),
        ("$(ceil(2.1) + floor(2.9) + int(2.9) + round(2.6))", 10),
        ("$(round(2.345, 1))", 2.3),
        ("$(round(2345, -2))", 2300),
        ("$([7, 8, 9][null:2])", [7, 8]),
        ("$([a, 1] + [2])", [3, 1, 2]),
        ("$([1, 2] * 2)", [1, 2, 1, 2]),
        ("$(1e-3)", 0.001),
        ("$(true and True)", True),
        ("$(null)", None),
        ("$(sum([]))", 0),
    ],
)
def test_values(text: str, value: Any) -> None:
    found = evaluate(parse(text), Names())
    assert found == value
    assert type(found) is type(value)


REFUSED = [
    "$(9**9**9)", "$(().__class__)", "$(a.__class__)", "$(__import__('os'))", "$(lambda: 1)", "$(1 / 0)", "$(1 % 0)",
    "$(a +)", "$(+)", "$()", "$(a b)", "$(f(1))", "$(1 if 2 else 3)", "$(depths[9])", "$(depths[1.5])", "$(depths[])",
    "$(a[0])", "$('x' * 5)", "$([1] * 999999)", "$(a < mode)", "$(-mode)", "$(not a)", "$(max())", "$(len(a))",
    "$(if)", "$(a if a)", "$(1 +* 2)", "$(a; a)", "$(a = 1)", "$(a := 1)", "$(`a`)", "$(f'{a}')",
    "$((-8) ** 0.5)", "$(10 ** 400)", "$(1e308 * 10)", "$(2 ** 62 * 4)", "$(int(mode))", "$(a.channels)",
    "$(undefined)", "$(round(5, -999999999))", "$(round(5, 1.5))", "$(round(5, true))", "$([7, 8][null])",
    "$(" + "(" * 400 + ")" * 400 + ")", "$(" + "1 + " * 100 + "1)", "$(" + "-" * 200 + "1)", "$(1" + "0" * 99 + ")",
    "$(" + "a" * 100_000 + ")", "$(" + "[" * 55 + "]" * 55 + ")", "$(depths" + "[0]" * 90 + ")", "$true", "$and",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED, ids=[text[:24] for text in REFUSED])
def test_refusals_are_quick_and_have_a_message(text: str) -> None:
    start = time.process_time()
    with pytest.raises(ExpressionError) as caught:
        evaluate(parse(text), Names())
    assert time.process_time() - start < 0.5
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x$(1 in null)", "`in` wants a list, the value is null"),
        ("x$(1 not in true)", "`in` wants a list, the value is true"),
        ("x$(null)", "a whole number or text is expected in a name, the value is null"),
        ("x$(true)", "a whole number or text is expected in a name, the value is true"),
        ("x$(1 < null)", "1 and null have no order"),
        ("x$(max(1, null))", "max wants numbers, the value is null"),
        ("x$(floor([]))", "floor wants numbers, the value is []"),
    ],
)
def test_values_are_told_as_yaml_writes_them(text: str, message: str) -> None:
    node, diagnostics = read_text(f"x: {text}", Diagnostics()), Diagnostics()
    assert node is not None
    scalar = node.get("x")
    assert isinstance(scalar, Scalar)
    assert fill_in(scalar, NoNames(), diagnostics) is None
    assert [item.message for item in diagnostics] == [message]


@pytest.mark.parametrize(
    ("text", "help"),
    [
        ("$a[0]", "write $(a[0])"),
        ("$a.shape[0] // 2", "write $(a.shape[0] // 2)"),
        ("2 * $a.channels", "write $(2 * a.channels)"),
        ("$(a) + $(b)", "write $((a) + (b))"),
        ("$(a + 1) // 2", "write $((a + 1) // 2)"),
        ("$(a + $b)", "inside $(…) a name stands without a dollar sign"),
        ("$(a && b)", "both together are written: a and b"),
        ("$(!a)", "the opposite is written: not a"),
        ("$(a ? 1 : 2)", "a choice is written: a if test else b"),
        ("$(a = 1)", "two values are compared with =="),
        ("$a/b", "write $name or $(expression); $$ writes a dollar sign"),
        ("$(a; b)", None),
    ],
)
def test_habits_of_other_languages_have_their_way_out(text: str, help: str | None) -> None:
    scalar = Scalar(text, PLACE, text)
    diagnostics = Diagnostics()
    assert substitute(scalar, NoNames(), diagnostics) is None
    assert [item.help for item in diagnostics] == [help]


def test_each_function_that_is_read_has_a_value() -> None:
    assert set(FUNCTIONS) == set(FUNCTION_VALUES)


def test_a_layer_name_that_begins_with_a_digit_has_its_way_out() -> None:
    with pytest.raises(ExpressionError) as caught:
        parse("$(3x.channels + 1)")
    assert caught.value.help == "a layer's name that begins with a digit is read as a whole value alone: $3x.channels"
    names = ("$3x.channels", "$3-x.0.width", "$0.channels", "$0.1.shape")
    assert all(is_expression(Scalar(name, PLACE, name)) for name in names)
    assert not any(is_expression(Scalar(text, PLACE, text)) for text in ("$5.00", "$3x", "$5.5k", "$3x.channelsx", "$"))


@pytest.mark.parametrize("text", ["$(0x10)", "$(1_000)", "$(2a + 1)"])
def test_what_only_looks_like_a_layers_name_is_not_offered_as_one(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.help is None


class Deep:
    """A param that holds a list of so many levels."""

    def __init__(self, levels: int) -> None:
        self.levels = levels

    def value(self, name: str, parts: tuple[int | str, ...]) -> Any:
        found: list[Any] = []
        for _ in range(self.levels - 1):
            found = [found]
        return found


def test_lists_cannot_grow_deep_from_param_to_param() -> None:
    assert len(evaluate(parse("$([deep])"), Deep(63))) == 1
    with pytest.raises(ExpressionError, match="64 levels"):
        evaluate(parse("$([deep])"), Deep(64))


def test_nested_lists_cannot_grow_without_bound() -> None:
    with pytest.raises(ExpressionError, match="10,000"):
        evaluate(parse("$([[[[[1] * 20] * 20] * 20] * 20])"), Names())


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("a: $(1 + undefined)", (10, 19)),
        ('a: "$(1 + undefined)"', (11, 20)),
        ("a: $undefined", (5, 14)),
        ("a: $(wide and i)", (15, 16)),
        ("a: $(1 if a else 2)", (11, 12)),
        ("a: $(not depths)", (10, 16)),
    ],
)
def test_messages_point_into_the_expression(text: str, columns: tuple[int, int]) -> None:
    node = read_text(text, Diagnostics())
    diagnostics = Diagnostics()
    assert node is not None
    assert substitute(node, Names(), diagnostics) is None
    (item,) = diagnostics
    assert item.span is not None
    assert (item.span.column, item.span.end_column) == columns


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$$", "$"),
        ("$$a", "$a"),
        ("a$$b", "a$b"),
        ("$5", "$5"),
        ("$5.00", "$5.00"),
        ("$0.channels", None),
        ("cost: 5$", "cost: 5$"),
        ("$", "$"),
        ("a$b", None),
        ("$$$b", None),  # a dollar sign, and what would be an expression in a text
        ("$$$$b", "$$b"),
    ],
)
def test_dollar_signs(text: str, value: str | None) -> None:
    node = read_text(f"x: '{text}'", Diagnostics())
    assert node is not None
    diagnostics = Diagnostics()
    found = substitute(node, NoNames(), diagnostics)
    if value is None:
        assert diagnostics.errors
    else:
        assert found is not None
        assert plain(found) == {"x": value}


def test_lists_and_mappings_are_filled_in_and_keep_their_places() -> None:
    node = read_text("x: [1, $(a + 1), {y: $depths}]", Diagnostics())
    assert node is not None
    found = substitute(node, Names(), Diagnostics())
    assert found is not None
    assert plain(found) == {"x": [1, 4, {"y": [2, 3, 4]}]}


def test_names_are_filled_in() -> None:
    node = read_text("x: layer$(i + 1)_$a", Diagnostics())
    assert node is not None
    scalar = node.get("x")
    assert isinstance(scalar, Scalar)
    assert fill_in(scalar, Names(), Diagnostics()) == "layer2_3"


def test_what_is_wrong_in_a_name_has_its_place() -> None:
    diagnostics = Diagnostics()
    node = read_text("x: layer$(1)_$(nope)", diagnostics)
    assert node is not None
    scalar = node.get("x")
    assert isinstance(scalar, Scalar)
    assert fill_in(scalar, Names(), diagnostics) is None
    (error,) = diagnostics
    assert error.span is not None
    assert scalar.span.source.text[error.span.column - 1 : error.span.end_column - 1] == "nope"


_NUMBERS = st.integers(-9, 9).map(str) | st.floats(0.1, 9, allow_nan=False).map(lambda x: f"{x:.3f}")
_TEXTS = st.recursive(
    _NUMBERS,
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(" ".join)
    | inner.map("({})".format) | inner.map("-({})".format)
    | st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} < {t[2]} else {t[1]})")
    | st.tuples(inner, inner).map(lambda t: f"max({t[0]}, {t[1]})"),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True)
@given(_TEXTS)
def test_arithmetic_is_pythons(text: str) -> None:
    try:
        expected = eval(text, {"max": max})  # a text of our own making
    except ZeroDivisionError:
        expected = None
    try:
        found = evaluate(parse(f"$({text})"), NoNames())
    except ExpressionError:
        found = None  # texts of eight leaves never nest too deep: only a division by zero has no value
    if expected is None or found is None:
        assert found is expected
        return
    assert found == expected or (isinstance(found, float) and math.isclose(found, expected))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.text("a1.()[]+-*/%<>=!,:'\" $ifelsnotrd", max_size=40).map(lambda text: f"$({text})") | st.text(max_size=30))
def test_any_text_is_a_value_or_a_message(text: str) -> None:
    diagnostics = Diagnostics()
    node = read_text(f"x: {text!r}", Diagnostics())
    scalar = node.get("x") if node else None
    if isinstance(scalar, Scalar) and is_expression(scalar):
        found = substitute(scalar, Names(), diagnostics)
        assert (found is None) == bool(diagnostics.errors)
        for item in diagnostics:
            render(item)
