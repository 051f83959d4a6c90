"""An epoch ahead: the same values, asked for once each where epochs follow each other."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.data.test_batches import batches, noise
from zoo.data.ahead import Ahead
from zoo.data.resident import BatchedRenderer


def test_epochs_in_a_row_are_computed_once_each() -> None:
    asked: Counter[int] = Counter()

    def square(epoch: int) -> int:
        asked[epoch] += 1
        return epoch**2

    ahead = Ahead(square)
    assert [ahead(epoch) for epoch in (1, 2, 3)] == [1, 4, 9]
    assert [ahead(epoch) for epoch in (7, 7, 2)] == [49, 49, 4]  # any other order is only slower
    ahead._thread.shutdown()
    assert asked == Counter({1: 1, 2: 2, 3: 2, 4: 1, 7: 2, 8: 1})


def test_an_error_comes_where_its_epoch_is_asked_for() -> None:
    def fails_at_two(epoch: int) -> int:
        if epoch == 2:
            raise MemoryError("no room")
        return epoch

    ahead = Ahead(fails_at_two)
    assert ahead(1) == 1
    with pytest.raises(MemoryError, match="no room"):
        ahead(2)
    assert ahead(3) == 3


@pytest.mark.parametrize("drawn", [{}, {"sampling": "balanced", "repeats": 2}])
def test_batches_drawn_ahead_are_the_same_and_end_with_their_last_reference(drawn: dict[str, Any]) -> None:
    plain, ahead = (batches(noise(60), "[Normalize, MixUp]", batch_size=20, **drawn) for _ in range(2))
    renderer = ahead.renderer
    assert isinstance(renderer, BatchedRenderer)
    ahead, renderer._drawn = replace(ahead, order=Ahead(ahead.order)), Ahead(renderer._drawn)
    for epoch in (1, 2, 5):
        first, second = (list(made.epoch(epoch)) for made in (plain, ahead))
        assert [batch.indices.tolist() for batch in first] == [batch.indices.tolist() for batch in second]
        assert all(torch.equal(one.images, other.images) for one, other in zip(first, second, strict=True))
    del first, second
    gone = weakref.ref(ahead), weakref.ref(renderer)
    gc.disable()
    try:
        del ahead, renderer
        assert [each() for each in gone] == [None, None]
    finally:
        gc.enable()
