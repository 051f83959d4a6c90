"""The registry of transforms, and a recipe's list of them turned into checked specs. Floor 2."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel

from zoo.data.transforms import albumentations, geometry, mixing, pixels
from zoo.data.transforms.forms import ANY_FACTS, BatchedForm, Builder, Facts, NotBatchedError, Shape
from zoo.data.transforms.randaugment import RandAugment
from zoo.diagnostics import Diagnostics, Note, Span
from zoo.document import Mapping as MappingNode
from zoo.document import Node, Sequence, is_null, plain, text_of
from zoo.registry import Registry
from zoo.schema.check import validate

Where = Literal["train", "eval"]


@dataclass(frozen=True)
class TransformEntry:
    """A transform by its name.

    ``arguments`` judges what is written beside it. ``batched`` makes the form that runs over whole batches, from the
    built albumentations transform, or raises NotBatchedError. ``own`` makes the form of a transform of zoo's own,
    which has no other: where samples are treated one by one, it runs on batches of one.
    """

    name: str
    model: Callable[[], type[BaseModel]]
    batched: Builder | None = None
    own: Callable[[Any, Shape, Facts], BatchedForm] | None = None
    only_train: bool = False
    mixes_labels: bool = False
    takes_floats: bool = True

    @cached_property
    def arguments(self) -> type[BaseModel]:
        """The Pydantic model of its arguments."""
        return self.model()

    @property
    def doc(self) -> str:
        """What it does, in its first line."""
        return (self.arguments.__doc__ or "").strip().partition("\n")[0]


_BATCHED: dict[str, Builder] = {
    "PadIfNeeded": geometry.pad_if_needed,
    "Pad": geometry.pad,
    "RandomCrop": geometry.random_crop,
    "CenterCrop": geometry.center_crop,
    "HorizontalFlip": geometry.horizontal_flip,
    "VerticalFlip": geometry.vertical_flip,
    "Affine": geometry.affine,
    "ShiftScaleRotate": geometry.affine,
    "CoarseDropout": pixels.coarse_dropout,
    "Normalize": pixels.normalize,
    "RandomBrightnessContrast": pixels.brightness_contrast,
    "ToGray": pixels.to_gray,
    "Resize": pixels.resize,
}

_GIVE_FLOATS = ("Normalize", "ToFloat")


def _load(registry: Registry[TransformEntry]) -> None:
    for name in albumentations.transform_names():
        registry.add(name, TransformEntry(name, _arguments_of(name), _BATCHED.get(name)))
    for name in albumentations.COMPOSITIONS:
        registry.add(name, TransformEntry(name, _composition_of(name)))
    for model in (mixing.AlternatingFlip, mixing.CutMix, mixing.MixUp, mixing.ToTensorV2, RandAugment):
        registry.add(model.__name__, _own(model))


def _arguments_of(name: str) -> Callable[[], type[BaseModel]]:
    return lambda: albumentations.arguments_of(name)


def _composition_of(name: str) -> Callable[[], type[BaseModel]]:
    return lambda: albumentations.composition_arguments_of(name)


def _own(model: Any) -> TransformEntry:
    return TransformEntry(
        model.__name__,
        lambda: model,
        own=model.form,
        only_train=model.only_train,
        mixes_labels=model.mixes_labels,
        takes_floats=model.takes_floats,
    )


transforms: Registry[TransformEntry] = Registry("transform", _load)


@dataclass(frozen=True)
class TransformSpec:
    """A transform as a recipe names it: checked, not yet built. ``children`` are those inside a OneOf and its like."""

    name: str
    arguments: Mapping[str, Any]
    span: Span | None = None
    children: tuple[TransformSpec, ...] = ()

    @property
    def entry(self) -> TransformEntry:
        """What the registry has under its name."""
        return transforms[self.name]

    @property
    def mixes_labels(self) -> bool:
        """Whether images come out with shares of several classes (B, classes) instead of a class (B)."""
        return self.entry.mixes_labels or any(child.mixes_labels for child in self.children)

    @property
    def is_own(self) -> bool:
        """Whether it is zoo's own: a OneOf of those that mix is, too."""
        return self.entry.own is not None or self.mixes_labels

    @property
    def gives_floats(self) -> bool:
        """Whether images, or some of them, come out as float32."""
        makes = self.name in _GIVE_FLOATS or any(child.gives_floats for child in self.children)
        return makes and self.arguments.get("p") != 0

    def build(self, facts: Facts) -> Any:
        """The albumentations transform; Normalize without mean and std takes the data's."""
        arguments = dict(self.arguments)
        if self.name == "Normalize":
            arguments = {"mean": list(facts.mean), "std": list(facts.std)} | arguments
        return albumentations.build(self.name, arguments, [child.build(facts) for child in self.children])

    def batched(self, shape: Shape, facts: Facts) -> BatchedForm:
        """The form that runs over whole batches of this shape. Raises NotBatchedError where there is none."""
        entry = self.entry
        if entry.own is not None:
            return entry.own(self._validated(), shape, facts)
        if self.mixes_labels:
            p = self.arguments.get("p", entry.arguments.model_fields["p"].default)
            return mixing.one_of([child._validated() for child in self.children], p, shape, facts)
        if entry.batched is None:
            raise NotBatchedError(self.name)
        return entry.batched(self.build(facts), shape)

    def _validated(self) -> BaseModel:
        return self.entry.arguments.model_validate(dict(self.arguments))


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
        diagnostics.add(transforms.unknown(name, span))
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


def _judged(entry: TransformEntry, written: MappingNode, span: Span, diagnostics: Diagnostics) -> bool:
    """Whether the arguments will do; what the library would only warn of is told as a warning at its place."""
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


def _children(name: str, node: Node | None, diagnostics: Diagnostics, where: Where) -> tuple[TransformSpec, ...] | None:
    """The transforms inside a OneOf and its like; None where one of them is wrong."""
    assert isinstance(node, Sequence)
    children = parse_transforms(node, diagnostics, where=where, inside=name)
    if len(children) < len(node):
        return None
    mixers = [child for child in children if child.entry.mixes_labels]
    if name == "OneOf" and len(mixers) == len(node):
        if any(child.arguments.get("p") != 0 for child in mixers):
            return children
        diagnostics.error("bad-value", "OneOf: with p: 0 for each of its transforms it has none to choose", node.span)
        return None
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


def _named(node: Node, diagnostics: Diagnostics) -> tuple[str, Span, MappingNode] | None:
    if (name := text_of(node)) is not None:
        return name, node.span, MappingNode((), node.span)
    if isinstance(node, MappingNode) and len(node) == 1:
        entry = node.entries[0]
        if isinstance(entry.value, MappingNode):
            return entry.key, entry.key_span, entry.value
        if is_null(entry.value):
            return entry.key, entry.key_span, MappingNode((), entry.key_span)
    diagnostics.error(
        "wrong-type",
        "a transform is a name, or one name with its arguments",
        node.span,
        help="for example `- HorizontalFlip: {p: 0.5}`",
    )
    return None


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
