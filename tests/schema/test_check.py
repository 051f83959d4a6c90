"""Pydantic's errors, worded and placed."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from zoo.diagnostics import Diagnostics, Source, Span, render
from zoo.document import Entry, Mapping, Node, Scalar, from_data, read_text
from zoo.schema import ArgsModel, given, validate
from zoo.schema.check import MOST_PARTS

PLACE = Span(Source("here"), 1, 1, 1, 2)


class Part(ArgsModel):
    size: int
    name: str = ""


class Cat(ArgsModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(ArgsModel):
    kind: Literal["dog"] = "dog"
    age: float = 1


class Thing(ArgsModel):
    whole: int = 1
    real: float = 1
    flag: bool = True
    text: str = ""
    either: int | str = ""
    kernel: int | tuple[int, int] = 1
    stride: Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=1)], ...] = 1
    maybe: float | None = None
    padding: Literal["same", "valid"] | int | tuple[int, int] = 0
    mode: Literal["zeros", "reflect"] = "zeros"
    pair: tuple[int, int] = (1, 1)
    parts: list[Part | str] = []
    named: dict[str, Part] = {}
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] = Cat()
    numbers: list[float] = []


def problems(data: Any, model: type[BaseModel] = Thing) -> list[tuple[str, str]]:
    diagnostics = Diagnostics()
    made = validate(model, from_data(data, PLACE), diagnostics, what="Thing")
    assert (made is None) == bool(diagnostics.errors)
    return [(item.code, item.message) for item in diagnostics]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"whole": 3, "real": 3, "maybe": None}, {"whole": 3, "real": 3.0, "maybe": None}),
        ({"kernel": [3, 1], "pair": [1, 2]}, {"kernel": (3, 1), "pair": (1, 2)}),
        ({"padding": "same", "stride": [2, 2, 2]}, {"padding": "same", "stride": (2, 2, 2)}),
        ({"parts": [{"size": 1}, "x"]}, {"parts": [Part(size=1), "x"]}),
        ({"pet": {"kind": "dog", "age": 2}}, {"pet": Dog(kind="dog", age=2)}),
        ({"real": -1e300}, {"real": -1e300}),
    ],
)
def test_what_fits_passes(data: dict[str, Any], expected: dict[str, Any]) -> None:
    made = validate(Thing, from_data(data, PLACE), Diagnostics(), what="Thing")
    assert made is not None
    assert given(made) == expected


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        ({"whole": True}, "wrong-type", "whole: expected int, got true"),
        ({"whole": 1.5}, "wrong-type", "whole: expected int, got 1.5"),
        ({"whole": 1.0}, "wrong-type", "whole: expected int, got 1.0"),
        ({"whole": "1"}, "wrong-type", "whole: expected int, got '1'"),
        ({"whole": None}, "wrong-type", "whole: expected int, got null"),
        ({"whole": [1]}, "wrong-type", "whole: expected int, got [1]"),
        ({"whole": {"a": 1}}, "wrong-type", "whole: expected int, got a mapping"),
        ({"real": True}, "wrong-type", "real: expected number, got true"),
        ({"real": float("nan")}, "bad-value", "real: expected a finite number, got .nan"),
        ({"real": float("-inf")}, "bad-value", "real: expected a finite number, got -.inf"),
        ({"real": 10**400}, "bad-value", "real: expected a finite number, got a number of 401 digits"),
        ({"flag": "no"}, "wrong-type", "flag: expected true or false, got 'no'"),
        ({"flag": 0}, "wrong-type", "flag: expected true or false, got 0"),
        ({"text": 3}, "wrong-type", "text: expected text, got 3"),
        ({"text": "\ud800"}, "bad-value", "a text holds half a surrogate pair"),
        ({"kernel": "x"}, "wrong-type", "kernel: expected int or [int, int], got 'x'"),
        ({"kernel": [1]}, "wrong-type", "kernel: expected int or [int, int], got [1]"),
        ({"kernel": [1, 2, 3]}, "wrong-type", "kernel: expected int or [int, int], got [1, 2, 3]"),
        ({"kernel": [1, "x"]}, "wrong-type", "kernel[1]: expected int, got 'x'"),
        ({"stride": 0}, "bad-value", "stride: expected at least 1, got 0"),
        ({"stride": [1, 0]}, "bad-value", "stride[1]: expected at least 1, got 0"),
        ({"maybe": "x"}, "wrong-type", "maybe: expected number or null, got 'x'"),
        ({"padding": "smae"}, "bad-value", "padding: expected same, valid, int or [int, int], got 'smae'"),
        ({"padding": 1.5}, "wrong-type", "padding: expected same, valid, int or [int, int], got 1.5"),
        ({"mode": "zero"}, "bad-value", "mode: expected zeros or reflect, got 'zero'"),
        ({"mode": 0}, "wrong-type", "mode: expected zeros or reflect, got 0"),
        ({"pair": [1]}, "wrong-type", "pair: expected [int, int], got [1]"),
        ({"pair": 1}, "wrong-type", "pair: expected [int, int], got 1"),
        ({"parts": [{"size": "x"}]}, "wrong-type", "parts[0].size: expected int, got 'x'"),
        ({"parts": [{}]}, "missing-key", "parts[0]: size is missing"),
        ({"parts": ["x", 3]}, "wrong-type", "parts[1]: expected a mapping or text, got 3"),
        ({"parts": {"size": 1}}, "wrong-type", "parts: expected a list of a mapping or text, got a mapping"),
        ({"named": {"a": {"size": 1, "nam": "x"}}}, "unknown-key", "named.a: unknown key 'nam'"),
        ({"named": []}, "wrong-type", "named: expected a mapping, got []"),
        ({"pet": {"kind": "dog", "age": "old"}}, "wrong-type", "pet.age: expected number, got 'old'"),
        ({"pet": {"kind": "cat", "age": 1}}, "unknown-key", "pet: unknown key 'age'"),
        ({"pet": {"kind": "cow"}}, "bad-value", "pet.kind: expected cat or dog, got 'cow'"),
        ({"pet": {"age": 1}}, "missing-key", "pet: kind is missing"),
        ({"pet": 1}, "wrong-type", "pet: expected a mapping, got 1"),
        ({"numbers": [1, 2, None]}, "wrong-type", "numbers[2]: expected number, got null"),
        ({"nothing": 1}, "unknown-key", "unknown key 'nothing'"),
        ([], "wrong-type", "expected a mapping, got []"),
    ],
)
def test_what_does_not_fit_gives_one_message(data: Any, code: str, message: str) -> None:
    assert problems(data) == [(code, f"Thing: {message}")]


def test_a_mistyped_key_is_not_also_missing() -> None:
    assert problems({"sise": 1}, Part) == [("unknown-key", "Thing: unknown key 'sise'")]
    assert len(problems({"colour": 1}, Part)) == 2  # control: nothing like it is missing


class Bench(ArgsModel):
    name: str
    size: int


@pytest.mark.parametrize("key", ["mane", "nam", "Name", "naem", "a", "n", "game", "same", "sizes", "ize", "resize"])
def test_a_key_is_missing_where_no_help_offers_it(key: str) -> None:
    diagnostics = Diagnostics()
    validate(Bench, from_data({key: 1}, PLACE), diagnostics, what="bench")
    unknown = next(item for item in diagnostics if item.code == "unknown-key")
    missing = {item.message for item in diagnostics if item.code == "missing-key"}
    for due in ("name", "size"):
        assert (f"bench: {due} is missing" in missing) == (f"did you mean {due}" not in (unknown.help or ""))


def test_a_validators_words_are_kept_and_placed() -> None:
    class Ordered(ArgsModel):
        low: int
        high: int

        @model_validator(mode="after")
        def _in_order(self) -> Ordered:
            if self.low > self.high:
                raise PydanticCustomError("order", "low lies above high", {"at": "low"})
            if self.low < 0:
                raise ValueError("below zero")
            return self

    assert problems({"low": 2, "high": 1}, Ordered) == [("bad-value", "Thing: low: low lies above high")]
    assert problems({"low": -2, "high": 1}, Ordered) == [("bad-value", "Thing: below zero")]


def test_messages_and_places(golden: Any) -> None:
    text = """\
whole: $(7 / 2)
real: "0.5"
kernel: [3, x]
padding: smae
parts:
  - {size: 1}
  - {size: 1.0, nmae: x}
named: {one: {name: x}}
strid: 2
"""
    diagnostics = Diagnostics()
    node: Node | None = read_text(text, diagnostics, name="thing.yaml")
    assert node is not None
    assert validate(Thing, node, diagnostics, what="Thing") is None
    golden("check.txt", "\n".join(render(item) for item in diagnostics) + "\n")


def test_a_quotient_where_an_int_is_due_offers_whole_division() -> None:
    node = Mapping((Entry("whole", PLACE, Scalar(3.5, PLACE, "$(7 / 2)")),), PLACE)
    diagnostics = Diagnostics()
    validate(Thing, node, diagnostics, what="Thing")
    (item,) = diagnostics
    assert item.message == "Thing: whole: expected int, got 3.5"
    assert item.help == "// divides to a whole number"


@pytest.mark.parametrize(
    ("text", "help"),
    [
        ("text: 2024", 'in quotes it is a text: "2024"'),
        ("text: 1.10", 'in quotes it is a text: "1.10"'),
        ("text: true", 'in quotes it is a text: "true"'),
        ("text: null", None),
        ("either: true", None),
        ("either: 1.0", "write 1"),
        ("mode: 3", None),
        ("parts: [7]", "write {size: 7}"),
    ],
)
def test_a_number_that_stands_for_a_text_wants_quotes(text: str, help: str | None) -> None:
    node, diagnostics = read_text(text, Diagnostics()), Diagnostics()
    assert node is not None
    validate(Thing, node, diagnostics, what="Thing")
    assert [item.help for item in diagnostics] == [help]


def test_of_very_many_unknown_keys_the_first_are_told_at_once() -> None:
    data = {**{f"key{number}": number for number in range(20_000)}, "whole": "x"}
    start = time.process_time()
    found = problems(data)
    assert time.process_time() - start < 5
    assert ("wrong-type", "Thing: whole: expected int, got 'x'") in found
    assert found.pop() == ("too-many", f"Thing: {20_001 - MOST_PARTS:,} more parts are wrong, too")
    assert len(found) == MOST_PARTS
    assert sum(code == "unknown-key" for code, _ in found) == MOST_PARTS - 1
