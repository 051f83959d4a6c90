"""`zoo schema`: the JSON Schema of a kind of file, losses included. Floor 7."""

from __future__ import annotations

from typing import Any

from zoo.assemble.losses import loss_arguments, loss_names


def json_schema(kind: str) -> dict[str, Any]:
    """The schema of `architecture` or `recipe` files, for editors."""
    from zoo.exchange.schema import architecture_schema, recipe_schema

    if kind == "architecture":
        return architecture_schema()
    return recipe_schema({name: loss_arguments(name) for name in loss_names()})
