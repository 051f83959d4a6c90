"""The registry of transforms, and a transform as a recipe names it. Floor 2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from pydantic import BaseModel

from zoo.data.transforms import albumentations, compositions, mixing
from zoo.data.transforms.augment import AutoAugment, RandAugment, TrivialAugmentWide
from zoo.data.transforms.batched.builders import BUILDERS
from zoo.data.transforms.batched.forms import BatchedForm, Builder, Facts, NotBatchedError, Shape
from zoo.diagnostics import Span
from zoo.registry import Registry


@dataclass(frozen=True)
class TransformEntry:
    """A transform by its name.

    ``make_arguments`` makes the model that judges what is written beside it. ``batched`` makes the form that runs over
    whole batches, from the built albumentations transform, or raises NotBatchedError. ``own`` makes the form of a
    transform of zoo's own, which has no other: where samples are treated one by one, it runs on batches of one.
    """

    name: str
    make_arguments: Callable[[], type[BaseModel]]
    batched: Builder | None = None
    own: Callable[[Any, Shape, Facts], BatchedForm] | None = None
    only_train: bool = False
    mixes_labels: bool = False
    takes_floats: bool = True

    @cached_property
    def arguments(self) -> type[BaseModel]:
        """The Pydantic model of its arguments, made when it is first asked for: there are a hundred."""
        return self.make_arguments()

    @property
    def is_batched(self) -> bool:
        """Whether it has a batched form, for some arguments at least; a composition, if those in it have one."""
        return self.batched is not None or self.own is not None or self.name in albumentations.COMPOSITIONS

    @property
    def doc(self) -> str:
        """What it does, in its first line."""
        return (self.arguments.__doc__ or "").strip().partition("\n")[0]


_OWN: tuple[Any, ...] = (
    mixing.AlternatingFlip, mixing.CutMix, mixing.MixUp, mixing.ToTensorV2, RandAugment, TrivialAugmentWide,
    AutoAugment,
)  # fmt: skip
_GIVE_FLOATS = ("Normalize", "ToFloat")
_NEVER_FORCED = ("SomeOf", "RandomOrder")  # they take force_apply and draw whether to do anything all the same


def _load(registry: Registry[TransformEntry]) -> None:
    for name in albumentations.transform_names():
        registry.add(name, TransformEntry(name, partial(albumentations.arguments_of, name), BUILDERS.get(name)))
    for name in albumentations.COMPOSITIONS:
        registry.add(name, TransformEntry(name, partial(albumentations.composition_arguments_of, name)))
    for model in _OWN:
        registry.add(model.__name__, _own(model))


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
    def p(self) -> float:
        """The share of images that it treats; 1 for what knows no share."""
        return float(self.argument("p")) if "p" in self.entry.arguments.model_fields else 1.0

    def argument(self, name: str) -> Any:
        """An argument's value, written or by default."""
        return self.arguments.get(name, self.entry.arguments.model_fields[name].default)

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
        return makes and self.p > 0

    def build(self, facts: Facts) -> Any:
        """The albumentations transform; Normalize without mean and std takes the data's."""
        arguments = dict(self.arguments)
        if self.name == "Normalize":
            arguments = {"mean": list(facts.mean), "std": list(facts.std)} | arguments
        return albumentations.build(self.name, arguments, [child.build(facts) for child in self.children])

    def batched(self, shape: Shape, facts: Facts, *, forced: bool = False) -> BatchedForm:
        """The form that runs over whole batches of this shape. Raises NotBatchedError where there is none.

        ``forced`` is albumentations' ``force_apply``: every image is treated, whatever ``p`` says.
        """
        entry = self.entry
        if entry.own is not None:
            return entry.own(self._validated(), shape, facts)
        if self.mixes_labels:
            return mixing.one_of([child._validated() for child in self.children], self.p, shape, facts)
        if not entry.is_batched:
            raise NotBatchedError(self.name)
        transform = self.build(facts)
        if forced and self.name not in _NEVER_FORCED:
            transform.p = 1.0
        if entry.batched is None:
            return compositions.composed(transform, self.children, shape, facts)
        return entry.batched(transform, shape)

    def _validated(self) -> BaseModel:
        return self.entry.arguments.model_validate(dict(self.arguments))
