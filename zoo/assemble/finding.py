"""`max_lr: find`: the LR range test before a run, and its number put where `find` stood. Floor 7.

The test has objects of its own, built from the same recipe; afterwards everything is built anew from the recipe
with the number in it. So what follows is what would follow had the number been written by hand.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from zoo.assemble.build import lay_foundation
from zoo.assemble.check import Parts, recheck
from zoo.assemble.layout import RANGE_TEST
from zoo.assemble.options import Note, RunOptions
from zoo.assemble.resolve import Resolved
from zoo.data import Dataset
from zoo.diagnostics import Diagnostics, Source, Span
from zoo.document import Entry, Mapping, Node, Scalar, Sequence
from zoo.errors import raise_if_errors
from zoo.optim import LRRangeTest, lr_range_test
from zoo.schema.check import validate
from zoo.schema.recipe import Recipe
from zoo.train.folder import write_atomically

FOUND = Span(Source("found by the LR range test"), 1, 1, 1, 1)
FIND_KEYS = ("lr", "max_lr")


@dataclass(frozen=True)
class Found:
    """The range test that ran, and the rate that was taken from it."""

    range_test: LRRangeTest
    lr: float


def save_range_test(folder: Path, found: Found) -> None:
    """Keeps the test's figures in the run folder, so that a resumed run can show them too."""
    write_atomically(folder / RANGE_TEST, json.dumps(asdict(found.range_test)) + "\n")


def saved_range_test(folder: Path) -> Found | None:
    """The test that a run began with, or None."""
    try:
        data: Any = json.loads((folder / RANGE_TEST).read_text(encoding="utf-8"))
        curves: Any = {key: tuple(data.pop(key)) for key in ("lrs", "losses", "raw_losses")}
        test = LRRangeTest(**curves, **data)
    except (OSError, ValueError, TypeError, KeyError):  # without it the report lacks a figure, no more
        return None
    return Found(test, test.chosen)


def find_and_set(
    resolved: Resolved, parts: Parts, dataset: Dataset, options: RunOptions, note: Note
) -> tuple[Resolved, Parts, Found | None]:
    """Runs the range test where the recipe asks for it, and puts the number it found into the recipe."""
    if not parts.optimization.finds_lr:
        return resolved, parts, None
    note("LR range test")
    found = run_range_test(resolved, parts, dataset, options)
    note(f"LR range test: {found.lr:.6g} ({found.range_test.rule})")
    resolved = with_lr(resolved, found.lr)
    return resolved, recheck(resolved), found


def run_range_test(resolved: Resolved, parts: Parts, dataset: Dataset, options: RunOptions) -> Found:
    """The LR range test of a recipe, in isolation."""
    base = lay_foundation(resolved, parts, dataset, options)
    optimization = parts.optimization.build_for_range_test(base.module, Diagnostics())
    forward = base.runtime.forward(base.module)
    test = lr_range_test(
        base.module,
        base.loss,
        optimization,
        base.train,
        parts.optimization.find_settings,
        forward=lambda images_BCHW: forward(base.runtime.images(images_BCHW)),
    )
    return Found(test, test.chosen)


def with_lr(resolved: Resolved, lr: float) -> Resolved:
    """The recipe with this rate wherever `lr: find` or `max_lr: find` stands."""
    document = _replaced(resolved.document, lr)
    assert isinstance(document, Mapping)
    diagnostics = Diagnostics()
    recipe = validate(Recipe, document, diagnostics, what="")
    raise_if_errors(diagnostics)
    assert recipe is not None
    return replace(resolved, document=document, recipe=recipe)


def _says_find(node: Node) -> bool:
    """Whether a value is ``find``, or ``{find: {…}}`` with the test's settings."""
    if isinstance(node, Mapping):
        return node.keys == ("find",)
    return isinstance(node, Scalar) and node.value == "find"


def _replaced(node: Node, lr: float) -> Node:
    if isinstance(node, Sequence):
        return Sequence(tuple(_replaced(item, lr) for item in node), node.span)
    if not isinstance(node, Mapping):
        return node
    entries = []
    for entry in node:
        is_find = entry.key in FIND_KEYS and _says_find(entry.value)
        value = Scalar(lr, FOUND, repr(lr)) if is_find else _replaced(entry.value, lr)
        entries.append(Entry(entry.key, entry.key_span, value))
    return Mapping(tuple(entries), node.span)
