"""`max_lr: find`: the LR range test before a run, and its number put where `find` stood. Floor 7.

The test has objects of its own, built from the same recipe; afterwards everything is built anew from the recipe
with the number in it. So what follows is what would follow had the number been written by hand. What was found is
kept in the user's cache, and taken from there where the test would come out the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from zoo.assemble.activation_checkpointing import checkpoint_as_said
from zoo.assemble.build import Foundation, lay_foundation, refuse_single_images, with_image_sizes, with_teacher
from zoo.assemble.check import Checked, recheck
from zoo.assemble.options import RunOptions
from zoo.assemble.plugins import any_loaded
from zoo.assemble.range_test_cache import KeptRangeTest, dependencies, range_test_of
from zoo.assemble.resolve import with_document
from zoo.data import Dataset
from zoo.data.progressive import by, resized
from zoo.diagnostics import Diagnostics, Say, Source, Span
from zoo.disk import read_mapping, write_atomically
from zoo.document import Entry, Mapping, Node, Scalar, Sequence, text_of
from zoo.layout import RANGE_TEST
from zoo.models import parameter_depths
from zoo.optim import FindSettings, LRRangeTest, Optimization, lr_range_test
from zoo.train.console import clock
from zoo.train.ranks import Ranks
from zoo.train.runtime import machine_faults
from zoo.train.step import apply_gradients
from zoo.train.training import objective

FOUND = Span(Source("found by the LR range test"), 1, 1, 1, 1)
FIND_KEYS = ("lr", "max_lr")
PROGRESS_SECONDS = 5.0  # between two lines


@dataclass(frozen=True)
class Found:
    """A range test, and the rate that was taken from it.

    ``kept`` is its file in the cache, where it is kept; ``is_new`` says whether it ran now.
    """

    range_test: LRRangeTest
    lr: float
    kept: Path | None = None
    is_new: bool = False

    def as_facts(self) -> dict[str, Any]:
        """What env.json says of it."""
        return {
            "lr": self.lr,
            "rule": self.range_test.rule,
            "ran_now": self.is_new,
            "kept": self.kept and str(self.kept),
        }


def save_range_test(folder: Path, found: Found) -> None:
    """Keeps the test's figures in the run folder, so that a resumed run can show them too."""
    write_atomically(folder / RANGE_TEST, json.dumps(asdict(found.range_test)) + "\n")


def saved_range_test(folder: Path) -> Found | None:
    """The test that a run began with, or None."""
    try:
        test = range_test_of(read_mapping(folder / RANGE_TEST))
    except (TypeError, KeyError):  # without it the report lacks a figure, no more
        return None
    return Found(test, test.chosen)


def find_and_set(checked: Checked, dataset: Dataset, options: RunOptions, note: Say) -> tuple[Checked, Found | None]:
    """Runs the range test where the recipe asks for it, and puts the number it found into the recipe."""
    if not checked.optimization.finds_lr:
        return checked, None
    find = partial(run_range_test, checked, dataset, options.device, note, cache=options.cache)
    found = _of_first_rank(find, options.ranks)
    return with_lr(checked, found.lr), found


def _of_first_rank(find: Callable[[], Found], ranks: Ranks) -> Found:
    """Of several ranks the first runs the test, on whole batches: its outcome is that of one device."""
    if ranks.is_alone:
        return find()

    def tell() -> dict[str, Any]:
        found = find()
        return {**asdict(found), "kept": found.kept and str(found.kept)}

    facts = ranks.told(tell)
    kept = facts["kept"] and Path(facts["kept"])
    return Found(range_test_of(facts["range_test"]), facts["lr"], kept, facts["is_new"])


def run_range_test(
    checked: Checked,
    dataset: Dataset,
    device: str,
    note: Say,
    *,
    cache: bool = True,
    tell_of: Say = lambda text: None,
) -> Found:
    """The LR range test of a recipe on one device, in isolation; from the ``cache`` where it was run before.

    ``tell_of`` gets what there is to say of data and weights, which a training that follows says itself.
    Raises what :func:`lay_foundation` and :func:`refuse_single_images` raise.
    """
    base = with_image_sizes(lay_foundation(checked, dataset, device), checked)
    base = with_teacher(base, checked, dataset)
    for line in base.notes:
        tell_of(line)
    refuse_single_images(checked.resolved, base)
    checkpoint_as_said(checked.resolved, base.module)
    optimization = checked.optimization.build_for_range_test(base.module, Diagnostics(), parameter_depths)
    if any_loaded():  # a plugin's code could change what it does
        return _ran(checked, base, optimization, note)
    kept = KeptRangeTest(dependencies(checked, dataset, base, optimization), note)
    known = kept.read() if cache else None
    if known is not None:
        known = known.by(checked.optimization.find_settings.rule)
        note(f"LR range test: {known.chosen:.6g} ({known.rule}), run before and kept in {kept.path}")
        _doubt(known, note)
        return Found(known, known.chosen, kept.path)
    found = _ran(checked, base, optimization, note)
    return replace(found, kept=kept.path if kept.write(found.range_test) else None)


def _ran(checked: Checked, base: Foundation, optimization: Optimization, note: Say) -> Found:
    settings, forward = checked.optimization.find_settings, base.runtime.forward(base.module)
    images, minimised = base.runtime.images, objective(base.loss, base.distillation)
    train, size = checked.recipe.train, base.image_sizes[0] if base.image_sizes else None
    note(
        f"LR range test: at most {settings.steps} steps of {checked.data.batch_size * train.accumulate} images, "
        f"learning rate {settings.start_lr:g} to {settings.end_lr:g}"
        + (f", of {by(size)} as in the first epoch" if size else "")
    )
    with machine_faults(checked.data.batch_size, train.accumulate), base.runtime.tuned(train):
        test = lr_range_test(
            base.module,
            base.loss,
            optimization,
            base.train,
            settings,
            objective=lambda output, labels, images_BCHW: minimised(output, labels, images(images_BCHW)),
            forward=lambda images_BCHW: forward(resized(images(images_BCHW), size)),
            backward=base.runtime.fabric.backward,
            update=lambda: apply_gradients(base.runtime, base.module, optimization, train.grad_clip),
            accumulate=train.accumulate,
            on_step=_progress(settings, note),
        )
    note(f"LR range test: {test.chosen:.6g} ({test.rule})")
    _doubt(test, note)
    return Found(test, test.chosen, is_new=True)


def _doubt(test: LRRangeTest, note: Say) -> None:
    if not test.falls:
        note("warning: no learning rate made the loss fall in the LR range test: better write one by hand")


def _progress(settings: FindSettings, note: Say) -> Callable[[int, float, float], None]:
    """Tells how far the test is, every tenth of its steps and at most every few seconds."""
    began = told = time.monotonic()

    def on_step(steps: int, lr: float, loss: float) -> None:
        nonlocal told
        now = time.monotonic()
        if steps % max(1, settings.steps // 10) or now - told < PROGRESS_SECONDS:
            return
        told, left = now, (now - began) / steps * (settings.steps - steps)
        note(f"LR range test: step {steps}/{settings.steps}  loss {loss:.4f}  lr {lr:.4g}  at most {clock(left)} left")

    return on_step


def with_lr(checked: Checked, lr: float) -> Checked:
    """The recipe with this rate wherever `lr: find` or `max_lr: find` stands. Raises ConfigError."""
    document = _replaced(checked.resolved.document, lr)
    assert isinstance(document, Mapping)
    return recheck(with_document(checked.resolved, document))


def _says_find(node: Node) -> bool:
    """Whether a value is ``find``, or ``{find: {…}}`` with the test's settings."""
    if isinstance(node, Mapping):
        return node.keys == ("find",)
    return text_of(node) == "find"


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
