"""What was meant by an op or an argument that there is not, or by an input of another form. Floor 3."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from zoo.diagnostics import Diagnostic, Diagnostics, Span
from zoo.document import Entry, Mapping, Node, Scalar, Sequence, is_null, plain, text_of
from zoo.layers import Op, ops
from zoo.layers.absences import ABSENT, SYNONYMS
from zoo.layers.foreign import foreign_names
from zoo.registry import LIKELY_KEY, LISTED, listed, meant, offer, unknown
from zoo.schema.architecture import ArchitectureForm
from zoo.schema.check import close
from zoo.schema.habits import tuple_help
from zoo.schema.signature import fields_of
from zoo.schema.wording import shown

_SIZES = re.compile(r"[\d\s,x*()]+")  # of an image as people write them: 3x32x32, (3, 32, 32)
_CALL = re.compile(r"(?:(?:torch\.)?nn\.|F\.)?(\w+)\(.*\)")  # as Python writes it: Conv2d(3, 8, 3)
_SIDES = ("height", "width")
_COLOURS = (1, 3)  # channels of an image
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
    if (call := _CALL.fullmatch(name)) and call[1] in ops:
        return replace(diagnostic, help=_by_name(ops[call[1]]))
    if reason is not None:
        return replace(diagnostic, help=f"{bare} is {reason}" if reason.startswith("a ") else reason)
    if synonym is not None:
        return replace(diagnostic, help=f"did you mean {synonym}?")
    if bare in foreign_names("torchvision"):
        return replace(diagnostic, help=f"a whole model of torchvision's is written {{op: torchvision, name: {bare}}}")
    if bare == name:
        return diagnostic
    return replace(diagnostic, help=unknown("op", bare, modules if wants_module else names).help)


def _by_name(op: Op) -> str:
    """How an op is written with the arguments that it has to be given."""
    due = [key for key, field in fields_of(op.arguments).items() if field.is_required() and key not in op.infers]
    if not due:
        return f"write {op.name}"
    return f"arguments go by name: {{op: {op.name}, {', '.join(f'{key}: …' for key in due)}}}"


def layers_indented(layers: Mapping, diagnostics: Diagnostics) -> list[Entry]:
    """The entries that are layers. Tells once of a layer whose keys stand beside its name instead of below it."""
    found: list[Entry] = []
    waiting = iter(pairwise([*layers, None]))
    for entry, following in waiting:
        assert entry is not None
        if not is_null(entry.value) or following is None or following.key != "op" or text_of(following.value) is None:
            found.append(entry)
            continue
        beside = []
        while following is not None and not isinstance(following.value, Mapping) and not is_null(following.value):
            beside.append(following.key)
            _, following = next(waiting)
        diagnostics.error("wrong-type", _nothing_under(entry.key, beside), entry.key_span)
    return found


def with_layers_indented(document: Mapping, diagnostics: Diagnostics) -> Mapping:
    """The document with the layers under `layers:` where they stand below it unindented, which is told once."""
    layers = document.get("layers")
    if layers is None or not is_null(layers):
        return document
    known = ArchitectureForm.model_fields
    after = document.entries[document.keys.index("layers") + 1 :]
    strays = tuple(entry for entry in after if entry.key not in known and not close(known, entry.key))
    if not strays:
        return document
    message, help = (
        _nothing_under("layers", [entry.key for entry in strays]),
        "move the layers two columns to the right",
    )
    diagnostics.error("not-indented", message, strays[0].key_span, help=help)
    return document.without([entry.key for entry in strays]).replacing("layers", Mapping(strays, strays[0].key_span))


def _nothing_under(key: str, beside: list[str]) -> str:
    return f"{key}: nothing stands under it: {listed(beside, 'and')} must be indented"


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


def key_help(
    what: str, key: str, known: list[str], layer_keys: list[str], *, is_block: bool, tuple_begun: Node | None = None
) -> str:
    """The way out of an unknown argument: a key that is like it, else all that may stand there.

    ``tuple_begun`` is the value of which the key is the rest, where flow style makes keys of Python's tuples.
    """
    if isinstance(tuple_begun, Scalar):
        return tuple_help(tuple_begun)
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


def refuse_input(node: Node | None, diagnostics: Diagnostics) -> bool:
    """Tells of one size, a text or named sizes where an image's shape is due; whether this is one of these."""
    sizes = _sizes_meant(node)
    if node is None or sizes is None:
        return False
    message = f"input: expected [channels, height, width], got {shown(plain(node))}"
    diagnostics.error("wrong-type", message, node.span, help=f"write input: {sizes}")
    return True


def _sizes_meant(node: Node | None) -> list[int] | None:
    """The shape of an image that was meant by something that is none."""
    if isinstance(node, Mapping):
        named = {entry.key.lower(): plain(entry.value) for entry in node}
        sizes = [named.get("channels", named.get("c")), *(named.get(key, named.get(key[0])) for key in _SIDES)]
        whole = [size for size in sizes if type(size) is int]
        return whole if len(whole) == len(named) == 3 else None
    if isinstance(node, Scalar) and type(node.value) is int and node.value > 0:
        return [3, node.value, node.value]
    text = text_of(node)
    numbers = [int(number) for number in re.findall(r"\d+", text)] if text and _SIZES.fullmatch(text) else []
    return numbers if len(numbers) == 3 else [3, *numbers] if len(numbers) == 2 else None


def warn_of_channels_last(node: Node | None, diagnostics: Diagnostics) -> None:
    """Warns of an image's shape that has its channels at the end."""
    shape = plain(node) if isinstance(node, Sequence) else None
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(size) is int for size in shape):
        return
    height, width, channels = shape
    if height == width > channels and channels in _COLOURS:
        message = f"input: {shape} are {height} channels of {width} x {channels}"
        help = f"channels come first: [{channels}, {height}, {width}]"
        diagnostics.warning("channels-last", message, node.span if node else None, help=help)
