"""``--set`` and what says the same: what it replaces, how far it reaches, and what its values name as their place."""

from __future__ import annotations

import pytest

from tests.document.places import node_at
from zoo.diagnostics import Diagnostics, Source, Span
from zoo.document import Mapping, Override, lay_over, plain, read_sets, read_text
from zoo.errors import UsageError


def laid_over(document: Mapping | None, *sets: str) -> Mapping:
    assert document is not None
    return lay_over(document, read_sets(sets), Diagnostics())


def test_sets_come_in_order_and_replace_mappings() -> None:
    node = read_text("a: {b: 1, c: {d: 2}}\ne: 3", Diagnostics())
    assert node is not None
    result = laid_over(node, "a.c={f: 5}", "a.b=1e-3", "g.h=no", "e=null", "a.b=7")
    assert plain(result) == {"a": {"b": 7, "c": {"f": 5}}, "g": {"h": "no"}}
    assert node_at(result, ["a", "b"])[1].file == "--set a.b"


@pytest.mark.parametrize("text", ["a", "=1", "a..b=1", ".a=1", "a=", "a.b= "])
def test_a_set_without_path_or_value_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        read_sets([text])


def test_a_null_that_removes_nothing_stays_for_whoever_judges_the_key() -> None:
    node = read_text("a: {b: 1}", Diagnostics())
    assert isinstance(node, Mapping)
    assert plain(laid_over(node, "a.b=null", "a.c=null")) == {"a": {"c": None}}


@pytest.mark.parametrize(
    ("path", "kind", "help"),
    [
        ("a.1.b=1", "a is a list of 1", "its items go by number, from 0: --set a.0=…"),
        ("a.00.b=1", "a is a list of 1", "its items go by number, from 0: --set a.0=…"),
        ("a.b=1", "a is a list of 1", "its items go by number, from 0: --set a.0=…"),
        ("a.0.b.d=1", "a.0.b is 1", "set the whole: --set a.0.b=…"),
        ("c.d=1", "c is 'x'", "set the whole: --set c=…"),
        ("e.d=1", "e is true", "set the whole: --set e=…"),
    ],
)
def test_sets_do_not_reach_into_texts_nor_beyond_lists(path: str, kind: str, help: str) -> None:
    node = read_text("a: [{b: 1}]\nc: x\ne: true", Diagnostics())
    assert isinstance(node, Mapping)
    with pytest.raises(UsageError, match=kind) as caught:
        laid_over(node, path)
    assert caught.value.help == help


@pytest.mark.parametrize("levels", [65, 5000])
def test_a_path_deeper_than_files_go_is_a_usage_error(levels: int) -> None:
    document = Mapping((), Span(Source("r.yaml"), 1, 1, 1, 1))
    assert laid_over(document, f"{'a.' * 63}a=1").depth == 64
    with pytest.raises(UsageError, match=rf"^--set has a path of {levels:,} keys \(at most 64 levels are read\)"):
        laid_over(document, f"{'a.' * (levels - 1)}a=1")


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("a.0.b=9", [{"b": 9, "c": 2}, 3]),
        (" a.1 =4", [{"b": 1, "c": 2}, 4]),
        ("a.0.c=null", [{"b": 1}, 3]),
        ("a.0=null", [3]),
        ("a.0.d.e=5", [{"b": 1, "c": 2, "d": {"e": 5}}, 3]),
    ],
)
def test_sets_reach_into_lists_by_number(text: str, there: list[object]) -> None:
    node = read_text("a: [{b: 1, c: 2}, 3]", Diagnostics())
    assert isinstance(node, Mapping)
    assert plain(laid_over(node, text)) == {"a": there}


@pytest.mark.parametrize(
    ("override", "place"),
    [
        (Override("a.b", "[1, x]"), "--set a.b:1:5"),
        (Override("a.b", "[1, x]", "--grid"), "--grid a.b:1:5"),
        (Override("a", "[1, x]", "--epochs"), "--epochs:1:5"),
    ],
)
def test_a_value_knows_the_option_that_gave_it(override: Override, place: str) -> None:
    node = read_text("c: 1", Diagnostics())
    assert node is not None
    document = lay_over(node, [override], Diagnostics())
    _, span, _ = node_at(document, [*override.path.split("."), 1])
    assert (str(span), span.option) == (place, override.option)


def test_a_value_of_a_grid_out_of_reach_is_told_of_the_grid() -> None:
    node = read_text("a: x", Diagnostics())
    assert node is not None
    with pytest.raises(UsageError, match=r"^--grid a\.b: a is 'x', --grid cannot reach into it so") as caught:
        lay_over(node, [Override("a.b", "1", "--grid")], Diagnostics())
    assert caught.value.help == "set the whole: --grid 'a=[…]'"
