"""The top of the page: the result, whether the target was met, and the figures people ask for first. Floor 6."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from zoo.diagnostics import Diagnostics, counted, duration, few_digits, percent
from zoo.document import read_text, text_of
from zoo.report.folder import Run
from zoo.summary import human_count
from zoo.train.result import verdicts

TOP5_FROM = 20  # classes: of fewer the true one is nearly always among the five likeliest


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure with its label, and a note in small print."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Chip:
    """A verdict: ``kind`` is met, missed or plain."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Headline:
    """``score`` is in per cent with two decimals; empty where the run was never tested."""

    title: str
    doc: str
    score: str
    score_of: str
    chips: list[Chip] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)


def headline(run: Run) -> Headline:
    """What the top of the page says. Of an unfinished run, its last test."""
    test: dict[str, Any] = run.result.get("test") or next(
        (line["test"] for line in reversed(run.epochs) if line.get("test")), {}
    )
    accuracy = test.get("accuracy")
    samples = len(run.predictions["labels"]) if run.predictions else 0
    of_what = f"test accuracy, {samples:,} images" if samples else "test accuracy"
    if interval := test.get("accuracy_interval"):
        low, high = (f"{100 * bound:.2f}" for bound in interval)
        of_what += f"; 95 % interval {low} to {high} %"
    chips = list(_verdicts(run.result, test)) or [Chip("plain", "no target was set")]
    if not run.result:
        chips = [Chip("plain", f"unfinished: {counted(len(run.epochs), 'epoch')} so far")]
    elif run.went_on:
        done = few_digits(run.result.get("epochs", 0))
        chips = [Chip("plain", f"unfinished: {counted(len(run.epochs), 'epoch')} so far; the result is that of {done}")]
    return Headline(run.name, _doc(run), percent(accuracy, ""), of_what, chips, list(_tiles(run, test)))


def _verdicts(result: dict[str, Any], test: dict[str, Any]) -> Iterator[Chip]:
    for verdict in verdicts(result.get("target") or {}, test):
        with_tta = " with test-time augmentation" if verdict.name.endswith("_tta") else ""
        what = f"target of {100 * verdict.bar:g} %{with_tta}"
        if verdict.reached is None:
            yield Chip("missed", f"✗ {what}: not measured")
        elif verdict.is_met:
            yield Chip("met", f"✓ {what}: met")
        else:
            yield Chip("missed", f"✗ {what}: missed by {_points(verdict.bar - verdict.reached)} points")


def _points(fraction: float) -> str:
    """Per cents with two decimals, or as many as it takes to tell them from nothing."""
    return f"{100 * fraction:.2f}" if fraction >= 0.00005 else f"{100 * fraction:.1g}"


def _tiles(run: Run, test: dict[str, Any]) -> Iterator[Tile]:
    result, train = run.result, run.result.get("train") or {}
    if test.get("accuracy_tta") is not None:
        yield Tile("with test-time augmentation", percent(test["accuracy_tta"]))
    if test.get("accuracy_top5") is not None and len(run.classes) >= TOP5_FROM:
        yield Tile("top-5 accuracy", percent(test["accuracy_top5"]))
    if best := result.get("best"):
        split = "validation" if any(line.get("validation") for line in run.epochs) else "test"
        yield Tile(f"best {split} accuracy", percent(best.get("accuracy")), f"epoch {best.get('epoch')}")
    if train.get("accuracy") is not None:
        yield Tile("training accuracy", percent(train["accuracy"]), f"loss {train['loss']:.4f}")
    if test.get("loss") is not None:
        yield Tile("test loss", f"{test['loss']:.4f}")
    if result.get("params") is not None:
        yield Tile("parameters", f"{result['params']:,}", str(result.get("model") or ""))
    if result.get("epochs") is not None:
        steps = f", {result['steps']:,} steps" if "steps" in result else ""
        early = ", stopped early" if result.get("stopped_early") else ""
        yield Tile("epochs", few_digits(result["epochs"]), f"seed {result.get('seed')}{steps}{early}")
    yield from _costs(run)


def _costs(run: Run) -> Iterator[Tile]:
    """Time and speed, and on what: without the machine neither says anything."""
    result, environment = run.result, run.environment
    seconds = result.get("seconds") or {}
    if seconds.get("total") is not None:
        yield Tile("time", duration(seconds["total"]), f"{duration(seconds.get('train') or 0)} in training steps")
    if result.get("images_per_second"):
        yield Tile("speed", f"{human_count(result['images_per_second']).strip()} images/s", "median training step")
    if result.get("device"):
        name = (environment.get("device") or {}).get("name") or result["device"]
        cpus = (environment.get("threads") or {}).get("cpus")
        threads = f", {cpus} CPUs" if cpus and result["device"] == "cpu" else ""
        yield Tile("machine", _plain(name), f"{result['device']}{threads}, {result.get('precision', '')}")
    if versions := environment.get("versions"):
        commit = ((environment.get("git") or {}).get("commit") or "")[:7]
        known = [f"{name} {versions[name]}" for name in ("torch", "zoo") if versions.get(name)]
        yield Tile("software", ", ".join(known[:1]), ", ".join([*known[1:], *([f"commit {commit}"] if commit else [])]))


def _plain(name: str) -> str:
    """A processor's name without its trademarks: ``Intel Xeon @ 2.50GHz``."""
    return " ".join(re.sub(r"\((R|TM)\)|\b(CPU|Processor)\b", " ", str(name)).split())


def _doc(run: Run) -> str:
    """The recipe's own sentence about itself; empty where it has none, or its file is damaged."""
    document = read_text(run.resolved or run.recipe, Diagnostics())
    doc = text_of(document.get("doc")) if document is not None else None
    return (doc or "").replace("$$", "$")  # as recipes write a dollar sign
