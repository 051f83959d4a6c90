"""Losses: any of torch.nn or timm.loss that compares a batch of logits with class labels, by its class name. Floor 7.

Which fit is tried, not listed: a Loss or Entropy fits if it makes one number of logits [B, C] and labels [B].
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, create_model
from torch import Tensor, nn

from zoo.data import TransformSpec
from zoo.diagnostics import Diagnostic, Diagnostics, Span, counted
from zoo.document import Mapping, Scalar
from zoo.errors import ConfigError, first_line
from zoo.models.heads import AuxiliaryLoss
from zoo.registry import unknown
from zoo.schema.check import tell_mistyped, validate
from zoo.schema.habits import name_elsewhere, name_help
from zoo.schema.recipe import DistillationSection, LossSection
from zoo.schema.signature import ArgsModel, arguments_model, given

_LEGACY = ("size_average", "reduce")  # deprecated by torch in 2018
_TENSORS = ("weight", "pos_weight")
_SHARE = Annotated[float, Field(ge=0, lt=1)]
_AT_LEAST_0 = Annotated[float, Field(ge=0)]
_OVERRIDES: dict[str, Any] = {  # what the signatures cannot say
    "weight": (tuple[float, ...] | Literal["balanced"] | None, None),
    "pos_weight": (_AT_LEAST_0 | tuple[_AT_LEAST_0, ...] | None, None),
    "reduction": (Literal["mean", "sum"], "mean"),
    "label_smoothing": (Annotated[float, Field(ge=0, le=1)], 0.0),
    "smoothing": (_SHARE, 0.1),
    "target_threshold": (Annotated[float, Field(gt=0, lt=1)] | None, None),
}
_DOCS = {"BinaryCrossEntropy": "A logistic loss for each class, of class numbers and of shares."}  # timm's has notes
_OF_SEVERAL_CLASSES = ("AsymmetricLossMultiLabel", "PolyBinaryCrossEntropy", "ZlprLoss", "TwoWayLoss")
_INSTEAD = {  # losses that take no classes, and what does the like for them
    "SoftTargetCrossEntropy": "CrossEntropyLoss",
    **dict.fromkeys(
        ("BCELoss", "BCEWithLogitsLoss", "MultiLabelSoftMarginLoss", *_OF_SEVERAL_CLASSES), "BinaryCrossEntropy"
    ),
}


@dataclass(frozen=True, slots=True)
class LossSpec:
    """A loss by name with its checked arguments, those that were given, and what else is made of it.

    ``auxiliary`` are the weights of further outputs' losses.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    auxiliary: dict[str, float] = field(default_factory=dict)
    distillation: DistillationSection | None = None

    def build(self, counts: Sequence[int] | None = None) -> nn.Module:
        """The loss of one output; weights, given as lists of numbers, become tensors.

        ``counts`` are each class's training images: without them balanced weights are left out.
        """
        arguments = dict(self.arguments)
        if arguments.get("weight") == "balanced":
            arguments["weight"] = None if counts is None else balanced(counts)
        for key in _TENSORS:
            if arguments.get(key) is not None:
                arguments[key] = torch.tensor(arguments[key])
        module: nn.Module = _classes(self.name)[self.name](**arguments)
        return module


def balanced(counts: Sequence[int]) -> list[float]:
    """Weights that give every class the same part in the loss: images / (classes x images of the class).

    scikit-learn's ``class_weight="balanced"``; over the training images their mean is 1.
    """
    return [sum(counts) / (len(counts) * max(1, count)) for count in counts]


@cache
def _of_torch() -> dict[str, Any]:
    return _fitting(nn)


@cache
def _of_timm() -> dict[str, Any]:
    from timm import loss  # takes seconds: imported where a name is none of torch's

    return {name: made for name, made in _fitting(loss).items() if name not in _of_torch()}


def _fitting(library: Any) -> dict[str, Any]:
    classes = {name: getattr(library, name) for name in dir(library) if name.endswith(("Loss", "Entropy"))}
    return {name: made for name, made in classes.items() if isinstance(made, type) and _fits(made)}


def _fits(made: type[nn.Module]) -> bool:
    """Whether the loss makes one finite number of logits and labels."""
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
            value = made()(torch.randn(2, 3), torch.tensor([0, 2]))
    except Exception:  # whatever a loss of another kind says of such input
        return False
    return isinstance(value, torch.Tensor) and value.ndim == 0 and bool(value.isfinite())


def _classes(name: str) -> dict[str, Any]:
    """The classes among which a name is looked up."""
    return _of_torch() if name in _of_torch() else _of_timm()


@cache
def loss_names() -> tuple[str, ...]:
    """Every loss that fits, CrossEntropyLoss first, torch's before timm's."""
    names = (*_of_torch(), *_of_timm())
    return tuple(sorted(names, key=lambda name: (name != "CrossEntropyLoss", name in _of_timm(), name)))


@cache
def loss_arguments(name: str) -> type[ArgsModel]:
    """The arguments of a loss."""
    target = _classes(name)[name]
    overrides = {key: value for key, value in _OVERRIDES.items() if key in inspect.signature(target).parameters}
    return arguments_model(name, target, leave_out=_LEGACY, overrides=overrides, doc=_DOCS.get(name, ""))


@cache
def loss_section(name: str) -> type[ArgsModel]:
    """The arguments of a loss, and what else may stand beside its name."""
    own = {key: info for key, info in LossSection.model_fields.items() if key != "name"}
    more: Any = {key: (info.annotation, info) for key, info in own.items()}
    return create_model(name, __base__=loss_arguments(name), **more)


def parse_loss(node: Mapping, diagnostics: Diagnostics) -> LossSpec | None:
    """The loss of a recipe's ``loss``, or None after its errors were told."""
    written = node.get("name")
    if written is None and tell_mistyped("name", node, diagnostics, what="loss"):
        return None
    if written is None and name_elsewhere(node) is not None:
        help = name_help(node, "name", loss_names()) or ""
        help += "; zoo ls losses has the names" if "name: …" in help else ""
        diagnostics.error("missing-key", "loss: name is missing", node.span, help=help)
        return None
    name = str(written.value) if isinstance(written, Scalar) else "CrossEntropyLoss"
    span = node.value_span("name")
    if name not in _classes(name):
        told = unknown("loss", name, loss_names(), span)
        takes_classes = f"{_INSTEAD[name]} does it for classes" if name in _INSTEAD else told.help
        diagnostics.add(replace(told, help=takes_classes))
        return None
    section = validate(loss_section(name), node.without(["name"]), diagnostics, what=name)
    if section is None:
        return None
    arguments = given(section)
    auxiliary, distillation = (arguments.pop(key, None) for key in ("auxiliary", "distillation"))
    spec = LossSpec(name, arguments, auxiliary or {}, distillation)
    if distillation is not None:
        _warn_of_temperature(distillation, node, diagnostics)
    if spec.arguments.get("sum_classes") and spec.arguments.get("reduction") == "sum":
        message = f"{name}: sum_classes takes the mean over the images, reduction: sum does not"
        diagnostics.error("bad-value", message, node.key_span("reduction"), help="one of the two")
        return None
    try:
        spec.build()
    except (ValueError, TypeError, AssertionError) as error:
        diagnostics.error("bad-value", f"{name}: {first_line(error)}", span)
        return None
    return spec


def _warn_of_temperature(distillation: DistillationSection, node: Mapping, diagnostics: Diagnostics) -> None:
    """Another temperature than the default is an error of the section's; that one stands in every resolved recipe."""
    section = node.get("distillation")
    if distillation.kind == "hard" and isinstance(section, Mapping) and "temperature" in section:
        message = "loss.distillation.temperature: no effect with `kind: hard`"
        help = "leave it out: the likeliest class is the same at every temperature"
        diagnostics.warning("no-effect", message, section.key_span("temperature"), help=help)


def fitting_loss(
    spec: LossSpec,
    classes: int,
    transforms: Sequence[TransformSpec],
    node: Mapping,
    counts: Sequence[int] | None = None,
) -> nn.Module:
    """The loss, of all heads together, tried once on the labels it will get. Raises ConfigError if it refuses them.

    Labels are class numbers (2), and shares of each class (2, classes) where a transform mixes images; ``counts`` are
    each class's training images, once they are known.
    """
    for key in _TENSORS:
        weights = spec.arguments.get(key)
        if isinstance(weights, tuple) and len(weights) != classes:
            why = f"{key} has {counted(len(weights), 'number')}"
            raise _misfit(_does_not_fit(spec, classes, why), node.value_span(key))
    loss, logits = spec.build(counts), torch.zeros(2, classes)
    reason = _refused(loss, logits, torch.zeros(2, dtype=torch.int64))
    if reason is not None:
        raise _misfit(_does_not_fit(spec, classes, reason), node.span)
    mixing = next((transform for transform in transforms if transform.mixes_labels), None)
    reason = _refused(loss, logits, torch.full((2, classes), 1 / classes)) if mixing is not None else None
    if mixing is not None and reason is not None:
        message = f"loss: {_with_arguments(spec)} does not take the mixed labels that {mixing.name} makes: {reason}"
        help = f"a plain CrossEntropyLoss takes them, and so does BinaryCrossEntropy; or leave {mixing.name} out"
        raise _misfit(message, mixing.span, help=help)
    return AuxiliaryLoss(loss, spec.auxiliary) if spec.auxiliary else loss


def _refused(loss: nn.Module, logits: Tensor, labels: Tensor) -> str | None:
    """What a loss says against such labels; None where it takes them."""
    try:
        loss(logits, labels)
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        return first_line(error)
    return None


def _does_not_fit(spec: LossSpec, classes: int, reason: str) -> str:
    return f"loss: {spec.name} does not fit {classes} classes: {reason}"


def _misfit(message: str, span: Span | None, help: str | None = None) -> ConfigError:
    return ConfigError([Diagnostic("error", "loss-misfit", message, span, help=help)])


def _with_arguments(spec: LossSpec) -> str:
    """A loss with what was given beside its name: it may be that which does not fit."""
    given = ", ".join(f"{name}: {value}" for name, value in spec.arguments.items())
    return f"{spec.name} {{{given}}}" if given else spec.name
