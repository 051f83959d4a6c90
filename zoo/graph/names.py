"""What a layer, a param or an input may be called. Floor 3."""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import nn

from zoo.diagnostics import Diagnostics, Span
from zoo.document.expressions import RESERVED

_LAYER = re.compile(r"[A-Za-z0-9_-]+")
_PARAM = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# `zoo_plan` is what a compiled network has beside them.
_TAKEN = frozenset({*dir(nn.Module()), "zoo_plan"})


def check_layer_name(name: str, span: Span, diagnostics: Diagnostics, inputs: Iterable[str] = ("input",)) -> bool:
    """Whether a name can be a submodule's; tells what is wrong with it."""
    if not _LAYER.fullmatch(name):
        problem = f"{name!r} cannot name a layer: letters, digits, _ and - only"
    elif name.startswith("__"):
        problem = f"{name!r} cannot name a layer: names with two underscores are Python's own"
    elif name in _TAKEN:
        problem = f"{name!r} cannot name a layer: the network's module has an attribute of that name"
    elif name in inputs:
        problem = f"{name!r} cannot name a layer: it names the input"
    else:
        return True
    diagnostics.error("bad-name", problem, span, help="choose another name")
    return False


def check_param_name(name: str, span: Span, diagnostics: Diagnostics, what: str = "a param") -> bool:
    """Whether a name can stand in an expression; tells what is wrong with it."""
    if not _PARAM.fullmatch(name):
        problem = f"{name!r} cannot name {what}: letters, digits and _ only, a letter first"
    elif name in RESERVED or (what == "a param" and name in ("i", "input")):
        problem = f"{name!r} cannot name {what}: expressions give it a meaning of its own"
    elif what == "an input" and name in _TAKEN:
        problem = f"{name!r} cannot name {what}: the network's module has an attribute of that name"
    else:
        return True
    diagnostics.error("bad-name", problem, span, help="choose another name")
    return False
