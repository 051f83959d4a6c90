"""The runs of one recipe: numbered folders side by side. Floor 7; imports nothing of the rest.

The link `latest` is for people. It may hang (its run was removed) or lag (two runs began at once), so nothing is read
through it.
"""

from __future__ import annotations

from pathlib import Path

from zoo.assemble.layout import RESOLVED


def numbered(series: Path) -> list[Path]:
    """The folders that runs made there, first to last; a copy under another name is none."""
    found = (path for path in series.glob("[0-9]*") if path.name.isdecimal() and path.is_dir())
    return sorted(found, key=lambda path: int(path.name))


def newest_run(series: Path) -> Path | None:
    """The last run there; one that failed before its first checkpoint only where there is no other."""
    begun = [path for path in numbered(series) if (path / RESOLVED).is_file()]
    trained = [path for path in begun if (path / "checkpoints" / "last").is_dir()]
    return next(reversed(trained or begun), None)
