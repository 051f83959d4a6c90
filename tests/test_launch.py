"""Which place a process has among those that train together."""

from __future__ import annotations

import pytest

from zoo.launch import announced

_TORCHRUN = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1"}


def _given(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name in _TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_the_place_that_torchrun_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    _given(monkeypatch, _TORCHRUN)
    place = announced()
    assert (place.rank, place.count, place.local_rank) == (3, 8, 1)
    assert (place.is_alone, place.is_first) == (False, False)
    monkeypatch.setenv("RANK", "0")
    assert announced().is_first


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"RANK": "1", "WORLD_SIZE": "2"},  # some other program's
        {**_TORCHRUN, "MASTER_PORT": ""},
        {**_TORCHRUN, "RANK": "0", "WORLD_SIZE": "1"},
        {**_TORCHRUN, "WORLD_SIZE": "two"},
    ],
)
def test_alone_where_no_others_are_announced(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    _given(monkeypatch, variables)
    place = announced()
    assert (place.rank, place.count, place.is_alone, place.is_first) == (0, 1, True, True)
