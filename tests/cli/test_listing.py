"""What `zoo ls` says of the things there are, and of the arguments that they take."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from tests.cli.conftest import Zoo

WITH_ARGUMENTS = ("ops", "initialisers", "sources", "transforms", "losses", "optimizers", "schedules")


@pytest.mark.parametrize("kind", WITH_ARGUMENTS)
def test_everything_tells_its_arguments_as_data(kind: str, zoo: Zoo) -> None:
    found = json.loads(zoo("ls", kind, "--json").out)
    arguments = [argument for thing in found for argument in thing["arguments"]]
    assert arguments
    assert all(argument["type"] and "undefined" not in str(argument).lower() for argument in arguments)


def test_an_argument_has_a_type_and_a_default_unless_it_must_be_there(zoo: Zoo) -> None:
    found = json.loads(zoo("ls", "ops", "Conv2d", "--json").out)
    arguments = {argument.pop("name"): argument for argument in found["arguments"]}
    assert arguments["stride"] == {
        "type": "int or [int, int]",
        "default": 1,
        "doc": "Stride of the convolution.",
    }
    assert arguments["in_channels"]["inferred"]
    assert not arguments["out_channels"].keys() & {"inferred", "default"}


def test_one_thing_is_shown_with_its_arguments(zoo: Zoo) -> None:
    first, *lines = zoo("ls", "sources", "synthetic").out.splitlines()
    assert first.startswith("synthetic  Made-up images")
    assert lines[1] == "  classes    int              default 10           number of classes"
    assert zoo("ls", "methods", "gradcam").out.startswith("gradcam  ")


def test_a_thing_that_is_not_there(zoo: Zoo) -> None:
    outcome = zoo("ls", "optimizers", "SGDD")
    assert outcome.status == 2
    assert "there is nothing called 'SGDD' in zoo ls optimizers" in outcome.err
    assert "did you mean SGD?" in outcome.err


def test_transforms_with_a_batched_form_are_marked(zoo: Zoo) -> None:
    found = {row["name"]: row["batched"] for row in json.loads(zoo("ls", "transforms", "--json").out)}
    marked = {line.split()[0]: line.split()[1] == "batched" for line in zoo("ls", "transforms").out.splitlines()}
    assert marked == found
    assert all(found[name] for name in ("HorizontalFlip", "Normalize", "CutMix", "OneOf", "RandAugment", "Sequential"))
    assert not any(found[name] for name in ("Superpixels", "ElasticTransform"))
    assert "batched" not in json.loads(zoo("ls", "ops", "--json").out)[0]
    for name, start in (
        ("CenterCrop", "CenterCrop  batched  Crop "),
        ("Superpixels", "Superpixels  Transform "),
    ):
        assert zoo("ls", "transforms", name).out.startswith(start)


@pytest.mark.parametrize("name", ["RandomResizedCrop", "HorizontalFlip"])
def test_on_a_terminal_no_line_is_wider_than_it(name: str, zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = zoo("ls", "transforms", name).out  # the control: a file gets a line an argument
    monkeypatch.setattr("zoo.cli.catalogue.sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True)))
    monkeypatch.setenv("COLUMNS", "80")
    narrow = zoo("ls", "transforms", name).out
    assert max(map(len, narrow.splitlines())) <= 80
    assert (narrow == wide) == (name == "HorizontalFlip")
    assert wide.split()[:2] == narrow.split()[:2]
