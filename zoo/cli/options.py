"""Arguments and options that several commands share, each declared once. Roof."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import Annotated

import typer

from zoo.errors import UsageError
from zoo.layout import is_dir


def recipe_file(text: str) -> str:
    """A recipe's file. A mistyped name is told here, before torch, which takes its time, is imported."""
    from zoo.assemble.shipped import find_recipe

    return str(find_recipe(text))


RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", parser=recipe_file, help="A recipe file or a shipped recipe's name.")
]
TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="A recipe or an architecture (file or name), a run folder or name, or one of its checkpoints.",
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Replace a value, for example train.epochs=3; VALUE is YAML."),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="Looked in for data sets before $ZOO_DATA, ./data and the cache."),
]
Device = Annotated[
    str, typer.Option("--device", metavar="DEVICE", help="auto (a CUDA GPU, else the CPU), cpu, cuda, cuda:1.")
]


def file_to_write(text: str) -> Path:
    """A file to write. Raises UsageError for a folder, and for a name that ends as one's: a path drops that slash."""
    path, help = Path(text), "name a file, in it or elsewhere"
    if text.endswith(("/", os.sep)):
        raise UsageError(f"{text} is a folder's name: what is written is a file", help=help)
    if is_dir(path):
        raise UsageError(f"{path} is a folder: what is written is a file", help=help)
    return path


OutFile = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", parser=file_to_write, help="Default: stdout.")
]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="The folder to write to.")]
Checkpoint = Annotated[
    str | None,
    typer.Option("--checkpoint", metavar="last|best", help="Which weights (default: last, or the one RUN names)."),
]
InputShape = Annotated[
    str | None, typer.Option("--input", metavar="C,H,W", help="The input's shape where it is not the network's own.")
]
_MOST_VALUES = 2**40  # of an input: what comes of it has to be countable in 64 bits


def shape_of(text: str | None) -> tuple[int, ...] | None:
    """What ``--input`` says. Raises UsageError for anything but sizes."""
    if text is None:
        return None
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1 or prod(shape) > _MOST_VALUES:
        raise UsageError(f"--input wants sizes such as 3,32,32, got {text!r}")
    return shape
