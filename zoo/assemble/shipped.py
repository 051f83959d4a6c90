"""The recipes that travel with zoo, and how a recipe's name or path becomes a file. Floor 7."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from zoo.architectures import architecture_names
from zoo.diagnostics import Diagnostic, Span
from zoo.document import other_file
from zoo.errors import UsageError
from zoo.layout import is_file
from zoo.registry import did_you_mean


@cache
def recipes_folder() -> Path:
    """The folder of shipped recipes: inside the installed package, or at the top of a working tree."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def recipe_names() -> list[str]:
    """The shipped recipes' names, with their folder where they are in one: ``quickstart``, ``speedrun/cifar10_94``."""
    return sorted(_files())


def shipped_recipe(name: str) -> Path | None:
    """A shipped recipe's file, given its name with or without its folder and `.yaml`; or None."""
    files = _files()
    by_stem = {path.stem: path for path in files.values()}
    found = files.get(name.removesuffix(".yaml")) or by_stem.get(name.removesuffix(".yaml"))
    return _near(found) if found is not None else None


def _files() -> dict[str, Path]:
    folder = recipes_folder()
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in folder.rglob("*.yaml")}


def _near(path: Path) -> Path:
    """The path as seen from the working directory where it lies below it: messages are shorter so."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def find_recipe(text: str) -> Path:
    """The file of a recipe given by path or by shipped name. Raises UsageError."""
    path = Path(text)
    if is_file(path):
        return path
    shipped = shipped_recipe(text)
    if shipped is not None:
        return shipped
    if text in architecture_names():
        told = not_a_recipe(text)
        raise UsageError(told.message, code=told.code, help=told.help)
    raise UsageError(
        f"there is no recipe {text!r}", code="no-such-recipe", help=file_or_name_meant(path, recipe_names())
    )


def not_a_recipe(architecture: str, span: Span | None = None) -> Diagnostic:
    """The message about an architecture, by its name or file, where a recipe is due."""
    message = f"{architecture} is an architecture; a recipe is due here"
    names_it = f"a recipe names it, `model: {{architecture: {architecture}}}`"
    help = f"{names_it}; zoo summary, check, draw and eject take it as it is"
    return Diagnostic("error", "not-a-recipe", message, span, help=help)


def file_or_name_meant(path: Path, names: Sequence[str]) -> str | None:
    """The way out where there is no such file, and nothing of that name: a file beside it, or one of the names."""
    return other_file(path.name, path, ()) or did_you_mean(path.stem, names)


def find_parent(written: str, folder: Path) -> Path | None:
    """What stands behind a recipe's ``extends``: a path relative to the recipe, or a shipped recipe's name."""
    path = folder / written
    return path if is_file(path) else shipped_recipe(written)
