"""Values that options of the command line lay over a document: ``--set``, and what says the same. Floor 0."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, replace
from typing import Any

from zoo.diagnostics import Diagnostic, Diagnostics, Note
from zoo.document.nodes import DEEPEST_NESTING, Mapping, Node, Scalar, Sequence, is_null, written
from zoo.document.python_values import in_yaml
from zoo.document.reader import read_value
from zoo.document.writer import flow_text
from zoo.errors import UsageError

_PLAIN = re.compile(r"[-\w.=…]+")  # what no shell has to have quoted


@dataclass(frozen=True, slots=True)
class Override:
    """One value, by its dotted path and as YAML. An item of a list goes by its number: ``optimizer.0.lr``."""

    path: str
    written: str
    option: str = "--set"  # what gave it

    def __str__(self) -> str:
        return f"{self.path}={self.written}"

    @property
    def place(self) -> str:
        """What messages about the value name in a file's stead: ``--set a.b``, or an option that has one path alone."""
        return _place(self.option, self.path)


def _place(option: str, path: str) -> str:
    return f"{option} {path}" if option in ("--set", "--grid") else option


def read_sets(texts: Iterable[str]) -> tuple[Override, ...]:
    """What ``--set PATH=VALUE`` says, several times over. Raises UsageError for another form."""
    found = []
    for text in texts:
        path, equals, written = text.partition("=")
        if not equals or not all(path.strip().split(".")):
            raise UsageError(f"--set wants PATH=VALUE, got {text!r}", help="for example --set train.epochs=3")
        if not written.strip():  # a variable of the shell that is not set, as a rule
            raise UsageError(f"--set {text.strip()} has no value", help=f"{path.strip()}=null takes away what is there")
        found.append(Override(path.strip(), written))
    return tuple(found)


def set_texts(sets: AbstractMapping[str, Any] | None) -> tuple[str, ...]:
    """Values by their paths, as Python gives them, in the form that ``--set`` has. Raises UsageError."""
    if sets is not None and not isinstance(sets, AbstractMapping):
        raise UsageError(f"`sets` wants paths with values, got {sets!r}", help='for example {"train.epochs": 3}')
    for path in sets or {}:
        if "=" in str(path):
            raise UsageError(f"`sets` wants a path, got {path!r}", help='for example {"train.epochs": 3}')
    return tuple(f"{path}={flow_text(in_yaml(value, str(path)))}" for path, value in (sets or {}).items())


def saying(option: str, path: str, value: str) -> str:
    """How the command line gives this value to a path, by the option that now gives it another."""
    if option == "--grid":
        return f"--grid '{path}=[{value}]'" if value == "…" else f"--grid '{path}=[{value}, …]'"
    text = f"{path}={value}"
    return f"--set {text if _PLAIN.fullmatch(text) else shlex.quote(text)}"


def lay_over(document: Mapping, overrides: Iterable[Override], diagnostics: Diagnostics) -> Mapping:
    """Lays values over a document in order. Each replaces what was there, mappings too; null removes.

    A null that finds nothing to remove stays, as under ``extends``: whoever judges the key tells of a misspelt one.
    Raises UsageError where a text stands in the path, or a list without such an item, and for one that reaches
    deeper than files go.
    """
    for override in overrides:
        keys = override.path.split(".")
        if len(keys) > DEEPEST_NESTING:  # not named: nobody reads so much, and nothing below may recurse so far
            message = f"{override.option} has a path of {len(keys):,} keys (at most {DEEPEST_NESTING} levels are read)"
            raise UsageError(message, help=f"it begins {'.'.join(keys[:3])}")
        value = read_value(override.written, diagnostics, name=override.place, option=override.option)
        if value is not None:
            document = _set(document, keys, value)
    return document


def told_of_removal(item: Diagnostic, document: Mapping, overrides: Iterable[Override]) -> Diagnostic:
    """The message; where it asks for a key that an option took away, it names the option."""
    for override in overrides:
        *above, key = override.path.split(".")
        node: Node | None = document
        for word in above:
            node = node.get(word) if isinstance(node, Mapping) else None
        is_gone = isinstance(node, Mapping) and key not in node and node.span == item.span
        if is_gone and re.search(rf"\b{re.escape(key)}\b", item.message):
            return replace(item, notes=(*item.notes, Note(f"{override.place}={override.written} took it away")))
    return item


def _set(document: Mapping, keys: list[str], value: Node, above: str = "") -> Mapping:
    head, *rest = keys
    if not rest:
        if is_null(value) and head in document:
            return document.without([head])
        return document.replacing(head, value)
    below, path = document.get(head), f"{above}{head}"
    if below is None or is_null(below):
        below = Mapping((), value.span)
    return document.replacing(head, _set_below(below, rest, value, path))


def _set_below(node: Node, keys: list[str], value: Node, path: str) -> Node:
    """A mapping or list with a value somewhere in it; ``path`` is its own. Raises UsageError for anything else."""
    if isinstance(node, Mapping):
        return _set(node, keys, value, f"{path}.")
    head, *rest = keys
    if isinstance(node, Scalar) or head not in map(str, range(len(node))):  # 00 is no second name for 0
        raise _out_of_reach(node, path, ".".join(keys), value.span.option)
    number = int(head)
    if rest:
        value = _set_below(node.items[number], rest, value, f"{path}.{head}")
    items = () if not rest and is_null(value) else (value,)
    return Sequence((*node.items[:number], *items, *node.items[number + 1 :]), node.span)


def _out_of_reach(node: Scalar | Sequence, path: str, rest: str, option: str) -> UsageError:
    kind, help = f"a list of {len(node)}" if isinstance(node, Sequence) else written(node.value), ""
    if isinstance(node, Sequence) and len(node):
        help = f"its items go by number, from 0: {saying(option, f'{path}.0', '…')}"
    return UsageError(
        f"{_place(option, f'{path}.{rest}')}: {path} is {kind}, {option} cannot reach into it so",
        notes=(Note("it stands here", node.span),),
        help=help or f"set the whole: {saying(option, path, '…')}",
    )
