"""Which forms of one block a single class can stand for. Floor 6."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from typing import Any

from zoo.exchange.eject.forms import Described, Form, StepForm
from zoo.graph import Ref

_MOST_CHOICES = 64


@dataclass
class Variant:
    """Instances that share a class, the fullest first; ``passes`` is what a step that is left out hands on."""

    described: list[Described]
    passes: dict[str, Ref] = field(default_factory=dict)


def variants_of(described: Sequence[Described]) -> list[Variant]:
    """Instances by form; a form that another one contains joins it. The variant of the most instances comes first."""
    forms: dict[Form, list[Described]] = {}
    for each in described:
        forms.setdefault(each.form, []).append(each)
    variants: list[Variant] = []
    for form in sorted(forms, key=lambda form: -len(form.steps)):
        for variant in variants:
            passes = _passes(variant.described[0].form, form, variant.passes)
            if passes is not None:
                variant.described += forms[form]
                variant.passes |= passes
                break
        else:
            variants.append(Variant(list(forms[form])))
    return sorted(variants, key=lambda variant: -len(variant.described))


def _passes(full: Form, part: Form, settled: Mapping[str, Ref]) -> dict[str, Ref] | None:
    """What the steps that ``part`` lacks would have to hand on for it to be ``full``; None where nothing would do."""
    ours, theirs = dict(full.steps), dict(part.steps)
    if full.inputs != part.inputs or not full.output or not set(theirs) <= set(ours):
        return None
    missing = [name for name in ours if name not in theirs]
    choices = [[settled[name]] if name in settled else _could_hand_on(ours[name]) for name in missing]
    if prod(map(len, choices)) > _MOST_CHOICES:
        return None
    tries = (dict(zip(missing, chosen, strict=True)) for chosen in product(*choices))
    return next((passes for passes in tries if _is_part(full, part, passes)), None)


def _could_hand_on(step: StepForm) -> list[Ref]:
    """The values that a layer may stand aside for: a module's one input, any input of a function.

    A module that is called with keywords is not one: ``nn.Identity`` takes none.
    """
    if step.named_inputs or step.kind not in ("module", "block", "function"):
        return []
    if step.kind != "function" and step.keywords:
        return []
    if step.kind == "function":
        return list(dict.fromkeys(step.inputs))
    return list(step.inputs) if len(step.inputs) == 1 else []


def _is_part(full: Form, part: Form, passes: Mapping[str, Ref]) -> bool:
    passed: dict[str, Ref] = {}
    theirs = dict(part.steps)
    for name, step in full.steps:
        if name in passes:
            passed[name] = _redirect(passes[name], passed)
        elif _redirected(step, passed) != theirs[name]:
            return False
    return _redirect_output(full.output, passed) == part.output


def _redirect(ref: Ref, passed: Mapping[str, Ref]) -> Ref:
    if ref.name not in passed:
        return ref
    return replace(passed[ref.name], picks=(*passed[ref.name].picks, *ref.picks))


def _redirected(step: StepForm, passed: Mapping[str, Ref]) -> StepForm:
    return replace(
        step,
        inputs=tuple(_redirect(ref, passed) for ref in step.inputs),
        named_inputs=tuple((name, _redirect(ref, passed)) for name, ref in step.named_inputs),
        batch_like=step.batch_like and _redirect(step.batch_like, passed),
    )


def _redirect_output(output: tuple[Any, ...], passed: Mapping[str, Ref]) -> tuple[Any, ...]:
    kind, refs = output
    if kind == "one":
        return kind, _redirect(refs, passed)
    if kind == "dict":
        return kind, tuple((name, _redirect(ref, passed)) for name, ref in refs)
    return kind, tuple(_redirect(ref, passed) for ref in refs)
