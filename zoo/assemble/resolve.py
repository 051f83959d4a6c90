"""A recipe's file, what it extends, ``--set`` and expressions, settled into one checked recipe. Floor 7.

Everything stays a document tree, so every value keeps the place it came from; :class:`Resolved` has the tree beside
the checked sections.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import create_model

from zoo.assemble.defaults import DEFAULT
from zoo.assemble.shipped import find_parent, find_recipe
from zoo.diagnostics import Diagnostics
from zoo.document import Entry, Mapping, Scalar, apply_sets, load
from zoo.document.evaluation import NoNames, substitute
from zoo.schema.check import validate
from zoo.schema.recipe import Recipe, Section, is_recipe


@dataclass(frozen=True, slots=True)
class Resolved:
    """A recipe with everything settled but its rooms' own arguments.

    ``document`` holds what was written, expressions worked out; ``text`` is the file as it stands.
    """

    recipe: Recipe
    document: Mapping
    path: Path
    text: str

    @property
    def folder(self) -> Path:
        """The folder that paths in the recipe are relative to."""
        return self.path.parent

    def section(self, name: str) -> Mapping:
        """A section's node; empty, with the document's place, where it was left out."""
        node = self.document.get(name)
        return node if isinstance(node, Mapping) else Mapping((), self.document.span)


def resolve(
    name_or_path: str,
    sets: Iterable[str],
    diagnostics: Diagnostics,
    *,
    if_wrong: Callable[[Resolved], None] = lambda salvaged: None,
) -> Resolved | None:
    """Reads a recipe. None where it is wrong: the diagnostics say how. Raises UsageError for a recipe there is not.

    ``if_wrong`` is handed what is right by itself of a recipe in which some section is wrong, so that its caller can
    tell what else is wrong with it at once.
    """
    path = find_recipe(name_or_path)
    document = load_document(path, sets, diagnostics)
    if document is None:
        return None
    recipe = validate(Recipe, document, diagnostics, what="")
    if recipe is None:
        if_wrong(_salvaged(document, path))
        return None
    return Resolved(recipe, document, path, path.read_text(encoding="utf-8-sig"))


def _salvaged(document: Mapping, path: Path) -> Resolved:
    """A recipe of those sections alone that are right by themselves; the others are not in it."""
    sections = {}
    for key, field in Recipe.model_fields.items():
        definition: dict[str, Any] = {key: (field.annotation, field)}
        alone = create_model("alone", __base__=Section, **definition)
        found = validate(alone, document.only([key]), Diagnostics(), what="")
        if found is not None:
            sections[key] = getattr(found, key)
    return Resolved(Recipe.model_construct(set(sections), **sections), document.only(sections), path, "")


def _is_architecture(document: Mapping, diagnostics: Diagnostics) -> bool:
    """Whether an architecture stands where a recipe is due, which is then told in one message."""
    if "layers" not in document or is_recipe(document.keys):
        return False
    file, place = document.span.file, document.key_span("layers")
    help = f"a recipe names it, `model: {{architecture: {file}}}`; zoo summary, check, draw and eject take it as it is"
    diagnostics.error("not-a-recipe", f"{file} is an architecture; a recipe is due here", place, help=help)
    return True


def load_document(path: Path, sets: Iterable[str], diagnostics: Diagnostics) -> Mapping | None:
    """The recipe's tree: extended, set, expressions worked out, its name filled in."""
    document = load(path, diagnostics, find_parent=find_parent)
    if document is None or _is_architecture(document, diagnostics):
        return None
    before = len(diagnostics.errors)
    document = apply_sets(document, sets, diagnostics)
    evaluated = substitute(document, NoNames(), diagnostics)
    if len(diagnostics.errors) > before or not isinstance(evaluated, Mapping):
        return None
    if "name" not in evaluated:
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", path.stem).lstrip(".") or "recipe"  # it will name a folder
        name = Scalar(stem, DEFAULT, stem)
        evaluated = Mapping((Entry("name", DEFAULT, name), *evaluated.entries), evaluated.span)
    return evaluated
