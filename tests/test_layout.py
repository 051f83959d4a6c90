"""Which folders count as runs, and in which order."""

from __future__ import annotations

from pathlib import Path

from zoo.layout import numbered


def test_the_runs_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("10000", "9999", "0002", "0002-copy", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "0003").touch()  # a file
    (tmp_path / "latest").symlink_to("10000", target_is_directory=True)
    assert [path.name for path in numbered(tmp_path)] == ["0002", "9999", "10000"]
    assert numbered(tmp_path / "none") == []
