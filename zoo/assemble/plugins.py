"""Plugins: Python files and installed packages that register own ops, transforms and sources. Floor 7.

A plugin is code that the user chose to run, by ``--plugin FILE.py`` or by installing a package with an entry
point in the group ``zoo.plugins``; no YAML file can name one.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from zoo.errors import UsageError, ZooError
from zoo.layout import is_file

GROUP = "zoo.plugins"
_loaded: set[str] = set()
_files: list[Path] = []  # those among them


def load_plugins(files: Iterable[Path] = ()) -> None:
    """Imports what is installed under the entry point, then these files; each once. Raises UsageError."""
    for point in _installed(tuple(sys.path)):
        if point.value not in _loaded:
            _loaded.add(point.value)
            _guarded(point.name, point.load)
    for path in files:
        key = str(path.resolve())
        if key not in _loaded:
            _loaded.add(key)
            _guarded(str(path), partial(_run_file, path))
            _files.append(path.resolve())


@cache
def _installed(path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """The packages' entry points: every distribution on the path is read for them, which takes a while."""
    return tuple(entry_points(group=GROUP))


def reload_elsewhere() -> Callable[[], None]:
    """Brings what is loaded here into another process: a call that can be pickled."""
    return partial(load_plugins, tuple(_files))


def plugin_files() -> tuple[Path, ...]:
    """The files that are loaded, for a command line that does the same again."""
    return tuple(_files)


def any_loaded() -> bool:
    """Whether code is at work that zoo knows nothing of."""
    return bool(_loaded)


def _guarded(name: str, load: Callable[[], object]) -> None:
    try:
        load()
    except ZooError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's code raises is the call's fault, not ours
        raise UsageError(
            f"the plugin {name} fails: {type(error).__name__}: {error}",
            code="plugin",
            help="run it with python to see its traceback",
        ) from error


def _is_other_module(path: Path) -> bool:
    """Whether an import of the plugin's name would give another module, which it would stand in for."""
    try:
        found = importlib.util.find_spec(path.stem)
    except (ImportError, ValueError):
        return False
    return found is not None and (found.origin is None or Path(found.origin).resolve() != path.resolve())


def _run_file(path: Path) -> None:
    """Runs a file as the module of its own name, so that compiled networks can import from it."""
    if not is_file(path):
        raise UsageError(f"there is no plugin {path}", code="plugin")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.stem.isidentifier():
        raise UsageError(f"{path} cannot be imported", code="plugin", help="a plugin is called like a module: name.py")
    if path.stem in sys.modules or _is_other_module(path):
        raise UsageError(f"there is a module {path.stem} already", code="plugin", help="give the plugin another name")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
