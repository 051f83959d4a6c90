"""Which of the runs of one recipe counts. Floor 7; imports nothing of the rest.

The link `latest` is for people. It may hang (its run was removed) or lag (two runs began at once), so nothing is read
through it.
"""

from __future__ import annotations

from pathlib import Path

from zoo.layout import CHECKPOINTS, LAST, is_dir, is_run, numbered


def newest_run(series: Path) -> Path | None:
    """The last run there; one that failed before its first checkpoint only where there is no other."""
    begun = [path for path in (numbered(series) if is_dir(series) else ()) if is_run(path)]
    trained = [path for path in begun if (path / CHECKPOINTS / LAST).is_dir()]
    return next(reversed(trained or begun), None)
