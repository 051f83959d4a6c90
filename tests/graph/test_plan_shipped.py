"""The shipped architectures: exact counts, and every single key and reference of theirs, mistyped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.graph.plan_world import ARCHITECTURES, parameter_count, trainable_count
from zoo.diagnostics import Diagnostics
from zoo.document import Entry, Mapping, Node, Scalar, Sequence, read_file
from zoo.graph import plan_architecture

FILES = sorted(ARCHITECTURES.glob("*.yaml"))
COUNTS = {
    "custom_resnet": 6_573_130,
    "cifar_resnet18": 11_173_962,
    "densenet121": 6_956_298,
    "shufflenet_v2_x1_0": 2_278_604,
    "vit_tiny_patch16_224": 5_717_416,
    "airbench94": 1_972_792,
}


def read(path: Path) -> Mapping:
    diagnostics = Diagnostics()
    document = read_file(path, diagnostics, name=path.name)
    assert document is not None
    return document


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_counts_are_those_of_the_doc_line(path: Path) -> None:
    diagnostics = Diagnostics()
    plan = plan_architecture(read(path), diagnostics)
    assert plan is not None
    assert not diagnostics
    stated = re.search(r"([\d,]+) parameters", plan.doc)
    if stated:
        assert parameter_count(plan) == int(stated[1].replace(",", ""))
    assert parameter_count(plan) == COUNTS.get(path.stem, parameter_count(plan))
    if path.stem == "airbench94":
        assert trainable_count(plan) == 1_971_352


def test_the_reference_files_are_among_them() -> None:
    assert set(COUNTS) <= {path.stem for path in FILES}


def keys(node: Node, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every key whose name means something to the language."""
    if isinstance(node, Sequence):
        for index, item in enumerate(node):
            yield from keys(item, (*path, index))
    elif isinstance(node, Mapping):
        for entry in node:
            if path[-1:] not in (("params",), ("blocks",), ("layers",), ("input",)):
                yield (*path, entry.key)
            yield from keys(entry.value, (*path, entry.key))


def mistyped(node: Node, path: tuple[str | int, ...]) -> Node:
    head, *rest = path
    if isinstance(node, Sequence):
        items = [mistyped(item, tuple(rest)) if index == head else item for index, item in enumerate(node)]
        return Sequence(tuple(items), node.span)
    assert isinstance(node, Mapping)
    entries = [
        entry if entry.key != head
        else Entry(entry.key, entry.key_span, mistyped(entry.value, tuple(rest))) if rest
        else Entry(f"{entry.key}x", entry.key_span, entry.value)
        for entry in node
    ]  # fmt: skip
    return Mapping(tuple(entries), node.span)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_key_mistyped_is_told_at_its_place(path: Path) -> None:
    document = read(path)
    for where in keys(document):
        broken = mistyped(document, where)
        assert isinstance(broken, Mapping)
        diagnostics = Diagnostics()
        assert plan_architecture(broken, diagnostics) is None, where
        told = [item for item in diagnostics.errors if f"{where[-1]}x" in item.message]
        assert told, (where, [item.message for item in diagnostics])
        assert told[0].span is not None
        assert where[-1] in str(told[0].help) or told[0].code == "unknown-parameter", (where, told[0].help)


def references(node: Node) -> Iterator[Scalar]:
    """Every name under a `from`."""
    if isinstance(node, Sequence):
        for item in node:
            yield from references(item)
    elif isinstance(node, Mapping):
        for entry in node:
            if entry.key == "from":
                yield from [entry.value] if isinstance(entry.value, Scalar) else scalars(entry.value)
            else:
                yield from references(entry.value)


def scalars(node: Node) -> list[Scalar]:
    return [item for item in node if isinstance(item, Scalar)] if isinstance(node, Sequence) else []


def replaced(node: Node, old: Scalar, new: Scalar) -> Node:
    if node is old:
        return new
    if isinstance(node, Sequence):
        return Sequence(tuple(replaced(item, old, new) for item in node), node.span)
    if isinstance(node, Mapping):
        return Mapping(tuple(Entry(e.key, e.key_span, replaced(e.value, old, new)) for e in node), node.span)
    return node


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_reference_broken_is_told_at_its_place(path: Path) -> None:
    document = read(path)
    for reference in references(document):
        name = str(reference.value).partition(".")[0]
        wrong = Scalar(f"{name}x", reference.span, f"{name}x")
        broken = replaced(document, reference, wrong)
        assert isinstance(broken, Mapping)
        diagnostics = Diagnostics()
        assert plan_architecture(broken, diagnostics) is None
        (item,) = [item for item in diagnostics.errors if item.code == "undefined-reference"]
        assert item.span == reference.span
        assert name in str(item.help)
