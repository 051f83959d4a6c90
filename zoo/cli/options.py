"""Arguments and options that several commands share, each declared once. Roof."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file or a shipped recipe's name.")]
TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="A recipe file, an architecture file or name, timm:NAME, torchvision:NAME, or a run folder.",
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Replace a value, for example train.epochs=3; VALUE is YAML."),
]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", metavar="DIR", help="Where data sets are (default: $ZOO_DATA, ./data).")
]
Device = Annotated[str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="The folder to write to.")]
