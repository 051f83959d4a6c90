"""Registries: names, nearest names, and entries for the length of a test."""

from __future__ import annotations

import pytest

from zoo.errors import UsageError
from zoo.registry import Registry, did_you_mean, nearest


def test_the_nearest_name_comes_first_and_case_decides_a_tie() -> None:
    assert nearest("flaten", ["relu", "Flatten", "flatten"])[0] == "flatten"
    assert nearest("Flaten", ["relu", "Flatten", "flatten"])[0] == "Flatten"
    assert nearest("conv2d", ["Linear", "Conv2d", "ConvTranspose2d"])[0] == "Conv2d"


def test_help_lines() -> None:
    assert did_you_mean("x", []) is None
    assert did_you_mean("bias", ["bias"]) == "did you mean bias?"
    assert did_you_mean("a1", ["a1x", "a1z", "a1y"]) == "did you mean a1x, a1y or a1z?"


def test_two_letters_that_changed_places_are_one_slip() -> None:
    assert did_you_mean("tyni", ["tiny", "quickstart"]) == "did you mean tiny?"
    assert did_you_mean("ytni", ["tiny", "quickstart"]) == "there are tiny and quickstart"  # all four moved


def test_strangers_are_not_offered_as_what_was_meant() -> None:
    assert did_you_mean("weihgt", ["weight", "bias"]) == "did you mean weight?"
    assert did_you_mean("foo", ["epochs", "compile", "lookahead"]) == "there are epochs, compile and lookahead"
    assert did_you_mean("foo", ["epochs"]) == "there is epochs"
    assert did_you_mean("resnet18", ["ne", "gelu"]) == "there are ne and gelu"  # two letters stand in many names
    many = [f"option{number}" for number in range(20)]
    assert did_you_mean("foo", many) == "the nearest are option0, option1 and option2"


def test_a_letter_alone_is_no_slip_of_a_word() -> None:
    assert did_you_mean("a", ["name", "val"]) == "there are name and val"
    assert did_you_mean("lr", ["max_lr", "steps"]) == "did you mean max_lr?"


def test_one_form_for_a_name_that_is_not_there() -> None:
    registry: Registry[int] = Registry("data source")
    for name in ("cifar10", "cifar100", "mnist", "synthetic"):
        registry.add(name, 1)
    told = registry.unknown("cifr10")
    assert (told.code, told.message) == ("unknown-source", "there is no data source 'cifr10'")
    assert told.help == "did you mean cifar10 or cifar100? Also near: mnist"


def test_a_name_twice_is_an_error() -> None:
    registry: Registry[int] = Registry("number")
    registry.add("one", 1)
    with pytest.raises(UsageError, match="number 'one' is registered twice"):
        registry.add("one", 2)
    assert registry["one"] == 1


def test_a_registry_whose_filling_was_interrupted_is_filled_at_the_next_use() -> None:
    tries: list[int] = []

    def load(registry: Registry[int]) -> None:
        tries.append(1)
        registry.add("one", 1)
        if len(tries) == 1:
            raise KeyboardInterrupt
        registry.add("two", 2)

    registry: Registry[int] = Registry("number", load)
    with pytest.raises(KeyboardInterrupt):
        registry.get("two")
    assert list(registry) == ["one", "two"]
    assert len(tries) == 2


def test_a_registry_is_filled_at_its_first_use() -> None:
    filled: list[str] = []

    def fill(registry: Registry[int]) -> None:
        filled.append("once")
        registry.add("one", 1)

    registry = Registry("number", fill)
    assert filled == []
    assert "one" in registry
    assert list(registry) == ["one"]
    assert filled == ["once"]


def test_temporarily() -> None:
    registry: Registry[int] = Registry("number")
    with registry.temporarily(two=2):
        assert registry.get("two") == 2
    assert registry.get("two") is None
