"""Stratified splits: of each class a share, found in one pass over the labels."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zoo.data.draws import permutation
from zoo.data.splitting import stratified


@given(st.lists(st.integers(-1, 5), max_size=40), st.floats(0.01, 0.99), st.integers(0, 3))
def test_what_is_held_out_is_what_looking_class_by_class_holds_out(numbers: list[int], share: float, key: int) -> None:
    labels = np.array(numbers, dtype=np.int64)
    shuffled = permutation(len(labels), key)
    expected: set[int] = set()
    for label in set(numbers):
        members = [index for index in shuffled.tolist() if labels[index] == label]
        most = len(members) - 1
        expected |= set(members[: min(max(round(share * len(members)), min(1, most)), most)])
    kept, held = stratified(labels, share, key)
    assert held.tolist() == sorted(expected)
    assert kept.tolist() == sorted(set(range(len(labels))) - expected)
