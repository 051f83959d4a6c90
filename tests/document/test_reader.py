"""Reading YAML: places, refusals, and attacks that end at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.document.places import node_at
from zoo.diagnostics import Diagnostics, render
from zoo.document import Mapping, Scalar, plain, read_file, read_text, read_value

CHAIN = "a0: &a0 [x]\n" + "".join(f"a{level}: &a{level} [*a{level - 1}]\n" for level in range(1, 2000))


def read(text: str) -> tuple[Mapping | None, Diagnostics]:
    diagnostics = Diagnostics()
    return read_text(text, diagnostics, name="f.yaml"), diagnostics


def refusal(text: str) -> tuple[str, int, int]:
    """The code, line and column of the one message about a text."""
    node, diagnostics = read(text)
    assert node is None
    (item,) = diagnostics
    assert item.severity == "error"
    assert item.span is not None
    return item.code, item.span.line, item.span.column


NINE_LEVELS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (NINE_LEVELS, "too-large"),
        (CHAIN, "too-deep"),
        ("a: " + "[" * 100_000, "too-deep"),
        ("a: " + "[" * 100_000 + "]" * 100_000, "too-deep"),
        ("- " * 100_000, "too-deep"),
        ("\n".join(" " * depth + "a:" for depth in range(1200)), "too-deep"),
        ("{" * 100_000, "key-not-text"),
        ("a: " + "9" * 100_000, "number-too-long"),
    ],
    ids=["alias bomb", "chain of aliases", "open brackets", "brackets", "dashes", "indents", "braces", "digits"],
)
def test_attacks_end_within_a_second(text: str, code: str) -> None:
    start = time.process_time()
    assert refusal(text)[0] == code
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: !!python/object/apply:os.system [true]", ("tag", 1, 4)),
        ("a: !!str 1", ("tag", 1, 4)),
        ("a: ! 1", ("tag", 1, 4)),
        ("a: \0", ("not-text", 1, 4)),
        ("a: 1\nb: \x07", ("not-text", 2, 4)),
        ("a: \ud800", ("not-text", 1, 4)),
        ("é: 1\r\nb: \x9b31m", ("not-text", 2, 4)),  # a terminal would take it for the beginning of a command
        ("a: 1\rb: \x01", ("not-text", 2, 4)),
        ("\ufeffa: b: c", ("syntax", 1, 5)),
        ("a: 1\nb: 'x\n\n", ("syntax", 2, 4)),  # behind the end there is nothing to show
        ("a: [1\n", ("syntax", 1, 4)),
        ("a: 1\n---\nb: 2", ("several-documents", 2, 1)),
        ("", ("empty-file", 1, 1)),
        ("# nothing\n", ("empty-file", 1, 1)),
        ("[1, 2]", ("not-a-mapping", 1, 1)),
        ("hello", ("not-a-mapping", 1, 1)),
        ("[1]: 2", ("key-not-text", 1, 1)),
        ("a: *b", ("unknown-alias", 1, 4)),
        ("a: &a [*a]", ("alias-loop", 1, 8)),
        ("a: {<<: 3}", ("bad-merge", 1, 9)),
        ("a: &a [1]\nb: {<<: *a}", ("bad-merge", 2, 5)),
        ("a: &a [1]\nb: {*a : 2}", ("key-not-text", 2, 5)),
        ("a: 'x", ("syntax", 1, 6)),
        ("a:\n\tb: 1", ("syntax", 2, 1)),
        ("%YAML 1.1\n---\na: no", ("directive", 1, 1)),
        ("%TAG !e! tag:example.org,2000:\n---\na: 1", ("directive", 1, 1)),
        ("a: &k b\nc: {*k : 1, *k : 2}", ("duplicate-key", 2, 13)),
        ("&k conv: 1\n*k : 2", ("duplicate-key", 2, 1)),
        ("a: {b: $(depths[0])}", ("unquoted-expression", 1, 8)),
        ('a: {b: $(x == ")", c)}', ("unquoted-expression", 1, 8)),
        ("a: {b: $(max(1, 2))}", ("unquoted-expression", 1, 8)),
        ("a: [$(d[0]), 2]", ("unquoted-expression", 1, 5)),
    ],
)
def test_refusals_have_their_place(text: str, expected: tuple[str, int, int]) -> None:
    assert refusal(text) == expected


@pytest.mark.parametrize(
    "text",
    ["a: $(max(1, 2))", 'a: {b: "$(depths[0])"}', "a: {b: $(x + (y))}", 'a: {b: $(x == "(")}', "a: {b: $(')' == x)}"],
)
def test_whole_expressions_are_read(text: str) -> None:
    node, diagnostics = read(text)
    assert node is not None
    assert not diagnostics


@pytest.mark.parametrize(
    ("text", "help"),
    [
        ("freeze: [*.bias]", "a text that begins with * wants quotes: '*.bias'"),
        ("model: {\n", "a bracket above may not be closed, or a value is missing"),
        ("name: @home", "a text that begins with @ wants quotes"),
        ("train:\n  epochs:4\n  ema: 1", "a space is missing behind the colon in line 2"),
        ("train:\n  epochs: 4\n\n   ema: 1", "line 4 is indented more than line 2, which has its value already"),
        ("train: a: b", "are quotes missing around a text with a colon in it?"),
        ("a: 1\nb: 'x\n\nc: 3\n", "the quote opened in line 2 is not closed"),
        (r'a: "C:\data"', r"in double quotes a backslash begins an escape: write \\, or take single quotes"),
        (r'a: "\Users"', r"write \\, or take single quotes"),
        (r'a: "\ud800"', r"write \\, or take single quotes"),
        ("a: 'it's'", "the text in quotes ends before this: inside them ' is written ''"),
    ],
)
def test_slips_have_their_way_out(text: str, help: str) -> None:
    _, diagnostics = read(text)
    assert help in (next(iter(diagnostics)).help or "")


def test_what_stands_behind_a_value_is_no_key_in_the_wrong_column() -> None:
    _, diagnostics = read("a: [1] 2")
    assert [item.help for item in diagnostics] == [None]


def test_a_key_that_stands_twice_shows_both_places() -> None:
    _, diagnostics = read("a: 1\nb: {c: 1, c: 2}\na: 2")
    assert [(item.span.line, item.notes[0].span.line) for item in diagnostics if item.span and item.notes[0].span] == [
        (2, 2),
        (3, 1),
    ]


@pytest.mark.parametrize("text", ["x: {<<: {a: 1, a: 2}}", "b: &b {a: 1}\nx: {<<: *b, <<: *b}"])
def test_a_key_that_stands_twice_under_a_merge(text: str) -> None:
    _, diagnostics = read(text)
    assert [item.code for item in diagnostics] == ["duplicate-key"]


def test_merge_keys_give_way_to_the_mapping_and_to_what_comes_first() -> None:
    node, _ = read("x: &x {a: 1, b: 2}\ny: {<<: [*x, {b: 9, c: 3}], a: 0}")
    assert node is not None
    assert plain(node)["y"] == {"a": 0, "b": 2, "c": 3}
    assert node_at(node, ["y", "b"])[1].line == 1  # what is merged keeps its place
    assert node_at(node, ["y", "c"])[1].line == 2


def test_what_is_merged_stands_where_the_merge_key_does() -> None:
    node, _ = read("x: &x {b: 1, c: 2, d: 3}\ny: {a: 0, d: 9, <<: *x, c: 8, e: 4}")
    assert node is not None
    assert list(plain(node)["y"].items()) == [("a", 0), ("d", 9), ("b", 1), ("c", 8), ("e", 4)]


def test_aliases_may_reach_as_deep_as_brackets() -> None:
    deep = "[" * 40 + "]" * 40
    assert read(f"a: &a {deep}\nb: {'[' * 20}*a{']' * 20}")[0] is not None
    assert refusal(f"a: &a {deep}\nb: {'[' * 30}*a{']' * 30}")[0] == "too-deep"


def test_a_directive_of_yaml_1_2_is_none_to_speak_of() -> None:
    assert read("%YAML 1.2\n---\na: 1")[0] is not None


def test_an_index_in_flow_style_is_told_to_want_quotes() -> None:
    _, diagnostics = read("a: {b: $depths[0]}")
    assert [item.help for item in diagnostics] == ['in flow style an expression with [ ] wants quotes: "$(depths[…])"']


def test_every_value_keeps_its_place_also_past_tabs_bom_and_crlf() -> None:
    node, _ = read("\ufeffa: 1\r\nb:\r\n  - x\r\n  - {c: 'd'}\r\n")
    assert node is not None
    value, span, key_span = node_at(node, ["b", 1, "c"])
    assert isinstance(value, Scalar)
    assert (span.line, span.column, span.end_column) == (4, 9, 12)
    assert key_span is not None
    assert (key_span.line, key_span.column) == (4, 6)


def test_latin_1_is_refused_at_its_byte(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: x\ndoc: ré".encode("latin-1"))
    diagnostics = Diagnostics()
    assert read_file(path, diagnostics) is None
    (item,) = diagnostics
    assert item.code == "not-utf8"
    assert "offset 14" in item.message
    assert item.span is not None
    assert (item.span.line, item.span.column) == (2, 7)


def test_a_byte_order_mark_counts_as_bytes_and_takes_no_column(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: \xff")
    diagnostics = Diagnostics()
    assert read_file(path, diagnostics) is None
    (item,) = diagnostics
    assert item.message == "not UTF-8: byte 0xff at offset 6"
    assert item.span is not None
    assert (item.span.line, item.span.column) == (1, 4)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    big = tmp_path / "big.yaml"
    big.write_text("a: " + "x" * (1 << 20))
    for path, code in [
        (big, "file-too-large"),
        (tmp_path / "none.yaml", "no-such-file"),
        (tmp_path, "unreadable-file"),
    ]:
        diagnostics = Diagnostics()
        assert read_file(path, diagnostics) is None
        assert [item.code for item in diagnostics] == [code]


def test_the_canary_of_a_tag_is_not_made(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    assert refusal(f"a: !!python/object/apply:pathlib.Path.touch [!!python/name:x {canary}]")[0] == "tag"
    assert not canary.exists()


def test_long_lines_are_shown_in_part() -> None:
    _, diagnostics = read("a: " + "[" * 5000)
    (item,) = diagnostics
    text = render(item)
    assert max(map(len, text.splitlines())) < 250
    excerpt, carets = text.splitlines()[3:5]
    assert excerpt[carets.index("^")] == "["


def test_a_single_value_may_be_read() -> None:
    diagnostics = Diagnostics()
    assert plain(read_value("{a: [1, no]}", diagnostics, name="--set x", option="--set")) == {"a": [1, "no"]}  # type: ignore[arg-type]
    assert plain(read_value("", diagnostics, name="--set x", option="--set")) is None  # type: ignore[arg-type]
    assert not diagnostics


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.text(st.characters(codec=None, categories=None), max_size=60)
    | st.text("a:-[]{}&*!<>#|'\"%,? \n\t$(", max_size=60)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    node, diagnostics = read(text)
    assert (node is None) == bool(diagnostics.errors)
    for item in diagnostics:
        assert item.span is not None
        render(item)


def test_a_key_that_stands_twice_for_want_of_an_indentation_says_so() -> None:
    diagnostics = Diagnostics()
    read_text("layers:\n  conv:\n  op: Conv2d\n  relu:\n  op: ReLU", diagnostics)
    assert [(item.message, item.help) for item in diagnostics] == [
        (
            "the key 'op' stands twice",
            "nothing stands under relu: indent what belongs to it, or remove one of the two",
        )
    ]
