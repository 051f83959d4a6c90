"""The whole recipe, every default written out: those of the sections and those of the rooms' arguments. Floor 7."""

from __future__ import annotations

from zoo.assemble.defaults import fill
from zoo.assemble.resolve import Resolved
from zoo.diagnostics import Diagnostics
from zoo.document import Mapping


def complete(resolved: Resolved, diagnostics: Diagnostics) -> Mapping:
    """The recipe's document with every default in it; still a recipe."""
    return fill(resolved.document, resolved.recipe)
