"""How other libraries write things, and what is written here. Floor 1."""

from __future__ import annotations

import re
from collections.abc import Iterable

from zoo.document import Mapping, Node, Scalar, is_null, text_of
from zoo.registry import meant

_NAME_KEYS = ("type", "_target_", "class_path", "class", "cls", "module", "name")  # mmpretrain's, Hydra's, …
_PATH = re.compile(r"(?:\w+[.:])*\w+")  # a class, after the modules that it stands in
_TUPLE = re.compile(r"\(\s*([-\d][^()\[\]{}]*?)\s*,?\s*\)")


def name_help(node: Mapping, key: str, names: Iterable[str] = ()) -> str | None:
    """The way out where a name that is due under ``key`` stands under another library's key: ``type: ReLU``.

    It is the nearest of ``names``, where these are told; ``…`` where none is near.
    """
    found = name_elsewhere(node)
    if found is None:
        return None
    other, path = found
    return f"write {key}: {nearest_of(names, last_of(path))} in place of {other}: {path}"


def nearest_of(names: Iterable[str], name: str) -> str:
    """The one of these names that another most likely means, ``…`` where none is near; the name itself of no names."""
    names = list(names)
    return name if name in names or not names else next(iter(meant(name, names)), "…")


def name_elsewhere(node: Mapping) -> tuple[str, str] | None:
    """The key under which a mapping has a name as another library wants it, and the name, maybe with its modules."""
    pairs = ((key, text_of(node.get(key)) or "") for key in _NAME_KEYS)
    return next((pair for pair in pairs if _PATH.fullmatch(pair[1])), None)


def named_inside(node: Mapping) -> str:
    """The name that was meant by a mapping in a name's place: ``{type: ReLU}``, ``{ReLU: {inplace: true}}``."""
    found = name_elsewhere(node)
    return last_of(found[1]) if found else next(iter(node.keys), "ReLU") if len(node) == 1 else "Conv2d"


def last_of(path: str) -> str:
    """A class's own name, without the modules before it."""
    return re.split(r"[.:]", path)[-1]


def tuple_help(node: Scalar) -> str:
    """The way out where Python's tuple stands. In flow style its first comma ends the value, so its line is read."""
    line = node.span.source.line(node.span.line)[node.span.column - 1 :]
    found = _TUPLE.match(str(node.value)) or _TUPLE.match(line)
    return f"a list is written [{found[1] if found else '3, 3'}]"


def rest_of_tuples(node: Node) -> dict[str, str]:
    """The keys that are the rest of a tuple, and of which key's: ``3)`` of ``{kernel_size: (3, 3)}`` in flow style."""
    rest: dict[str, str] = {}
    opened: str | None = None
    passed: list[str] = []
    for entry in node if isinstance(node, Mapping) else ():
        text = text_of(entry.value) or ""
        if opened is not None and is_null(entry.value):
            passed.append(entry.key)
            if entry.key.endswith(")"):
                rest |= dict.fromkeys(passed, opened)
                opened = None
        else:
            opened, passed = (entry.key if text.startswith("(") and ")" not in text else None), []
    return rest
