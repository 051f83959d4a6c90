"""Where data sets are looked for, and the message where none was found. Floor 2; no torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from zoo.diagnostics import Span
from zoo.errors import DataError, UsageError
from zoo.registry import meant, offer

DATA_VARIABLE = "ZOO_DATA"
CACHE_VARIABLE = "ZOO_CACHE"


def expanded(path: Path | str, named: str, span: Span | None = None) -> Path:
    """A path with the home folder where ``~`` or ``~user`` stands. Raises UsageError where there is no such user.

    ``named`` says what the path was given as, ``span`` where.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"{named}: the home folder of {Path(path).parts[0]} is not known", span=span, help="write the whole path"
        ) from error


def user_cache() -> Path:
    """What may be lost and made again: ``$ZOO_CACHE``, else ``$XDG_CACHE_HOME/zoo``, else ``~/.cache/zoo``."""
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return expanded(own, f"${CACHE_VARIABLE}")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zoo"


def cache_folder() -> Path:
    """The user's cache for data sets, ``data`` in :func:`user_cache`."""
    return user_cache() / "data"


@dataclass(frozen=True)
class Places:
    """The places to look in, first to last: ``--data-dir``, ``$ZOO_DATA``, ``known``, ``./data``, the cache.

    ``known`` is the folder where a run found its data before. ``beside`` is the folder of the file that names a path.
    ``skip_corrupt`` is how many corrupt images may be left out; ``quiet`` has downloads show no progress;
    ``may_lack_test`` says that a data set without a test split will do: its split is empty then.
    """

    data_dir: Path | None = None
    known: Path | None = None
    beside: Path | None = None
    skip_corrupt: int = 0
    quiet: bool = False
    may_lack_test: bool = False

    @property
    def roots(self) -> tuple[tuple[str, Path], ...]:
        """Each place's name and path."""
        known = [] if self.known is None else [("where the run found it before", self.known)]
        return (*self._named, *known, *self._unnamed)

    @property
    def _unnamed(self) -> tuple[tuple[str, Path], ...]:
        return ("./data", Path("data")), ("the cache", cache_folder())

    @property
    def _named(self) -> list[tuple[str, Path]]:
        named = [("--data-dir", expanded(self.data_dir, "--data-dir"))] if self.data_dir is not None else []
        variable = os.environ.get(DATA_VARIABLE)
        name = f"${DATA_VARIABLE}"
        return [*named, (name, expanded(variable, name))] if variable else named

    def folders(self, *names: str) -> Iterator[Path]:
        """Every folder that exists: in each root the folders of these names, then the root itself."""
        for _, root in self.roots:
            for folder in (*(root / name for name in names), root):
                if folder.is_dir():
                    yield folder

    def candidates(self, path: str | None) -> list[Path]:
        """The folders that a ``path`` in a recipe may mean.

        It may lie below each place, beside the file that names it, or below the working folder.
        """
        own = expanded(path or "", "data.path")
        named, unnamed = ([root / own for _, root in roots] for roots in (self._named, self._unnamed))
        known = [] if self.known is None else [self.known]
        beside = [] if path is None or self.beside is None else [self.beside / own]
        here = [] if path is None else [own]
        return list({folder.absolute(): folder for folder in (*named, *known, *unnamed, *beside, *here)}.values())

    def find(self, path: str | None, holds: Callable[[Path], object], missing: str) -> Path:
        """The first of the :meth:`candidates` that ``holds`` data. Raises DataError with the message ``missing``."""
        candidates = self.candidates(path)
        for folder in candidates:
            if holds(folder):
                return folder
        looked = [f"looked at {folder.absolute()}" + ", not there" * (not folder.exists()) for folder in candidates]
        if path is None:
            help = "name their folder with data.path or --data-dir; `zoo run quickstart` needs no data set"
        else:
            help = _near(candidates) or "mend data.path, or name the folder that it lies in with --data-dir"
        raise DataError(missing, code="data-not-found", notes=looked, help=help)

    @property
    def home(self) -> Path:
        """Where a download goes: ``--data-dir`` or ``$ZOO_DATA`` where given, else the cache."""
        return next((path for _, path in self._named), cache_folder())

    def looked(self) -> list[str]:
        """The places as lines for a message."""
        return [f"looked in {path.absolute()} ({name})" for name, path in self.roots]


def _near(folders: Iterable[Path]) -> str | None:
    """The folder that may have been meant by one of those that are not there."""
    for folder in folders:
        beside = [] if folder.exists() or not folder.parent.is_dir() else sorted(folder.parent.iterdir())
        names = meant(folder.name, [path.name for path in beside if path.is_dir()])
        if names:
            return offer(str(folder.parent / name) for name in names)
    return None
