"""What was meant by an op or an argument that there is not. Floor 3."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from zoo.diagnostics import Diagnostic, Diagnostics, Span
from zoo.document import Mapping
from zoo.layers import Op, ops
from zoo.layers.absences import ABSENT, SYNONYMS
from zoo.layers.foreign import foreign_names
from zoo.registry import LIKELY_KEY, LISTED, listed, meant, offer, unknown
from zoo.schema.signature import fields_of

_HOME = re.compile(r"(?:(?:torch\.)?(?:nn\.)?(?:functional\.|F\.|fft\.)?|torchvision\.ops\.)(?=\w+$)")


def unknown_op(name: str, known: Iterable[str], span: Span | None) -> Diagnostic:
    """The message about an op that there is not: why torch's is missing, what it is called here, or what is near."""
    home = _HOME.match(name)
    bare = name[home.end() :] if home else name
    wants_module = home is not None and home[0].endswith("nn.")
    names = list(known)
    diagnostic = unknown("op", name, names, span)
    reason, synonym = ABSENT.get(bare), SYNONYMS.get(bare.lower())
    modules = [each for each in names if each not in ops or ops[each].kind == "module"]
    if bare in (modules if wants_module else names):
        return replace(diagnostic, help=f"did you mean {bare}?")
    if reason is not None:
        return replace(diagnostic, help=f"{bare} is {reason}" if reason.startswith("a ") else reason)
    if synonym is not None:
        return replace(diagnostic, help=f"did you mean {synonym}?")
    if bare in foreign_names("torchvision"):
        return replace(diagnostic, help=f"a whole model of torchvision's is written {{op: torchvision, name: {bare}}}")
    if bare == name:
        return diagnostic
    return replace(diagnostic, help=unknown("op", bare, modules if wants_module else names).help)


def module_meant(op: Op, keys: Iterable[str]) -> Op | None:
    """The module of a function's name (``Conv2d`` of ``conv2d``) where it takes the keys that the function lacks."""
    strange = [key for key in keys if key not in argument_names(op)]
    if op.kind != "function" or not strange:
        return None
    name = op.name.replace("_", "")
    twins = [ops[each] for each in ops if each.lower() in (name, f"{name}2d") and ops[each].kind == "module"]
    return next((twin for twin in twins if all(key in argument_names(twin) for key in strange)), None)


def argument_names(op: Op) -> list[str]:
    """The names of an op's arguments."""
    names = list(fields_of(op.arguments))
    return [*names, "batch_like"] if op.is_tensor else names


def refuse_call(keys: Mapping, diagnostics: Diagnostics) -> bool:
    """Tells of a block that is given a `call`; whether this one is."""
    if "call" in keys:
        diagnostics.error("bad-layer", "a block takes no `call`: give it params or inputs", keys.key_span("call"))
    return "call" in keys


def key_help(what: str, key: str, known: list[str], layer_keys: list[str], *, is_block: bool) -> str:
    """The way out of an unknown argument: a key that is like it, else all that may stand there."""
    if key.endswith(")"):
        return "a list is written [3, 3]"
    if ":" in key:
        return f"a colon wants a space behind it: {re.sub(r':(?=[^ ])', ': ', key)}"
    likely = meant(key, [*known, *layer_keys], LIKELY_KEY)
    if likely:
        return offer(likely)
    if not known:
        return f"{what} takes no {'params' if is_block else 'arguments'}"
    return (
        f"{what} takes {listed(known, 'and')}"
        if len(known) <= LISTED
        else f"{what} takes {', '.join(known[:LISTED])}, …"
    )
