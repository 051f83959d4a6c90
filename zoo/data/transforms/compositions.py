"""OneOf, Sequential, SomeOf and RandomOrder over batches: each image goes through those it drew. Floor 2.

What is drawn, and whose ``p`` counts, is albumentations' (its ``core/composition.py``): a ``p`` is a weight to OneOf,
and what it chose is applied whatever its ``p``; SomeOf and RandomOrder choose among all with equal chances, and what
they chose then has its own ``p``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from zoo.data.draws import Draws, stream_of
from zoo.data.transforms.batched.canvas import Canvas
from zoo.data.transforms.batched.chosen import where_chosen
from zoo.data.transforms.batched.forms import BatchedForm, Facts, NotBatchedError, Parameters, Shape
from zoo.data.transforms.batched.geometry import Flip, Window

Bools = npt.NDArray[np.bool_]
Turn = tuple[BatchedForm, Mapping[str, Tensor], Tensor]  # a form, its parameters, and which images take it (B)


class Spec(Protocol):
    """A transform as a recipe names it."""

    @property
    def name(self) -> str:
        """Its name."""

    def batched(self, shape: Shape, facts: Facts, *, forced: bool = False) -> BatchedForm:
        """Its batched form; ``forced``: applied to every image, whatever its p."""


@dataclass(frozen=True, slots=True)
class Step:
    """A transform in a list, and the stream its draws come from."""

    form: BatchedForm
    stream: int


def streams(specs: Sequence[Spec]) -> Iterator[int]:
    """A stream for each transform, by its name and how many of that name stand above it: others may come and go."""
    seen: Counter[str] = Counter()
    for spec in specs:
        yield stream_of(f"{spec.name} {seen[spec.name]}")
        seen[spec.name] += 1


def in_turn(specs: Sequence[Spec], shape: Shape, facts: Facts) -> tuple[Step, ...]:
    """The batched form of every transform of a list, each for what the one before it gives."""
    steps = []
    for spec, stream in zip(specs, streams(specs), strict=True):
        steps.append(Step(spec.batched(shape, facts), stream))
        shape = steps[-1].form.after
    return tuple(steps)


def composed(transform: Any, children: Sequence[Spec], shape: Shape, facts: Facts) -> BatchedForm:
    """The form of a composition, from albumentations' own and the specs of those in it."""
    name = type(transform).__name__
    try:
        return _MADE_BY[name](transform, children, shape, facts)
    except NotBatchedError as reason:
        raise NotBatchedError(f"{reason}, in {name}") from None


@dataclass(frozen=True)
class _Steps:
    """Several forms. Parameters of the one at place k are called ``k.`` and their own name."""

    steps: tuple[Step, ...]

    @property
    def after(self) -> Shape:
        """What the last one gives."""
        return self.steps[-1].form.after

    def _drawn(self, draws: Draws) -> dict[str, Any]:
        """The parameters of all; a stream for each keeps its draws apart from those of the others."""
        return {
            f"{place}.{name}": values
            for place, step in enumerate(self.steps)
            for name, values in step.form.draw(draws.within(step.stream)).items()
        }


@dataclass(frozen=True)
class Chain(_Steps):
    """Sequential: all, one after another."""

    def draw(self, draws: Draws) -> Parameters:
        """The parameters of all."""
        return self._drawn(draws)

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Applies all."""
        for place, step in enumerate(self.steps):
            canvas = step.form.apply(canvas, _own(parameters, place))
        return canvas


@dataclass(frozen=True)
class Choice(_Steps):
    """Each image goes through the steps it drew, or with 1 - p through none; ``order`` has the places of the steps.

    Unless every image goes through one step, all have to give the shape that they are given: ``before``.
    """

    order: tuple[int, ...]
    p: float
    before: Shape

    def draw(self, draws: Draws) -> Parameters:
        """Those of all steps, and ``chosen`` (n, length of the order): whether the image goes through each."""
        chosen = self._chosen(draws) & draws.happens(self.p)[:, None]
        return {"chosen": chosen} | self._drawn(draws)

    def _chosen(self, draws: Draws) -> Bools:
        raise NotImplementedError

    def apply(self, canvas: Canvas, parameters: Mapping[str, Tensor]) -> Canvas:
        """Takes the steps in their order, each with the images that drew it."""
        turns = [
            (self.steps[place].form, _own(parameters, place), parameters["chosen"][:, turn])
            for turn, place in enumerate(self.order)
        ]
        if self.after != self.before:
            return _shared_out(canvas, turns)
        if _only_moves(self):
            for form, own, chosen_B in turns:
                canvas = canvas.where(chosen_B, form.apply(canvas, own))
            return canvas
        pixels = canvas.pixels()
        for form, own, chosen_B in turns:
            pixels = where_chosen(pixels, chosen_B, own, partial(_changed, form))
        return Canvas.of(pixels)


@dataclass(frozen=True)
class OneOf(Choice):
    """One step for each image, as often as its weight says."""

    weights: tuple[float, ...]

    def _chosen(self, draws: Draws) -> Bools:
        chosen: Bools = draws.weighted(self.weights)[:, None] == np.arange(len(self.weights))
        return chosen


@dataclass(frozen=True)
class SomeOf(Choice):
    """SomeOf and RandomOrder: ``count`` of several ``kinds`` for each image, all with equal chances.

    ``replace``: the same may come again; ``shuffles``: they come in the order that they are drawn in.
    """

    count: int
    kinds: int
    replace: bool
    shuffles: bool

    def _chosen(self, draws: Draws) -> Bools:
        drawn = np.stack([draws.uniform() for _ in range(self.count if self.replace else self.kinds)], axis=1)
        kind = (drawn * self.kinds).astype(np.int64) if self.replace else drawn.argsort(axis=1)[:, : self.count]
        chosen: Bools = kind[:, :, None] == np.arange(self.kinds)  # n, turns, kinds
        if self.shuffles:
            return chosen.reshape(len(draws), -1)
        # Kind by kind, for albumentations sorts what it drew.
        return chosen.swapaxes(1, 2).reshape(len(draws), -1) if self.replace else np.any(chosen, axis=1)


def _own(parameters: Mapping[str, Tensor], place: int) -> Mapping[str, Tensor]:
    prefix = f"{place}."
    return {name.removeprefix(prefix): values for name, values in parameters.items() if name.startswith(prefix)}


def _changed(form: BatchedForm, pixels_BHWC: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    return form.apply(Canvas.of(pixels_BHWC), parameters).pixels()


def _shared_out(canvas: Canvas, turns: Sequence[Turn]) -> Canvas:
    """Every image through one form, all of which give images of another shape than they get."""
    pixels = canvas.pixels()
    first, own, _ = turns[0]
    result = _changed(first, pixels, own)  # of all, so that there is something to put the others into
    for form, own, chosen_B in turns[1:]:
        result = where_chosen(pixels, chosen_B, own, partial(_changed, form), result)
    return Canvas.of(result)


def _only_moves(form: BatchedForm) -> bool:
    """Whether the form moves rows and columns and leaves their pixels for later."""
    if isinstance(form, Choice) and form.after != form.before:
        return False
    if isinstance(form, Chain | Choice):
        return all(_only_moves(step.form) for step in form.steps)
    return isinstance(form, Flip | Window)


def _sequential(transform: Any, children: Sequence[Spec], shape: Shape, facts: Facts) -> BatchedForm:
    chain = Chain(in_turn(children, shape, facts))
    if transform.p >= 1:
        return chain
    _check_alike([chain], shape, are_all_changed=False)
    return OneOf((Step(chain, stream_of("Sequential")),), (0,), transform.p, shape, (1.0,))


def _one_of(transform: Any, children: Sequence[Spec], shape: Shape, facts: Facts) -> BatchedForm:
    rows = zip(children, streams(children), transform.transforms_ps, strict=True)
    possible = [(child, stream, weight) for child, stream, weight in rows if weight > 0]
    steps = tuple(Step(child.batched(shape, facts, forced=True), stream) for child, stream, _ in possible)
    _check_alike([step.form for step in steps], shape, are_all_changed=transform.p >= 1)
    weights = tuple(weight for _, _, weight in possible)
    return OneOf(steps, tuple(range(len(steps))), transform.p, shape, weights)


def _some_of(transform: Any, children: Sequence[Spec], shape: Shape, facts: Facts) -> BatchedForm:
    kinds, count, replace = len(children), transform.n, transform.replace
    shuffles = type(transform).__name__ == "RandomOrder"
    forms = [child.batched(shape, facts) for child in children]
    _check_alike(forms, shape, are_all_changed=count == 1 and transform.p >= 1)
    copies = count if replace else 1  # of each kind: what comes again draws anew
    steps = tuple(
        Step(form, stream_of(f"{stream} {copy}"))
        for copy in range(copies)
        for form, stream in zip(forms, streams(children), strict=True)
    )
    places = np.arange(len(steps)).reshape(copies, kinds)
    order = np.tile(places.ravel(), count // copies) if shuffles else places.T.ravel()
    return SomeOf(steps, tuple(order.tolist()), transform.p, shape, count, kinds, replace, shuffles)


def _check_alike(forms: Sequence[BatchedForm], shape: Shape, *, are_all_changed: bool) -> None:
    """Refuses what gives images of several shapes: those of the forms, and ``shape`` unless all go through one form."""
    shapes = {form.after for form in forms} | (set() if are_all_changed else {shape})
    if len({one.dtype for one in shapes}) > 1:
        raise NotBatchedError("images of both uint8 and float32")
    if len(shapes) > 1:
        raise NotBatchedError("images of several sizes")


_MADE_BY = {"OneOf": _one_of, "Sequential": _sequential, "SomeOf": _some_of, "RandomOrder": _some_of}
