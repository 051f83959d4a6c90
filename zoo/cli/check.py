"""`zoo check`, `zoo config`, `zoo schema`: what files say, and whether it is right. Roof."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from zoo.cli.options import RecipeArgument, Sets
from zoo.cli.output import print_json, print_messages, print_note
from zoo.cli.session import Session
from zoo.diagnostics import Diagnostics, count_line


class SchemaKind(StrEnum):
    """The two kinds of file."""

    architecture = "architecture"
    recipe = "recipe"


def check(
    session: Session,
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Architectures and recipes.")],
    sets: Sets = None,
) -> None:
    """Validate and lint architectures and recipes; many files at once."""
    from zoo.assemble.check import check_files
    from zoo.document import read_sets

    found, diagnostics = check_files(tuple(files), read_sets(sets or ())), Diagnostics()
    diagnostics.extend(found.all_as_errors if session.strict else found)
    if session.as_json:
        print_json([item.as_data() for item in diagnostics])
    else:
        print_messages(diagnostics, count=False)
        if not session.quiet or len(diagnostics):
            print_note(f"{count_line(diagnostics)} in {len(files)} {'file' if len(files) == 1 else 'files'}")
    if diagnostics.errors:
        raise typer.Exit(2)


def config(
    session: Session,
    recipe: RecipeArgument,
    sets: Sets = None,
) -> None:
    """Print the fully resolved recipe, each value with its origin."""
    from zoo.assemble.check import checked_recipe
    from zoo.assemble.complete import complete
    from zoo.assemble.defaults import annotated, origins
    from zoo.document import plain, read_sets

    diagnostics = Diagnostics()
    found = checked_recipe(recipe, diagnostics, overrides=read_sets(sets or ()))
    session.settle(diagnostics)
    assert found is not None
    document = complete(found)
    session.show({"recipe": plain(document), "origins": origins(document)}, annotated(document))


def schema(
    session: Session, kind: Annotated[SchemaKind, typer.Argument(metavar="architecture|recipe", help="Which schema.")]
) -> None:
    """Print the JSON Schema of architectures or recipes, for editors."""
    from zoo.assemble.editor_schema import json_schema

    print_json(json_schema(kind))
