"""JSON Schema (draft 2020-12) of architectures and recipes, for editors: made from the models that check them. Floor 7.

What a schema cannot know it leaves open: an op that is none of the catalogue's may be a block of the file, whose
params only the planner knows. Every value may be an expression instead.
"""

from __future__ import annotations

from zoo.assemble.editor_schema.architecture import architecture
from zoo.assemble.editor_schema.forms import Schema
from zoo.assemble.editor_schema.recipe import recipe
from zoo.errors import UsageError
from zoo.registry import did_you_mean

__all__ = ["json_schema"]


def json_schema(kind: str) -> Schema:
    """The schema of one kind of file. Raises UsageError for a kind that there is not."""
    makers = {"architecture": architecture, "recipe": recipe}
    if kind not in makers:
        raise UsageError(f"there is no schema of {kind!r}", help=did_you_mean(kind, list(makers)))
    return makers[kind]()
