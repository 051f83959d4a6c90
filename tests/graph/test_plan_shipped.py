"""The shipped architectures: the counts they state, and every single key and reference of theirs, mistyped."""

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
WITHOUT_A_COUNT = {"tiny_resnet"}  # every other file's doc line states one


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
    stated = re.findall(r"([\d,]+) parameters", plan.doc)
    assert stated == ([] if path.stem in WITHOUT_A_COUNT else [f"{parameter_count(plan):,}"])
    trainable = re.findall(r"([\d,]+) trainable", plan.doc)
    assert trainable in ([], [f"{trainable_count(plan):,}"])


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
