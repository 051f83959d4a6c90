"""Any single mutation of a section that is right gives another that can be built, or messages with places."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.optim.conftest import small_net
from tests.optim.rates import preview, with_lr
from tests.optim.test_running import RECIPES
from zoo.diagnostics import Diagnostics, Source, Span
from zoo.document import from_data
from zoo.errors import ConfigError
from zoo.optim import parse_optimization

MORE = {
    "find": "optimizer: {name: Adam, lr: {find: {rule: steep, steps: 20}}}\nschedule: CosineAnnealingLR",
    "cyclic": "optimizer: {name: SGD, momentum: 0.9}\nschedule: {name: CyclicLR, base_lr: 0.01, max_lr: 0.1,"
    " step_size_up: 5}",
    "annihilation": "optimizer: {name: Adam, groups: [{kind: bias, lr_scale: 2, freeze: {until: 1}}]}\n"
    "schedule: {name: OneCycleLR, max_lr: 0.1, peak_epoch: 2, annihilation: false, interval: epoch}",
    "warm_restarts": "optimizer: {name: SGD, lr: 1}\nschedule: {name: CosineAnnealingWarmRestarts, T_0: 2, T_mult: 2}",
}
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 1.5, 1e308, 10**12, float("nan"), "x", "find", "", [], [1, 2], {}, {"name": "SGD"},
)  # fmt: skip
HERE = Span(Source("recipe.yaml", ""), 1, 1, 1, 1)


def mutations(value: Any) -> Iterator[Any]:
    """Copies of a tree, each with one value replaced, or one key dropped, doubled or misspelt."""
    if isinstance(value, dict):
        for key in value:
            yield {k: v for k, v in value.items() if k != key}
            yield {(k + "x" if k == key else k): v for k, v in value.items()}
            for changed in mutations(value[key]):
                yield {**value, key: changed}
    elif isinstance(value, list):
        yield value + value
        for index, item in enumerate(value):
            for changed in mutations(item):
                yield [*value[:index], changed, *value[index + 1 :]]
    yield from copy.deepcopy(ODD)


def outcome(document: Any) -> str:
    """``told`` or ``built``; whatever else is raised is a bug."""
    if not isinstance(document, dict) or document.get("optimizer") is None:
        return "told"
    diagnostics = Diagnostics()
    schedule = from_data(document["schedule"], HERE) if document.get("schedule") is not None else None
    spec = parse_optimization(from_data(document["optimizer"], HERE), schedule, diagnostics)
    if spec is None:
        assert diagnostics.errors
        assert all(item.span is not None for item in diagnostics)
        return "told"
    try:
        spec.check(8, diagnostics)
        with_lr(spec, 0.1).build(small_net(), steps_per_epoch=2, epochs=8, diagnostics=diagnostics)
        preview(spec, steps_per_epoch=2, epochs=8)
    except ConfigError:
        return "told"
    return "built"


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RECIPES, *MORE])
def test_a_mutation_is_built_or_told(name: str) -> None:
    document = yaml.safe_load({**RECIPES, **MORE}[name])
    assert outcome(document) == "built"
    outcomes = [outcome(changed) for changed in mutations(document)]
    assert outcomes.count("told") > 10
    assert outcomes.count("built") > 3
