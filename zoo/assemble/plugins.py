"""Plugins: Python files and installed packages that register own ops, transforms and sources. Floor 7.

A plugin is code that the user chose to run, by ``--plugin FILE.py`` or by installing a package with an entry
point in the group ``zoo.plugins``; no YAML file can name one.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path

from zoo.errors import UsageError, ZooError

GROUP = "zoo.plugins"
_loaded: set[str] = set()


def load_plugins(files: Iterable[Path] = ()) -> None:
    """Imports what is installed under the entry point, then these files; each once. Raises UsageError."""
    for point in entry_points(group=GROUP):
        if point.value not in _loaded:
            _loaded.add(point.value)
            _guarded(point.name, point.load)
    for path in files:
        key = str(path.resolve())
        if key not in _loaded:
            _loaded.add(key)
            _guarded(str(path), lambda path=path: _run_file(path))


def _guarded(name: str, load) -> None:  # type: ignore[no-untyped-def]
    try:
        load()
    except ZooError:
        raise
    except Exception as error:
        raise UsageError(
            f"the plugin {name} fails: {type(error).__name__}: {error}",
            code="plugin",
            help="run it with python to see its traceback",
        ) from error


def _run_file(path: Path) -> None:
    if not path.is_file():
        raise UsageError(f"there is no plugin {path}", code="plugin")
    name = f"zoo_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file", code="plugin", help="a plugin's name ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
