"""What there is, kind by kind, for `zoo ls`; and copies of what ships, for `zoo cp`. Floor 7."""

from __future__ import annotations

import inspect
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from zoo.assemble.run_listing import all_runs
from zoo.assemble.shipped import recipe_names, shipped_recipe
from zoo.diagnostics import Diagnostics
from zoo.document import Scalar, read_file
from zoo.errors import UsageError
from zoo.registry import did_you_mean
from zoo.schema import fields_of
from zoo.schema.recipe import REPORT_DOCS
from zoo.schema.wording import describe

_SLASHES = ("/", os.sep)  # what marks a folder at the end of its name


@dataclass(frozen=True, slots=True)
class Item:
    """One thing there is."""

    name: str
    doc: str
    model: type[BaseModel] | None = None  # of the arguments that stand beside the name
    inferred: Collection[str] = ()  # those that follow from the layer's input where they are left out
    batched: bool | None = None  # of a transform: whether it has a batched form
    facts: dict[str, Any] = field(default_factory=dict)  # of a run: what came out of it

    def as_data(self) -> dict[str, Any]:
        """Plain data, for ``--json``; what is required, or inferred, has no default."""
        arguments = (
            {}
            if self.model is None
            else {"arguments": [self._argument(*each) for each in fields_of(self.model).items()]}
        )
        batched = {} if self.batched is None else {"batched": self.batched}
        return {"name": self.name, "doc": self.doc, **batched, **self.facts, **arguments}

    def _argument(self, name: str, field: FieldInfo) -> dict[str, Any]:
        default = {} if field.is_required() else {"default": _plain(field.get_default())}
        found = {"inferred": True} if name in self.inferred else default
        return {"name": name, "type": describe(field.annotation), **found, "doc": _line(field.description)}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of things, and how they are found."""

    doc: str
    items: Callable[[], Iterable[Item]]


def _architectures() -> Iterable[Item]:
    from zoo.architectures import architecture_names, architecture_path

    return [_described(name, architecture_path(name)) for name in architecture_names()]


def _recipes() -> Iterable[Item]:
    return [_described(name, shipped_recipe(name)) for name in recipe_names()]


def _described(name: str, path: Path | None) -> Item:
    document = read_file(path, Diagnostics()) if path else None
    doc = document.get("doc") if document else None
    return Item(name, _line(doc.value) if isinstance(doc, Scalar) else "")


def _line(text: Any) -> str:
    """The first sentence of a text, or its first paragraph, without the marks of code."""
    paragraph = re.split(r"\n\s*\n", inspect.cleandoc(str(text or "")).strip())[0].replace("`", "")
    return re.split(r"(?<=[a-z)]\.)(?<!et al\.)\s", " ".join(paragraph.split()))[0]


def _plain(value: Any) -> Any:
    """A default as YAML would have it; what it has no form for, as Python writes it."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    value = value.value if isinstance(value, Enum) else value
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _registered(module: str, registry: str) -> Callable[[], Iterable[Item]]:
    """The entries of a registry; its module is imported when they are asked for: most of them bring torch."""

    def items() -> Iterable[Item]:
        entries = getattr(import_module(module), registry)
        found = ((name, entries[name]) for name in sorted(entries))
        return [
            Item(
                name,
                _line(getattr(entry, "doc", "")),
                entry.arguments,
                getattr(entry, "infers", ()),
                getattr(entry, "is_batched", None),
            )
            for name, entry in found
        ]

    return items


def _losses() -> Iterable[Item]:
    from zoo.assemble.losses import loss_arguments, loss_names

    return [Item(name, _line(loss_arguments(name).__doc__), loss_arguments(name)) for name in loss_names()]


def _methods() -> Iterable[Item]:
    from zoo.explain import METHODS

    return [Item(name, _line(getattr(METHODS[name], "doc", ""))) for name in METHODS]


def _reports() -> Iterable[Item]:
    return [Item(name, doc) for name, doc in REPORT_DOCS.items()]


def _runs() -> Iterable[Item]:
    return [Item(str(run.folder), run.outcome, facts=run.as_data()) for run in all_runs()]


KINDS: dict[str, Kind] = {
    "architectures": Kind("networks that ship with zoo", _architectures),
    "recipes": Kind("recipes that ship with zoo", _recipes),
    "ops": Kind("what a layer can be: modules and functions", _registered("zoo.layers", "ops")),
    "initialisers": Kind("how weights begin", _registered("zoo.layers", "initialisers")),
    "sources": Kind("data sets and ways to read one", _registered("zoo.data", "sources")),
    "transforms": Kind("augmentations of images", _registered("zoo.data", "transforms")),
    "losses": Kind("what can be minimised", _losses),
    "optimizers": Kind("of torch.optim, timm.optim and our own", _registered("zoo.optim", "optimizers")),
    "schedules": Kind("of the learning rate", _registered("zoo.optim", "schedules")),
    "methods": Kind("class activation maps", _methods),
    "reports": Kind("what a report can show", _reports),
    "runs": Kind("run folders under ./runs", _runs),
}


def listing(kind: str) -> list[Item]:
    """What there is of a kind. Raises UsageError for an unknown kind."""
    found = KINDS.get(kind)
    if found is None:
        raise UsageError(f"there is no kind {kind!r}", help=did_you_mean(kind, list(KINDS)))
    return list(found.items())


def described(kind: str, name: str) -> Item:
    """One thing of a kind. Raises UsageError where there is none of that name."""
    items = {item.name: item for item in listing(kind)}
    if name not in items:
        help = did_you_mean(
            name, list(items) if kind != "runs" else dict.fromkeys(Path(run).parent.name for run in items)
        )
        raise UsageError(f"there is nothing called {name!r} in zoo ls {kind}", code="no-such-name", help=help)
    return items[name]


def _folder_help(target: str, path: Path) -> str:
    if path.parent.is_file():
        return f"{path.parent} is a file"
    return "make it first; without the slash it is the name of a file" if target.endswith(_SLASHES) else "make it first"


def copy_shipped(name: str, target: str) -> Path:
    """Copies a shipped architecture or recipe to a file or into a folder. Raises UsageError; never overwrites.

    A target that ends in a slash is a folder, which has to be there.
    """
    from zoo.architectures import architecture_names, architecture_path

    kind, _, bare = name.partition("/")
    if kind not in ("architectures", "recipes"):  # a folder that belongs to the name
        kind, bare = "", name
    found = [
        path
        for folder, path in (("architectures", architecture_path(bare)), ("recipes", shipped_recipe(bare)))
        if path is not None and kind in ("", folder)
    ]
    if not found:
        raise UsageError(
            f"there is no architecture or recipe {name!r}",
            code="no-such-name",
            help=did_you_mean(bare, [*architecture_names(), *recipe_names()]),
        )
    dest = Path(target)
    path = dest / found[0].name if dest.is_dir() or target.endswith(_SLASHES) else dest
    if path.exists():
        raise UsageError(f"{path} is there already", help="name another file, or remove it")
    if not path.parent.is_dir():
        raise UsageError(
            f"there is no folder {str(path.parent)!r}", code="no-such-folder", help=_folder_help(target, path)
        )
    shutil.copyfile(found[0], path)
    return path
