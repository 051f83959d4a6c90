"""A recipe's list of transforms turned into checked specs. Floor 2."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any, Literal

from zoo.data.transforms import albumentations
from zoo.data.transforms.batched.forms import ANY_FACTS
from zoo.data.transforms.catalogue import TransformEntry, TransformSpec, transforms
from zoo.diagnostics import Diagnostics, Note, Span
from zoo.document import Mapping, Node, Sequence, is_null, plain, text_of
from zoo.document.writer import flow_text
from zoo.registry import offer
from zoo.schema.check import validate
from zoo.schema.habits import last_of, name_elsewhere
from zoo.schema.signature import fields_of

Where = Literal["train", "eval"]
_SYNONYMS = {  # what torchvision, timm and older versions of albumentations call it, in lower case
    "cutout": "CoarseDropout",
    "grayscale": "ToGray",
    "randomaffine": "Affine",
    "randomerasing": "Erasing",
    "randomgrayscale": "ToGray",
    "randomrotation": "Rotate",
    "totensor": "ToTensorV2",
}


def parse_transforms(
    node: Node, diagnostics: Diagnostics, *, where: Where, inside: str = ""
) -> tuple[TransformSpec, ...]:
    """Checks a list of transforms, each ``NAME`` or ``NAME: {arguments}``; every error goes to the diagnostics.

    ``inside`` names the transform that the list is an argument of.
    """
    if not isinstance(node, Sequence):
        diagnostics.error("wrong-type", "transforms are a list", node.span, help="begin each with `- `")
        return ()
    parsed = (_parse_one(item, diagnostics, where, inside) for item in node)
    specs = tuple(spec for spec in parsed if spec is not None)
    if inside != "OneOf":  # where no two follow each other
        _refuse_floats(specs, diagnostics)
    return specs


def _refuse_floats(specs: tuple[TransformSpec, ...], diagnostics: Diagnostics) -> None:
    """Tells of a transform that takes uint8 images and stands behind one that makes others of them."""
    made: TransformSpec | None = None  # of the last transform that gives floats
    for spec in specs:
        if made is not None and not spec.entry.takes_floats:
            message = f"{spec.name} takes images that no {made.name} has seen yet"
            notes = [Note("that stands here", made.span)] if made.span is not None else []
            diagnostics.error("bad-value", message, spec.span, notes=notes, help=f"put it before {made.name}")
        if spec.gives_floats:
            made = spec
        elif spec.name == "FromFloat":
            made = None


def _parse_one(node: Node, diagnostics: Diagnostics, where: Where, inside: str) -> TransformSpec | None:
    named = _named(node, diagnostics)
    if named is None:
        return None
    name, span, written = named
    entry = transforms.get(name)
    if entry is None:
        found, synonym = transforms.unknown(name, span), _SYNONYMS.get(name.lower())
        called = name.partition("(")[0]
        if called != name and called in transforms:  # as Python writes it: RandomCrop(8)
            found = replace(found, help=_argument_help(called))
        diagnostics.add(replace(found, help=offer([synonym])) if synonym else found)
        return None
    if entry.only_train and where == "eval":
        diagnostics.error("train-only", f"{name} is a transform for training", span, help="move it to transforms.train")
        return None
    if not _judged(entry, written, span, diagnostics):
        return None
    if name not in albumentations.COMPOSITIONS:
        return _tried(TransformSpec(name, plain(written), span), diagnostics)
    children = _children(name, written.get("transforms"), diagnostics, where)
    if children is None:
        return None
    spec = TransformSpec(name, plain(written.without(["transforms"])), span, children)
    # What OneOf chooses is always applied.
    if ((name == "Sequential" and inside != "OneOf") or spec.mixes_labels) and written.get("p") is None:
        message = f"{name}: without p, half of the images do without what is in it (albumentations' default is 0.5)"
        diagnostics.warning("half-applied", message, span, help="p: 1 for all images, or p: 0.5 to say so")
    return _tried(spec, diagnostics)


def _judged(entry: TransformEntry, written: Mapping, span: Span, diagnostics: Diagnostics) -> bool:
    """Whether the arguments will do; what the library would only warn of is told as a warning at its place."""
    # The library takes infinity and NaN, and trips over them image by image.
    endless = [one for one in written.entries if one.key != "transforms" and not _are_finite(plain(one.value))]
    for one in endless:
        diagnostics.error("bad-value", f"{entry.name}: {one.key}: a number has to be finite", one.value.span)
    if endless:
        return False
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            valid = validate(entry.arguments, written, diagnostics, what=entry.name) is not None
        except (TypeError, ArithmeticError) as error:  # a validator of the library's trips over a value
            diagnostics.error("bad-value", f"{entry.name}: {error}", span)
            return False
    for warning in heard:
        if issubclass(warning.category, UserWarning):
            diagnostics.warning("adjusted", f"{entry.name}: {warning.message}", span)
    return valid


def _are_finite(value: Any) -> bool:
    """Whether there is neither infinity nor NaN among the numbers of a value."""
    if isinstance(value, dict | list):
        return all(map(_are_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


def _children(name: str, node: Node | None, diagnostics: Diagnostics, where: Where) -> tuple[TransformSpec, ...] | None:
    """The transforms inside a OneOf and its like; None where one of them is wrong."""
    assert isinstance(node, Sequence)
    children = parse_transforms(node, diagnostics, where=where, inside=name)
    if len(children) < len(node):
        return None
    if name == "OneOf" and all(child.p == 0 for child in children):
        diagnostics.error("bad-value", "OneOf: with p: 0 for each of its transforms it has none to choose", node.span)
        return None
    mixers = [child for child in children if child.entry.mixes_labels]
    if name == "OneOf" and len(mixers) == len(node):
        return children
    refused = next((child for child in children if child.is_own), None)
    if refused is None:
        return children
    if refused.children:
        what, help = f"no OneOf of {refused.children[0].name}", "one OneOf may have CutMix and MixUp, and nothing else"
    else:
        what, help = "albumentations' transforms only", f"{refused.name} is zoo's own; put it into the list itself"
        if mixers:
            help += ", or into a OneOf of CutMix and MixUp alone"
    diagnostics.error("bad-value", f"{name} takes {what}", refused.span, help=help)
    return None


def _named(node: Node, diagnostics: Diagnostics) -> tuple[str, Span, Mapping] | None:
    if (name := text_of(node)) is not None:
        return name, node.span, Mapping((), node.span)
    if isinstance(node, Mapping) and len(node) == 1:
        entry = node.entries[0]
        if isinstance(entry.value, Mapping):
            return entry.key, entry.key_span, entry.value
        if is_null(entry.value):
            return entry.key, entry.key_span, Mapping((), entry.key_span)
    diagnostics.error(
        "wrong-type",
        "a transform is a name, or one name with its arguments",
        node.span,
        help=_form_help(node),
    )
    return None


def _form_help(node: Node) -> str:
    """How a transform's arguments are written: of the one at hand where its name is known."""
    entries = node.entries if isinstance(node, Mapping) else ()
    found = name_elsewhere(node) if isinstance(node, Mapping) else None
    if found is not None and isinstance(node, Mapping) and (name := last_of(found[1])) in transforms:
        beside = plain(node.without([found[0]]))
        return f"write `- {name}: {flow_text(beside)}`" if beside else f"write `- {name}`"
    if not entries or entries[0].key not in transforms:
        return "for example `- HorizontalFlip: {p: 0.5}`"
    first = entries[0]
    if len(entries) > 1:
        inside = f"what follows `- {first.key}:` is indented under its name, or stands in {{…}} behind it"
        return inside if is_null(first.value) else "begin each with `- `"
    return _argument_help(first.key)


def _argument_help(name: str) -> str:
    fields = fields_of(transforms[name].arguments)
    due = [key for key, field in fields.items() if field.is_required()] or [key for key in fields if key != "p"][:1]
    return f"arguments go by name: `- {name}: {{{', '.join(f'{key}: …' for key in due or ['p'])}}}`"


def _tried(spec: TransformSpec, diagnostics: Diagnostics) -> TransformSpec | None:
    """The spec, unless the library refuses to build it for a reason that its schema does not know."""
    if spec.is_own:
        return spec
    try:
        spec.build(ANY_FACTS)
    except (ValueError, TypeError, ArithmeticError) as error:
        diagnostics.error("bad-value", f"{spec.name}: {error}", spec.span)
        return None
    return spec
