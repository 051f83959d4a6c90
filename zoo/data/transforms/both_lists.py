"""What a recipe's two lists of transforms hardly mean: tests that are random, or of other images than the training's.

All are warnings. Floor 2.
"""

from __future__ import annotations

from collections.abc import Iterator

from zoo.data.transforms.catalogue import TransformSpec
from zoo.diagnostics import Diagnostics, Note, Span

Specs = tuple[TransformSpec, ...]


def check_both(train: Specs, eval_: Specs, places: tuple[Span, Span], diagnostics: Diagnostics) -> None:
    """Warns of what is random in ``eval_``, and of a Normalize that one list has alone; ``places`` are the lists'."""
    for spec in eval_:
        random = next((one for one in _within(spec) if _is_random(one)), None)
        if random is not None:
            diagnostics.warning(
                "random-eval",
                f"transforms.eval: {random.name} is random: each test would be of other images",
                random.span,
                help="move it to transforms.train" + ("; p: 1 takes all images" if random.p < 1 else ""),
            )
    found = [next(filter(None, map(_normalize, specs)), None) for specs in (train, eval_)]
    for has, lacks, at in (("train", "eval", 0), ("eval", "train", 1)):
        one = found[at]
        if one is None or found[1 - at] is not None:
            continue
        is_written = one.span is not None and one.span != places[at]  # a list's default has one place for all
        diagnostics.warning(
            "one-sided-normalize",
            f"transforms.{has} normalises the images, transforms.{lacks} does not: tests are of other images than "
            "the training",
            places[1 - at],
            notes=[
                Note(
                    "Normalize stands here" if is_written else f"transforms.{has} is [Normalize] by default",
                    one.span if is_written else None,
                )
            ],
            help=f"add Normalize to transforms.{lacks}",
        )


def _within(spec: TransformSpec) -> Iterator[TransformSpec]:
    yield spec
    for child in spec.children:
        yield from _within(child)


def _is_random(spec: TransformSpec) -> bool:
    chooses = len(spec.children) > 1 and spec.name != "Sequential"
    return spec.p > 0 and (spec.p < 1 or chooses or spec.name.startswith("Random"))


def _normalize(spec: TransformSpec) -> TransformSpec | None:
    return next((one for one in _within(spec) if one.name == "Normalize" and one.p > 0), None)
