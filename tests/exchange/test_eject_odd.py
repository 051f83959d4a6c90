"""Networks that are ejected rarely: loops in loops, tensors without sizes, blocks that give more or fewer values."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exchange.test_eject import assert_clean, assert_twins, plan_text
from zoo.exchange.eject import eject

GROWING = """
name: growing
input: [8, 8, 8]
layers:
  dense:
    repeat: 3
    layers:
      - {op: Conv2d, repeat: 3, kernel_size: 1, out_channels: $(input.channels + 8 * (i + 1))}
"""

GROWING_BY_PARAMS = """
name: growing
input: [8, 8, 8]
blocks:
  Dense:
    params: {j: 8, k: 1}
    layers:
      list:
        repeat: $k
        layers:
          - {op: Conv2d, repeat: 3, kernel_size: 1, out_channels: $(input.channels + j * (i + 1))}
layers:
  a: {op: Dense, k: 3}
  b: {op: Dense, j: 4, k: 4}
"""


@pytest.mark.parametrize("yaml", [GROWING, GROWING_BY_PARAMS])
def test_a_loop_in_a_loop_has_an_index_of_its_own(yaml: str, tmp_path: Path) -> None:
    plan = plan_text(yaml)
    text = eject(plan)
    assert text.count(" in range(") == 2
    assert_twins(plan, text)
    assert_clean(text, tmp_path)
