"""Any single mutation of any shipped file is a valid file or a clean message: row 2, and what stands below the rows."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.conftest import Zoo
from tests.acceptance.mutation_world import RECIPES, SHIPPED, Mutation, mistyped, mutations

SEED = 20261120


def judged(mutation: Mutation, zoo: Zoo, *options: str) -> int:
    """The exit status of `zoo check`: 0, or 2 with a message that has its place and no traceback."""
    Path(mutation.file).write_text(mutation.text)
    outcome = zoo("check", mutation.file, *options)
    assert outcome.out == "", mutation
    assert "Traceback" not in outcome.err, mutation
    assert outcome.status in (0, 2), f"{mutation}\n{outcome.err}"
    if outcome.status == 2:
        assert outcome.err.startswith(("error[", "warning[")), mutation
        assert " --> " in outcome.err, mutation
    Path(mutation.file).unlink()
    return outcome.status


def sweep(number: int, seed: int, zoo: Zoo) -> Counter[int]:
    chosen = random.Random(seed)
    every = [mutation for path in SHIPPED for mutation in mutations(path)]
    return Counter(judged(mutation, zoo) for mutation in chosen.sample(every, number))


def test_a_few_hundred_mutations(here: Path, zoo: Zoo) -> None:
    statuses = sweep(200, SEED, zoo)
    assert statuses[2] > 100
    assert statuses[0] > 10  # the control: not everything is refused


@pytest.mark.slow
def test_many_mutations(here: Path, zoo: Zoo) -> None:
    assert sweep(1500, SEED + 1, zoo)[2] > 1000


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_mistyped_key_of_a_recipe_is_told_with_what_was_meant(path: Path, here: Path, zoo: Zoo) -> None:
    for key, mutation in mistyped(path):
        Path(mutation.file).write_text(mutation.text)
        outcome = zoo("check", mutation.file)
        assert outcome.status == 2, mutation
        assert f"{key}x" in outcome.err, f"{mutation}\n{outcome.err}"
        assert f"did you mean {key}" in outcome.err or f" {key}" in outcome.err.partition("help:")[2], (
            f"{mutation}\n{outcome.err}"
        )
        places = [line for line in outcome.err.splitlines() if f"--> {mutation.file}:" in line]
        lines = [mutation.text.splitlines()[int(place.rsplit(":", 2)[1]) - 1] for place in places]
        assert any(f"{key}x" in line for line in lines), f"{mutation}\n{outcome.err}"
