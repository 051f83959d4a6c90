"""Which folders count as runs, and in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zoo.layout import numbered


def test_the_runs_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("10000", "9999", "0002", "0002-copy", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "0003").touch()  # a file
    (tmp_path / "latest").symlink_to("10000", target_is_directory=True)
    assert [path.name for path in numbered(tmp_path)] == ["0002", "9999", "10000"]
    assert numbered(tmp_path / "none") == []


def test_a_folder_of_somebody_elses_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("0001", "0002"):
        (tmp_path / name).mkdir()
    stat = Path.stat

    def refused(path: Path, **given: Any) -> Any:
        if path.name == "0001":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **given)

    monkeypatch.setattr(Path, "stat", refused)
    assert [path.name for path in numbered(tmp_path)] == ["0002"]
