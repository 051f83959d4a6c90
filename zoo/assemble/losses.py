"""Losses: any of torch.nn that compares a batch of logits with class labels, by its class name. Floor 7.

Which fit is tried, not listed: a loss fits if it makes one number of logits [B, C] and labels [B].
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from zoo.data import TransformSpec
from zoo.diagnostics import Diagnostic, Diagnostics, Span
from zoo.document import Mapping, Scalar
from zoo.errors import ConfigError, first_line
from zoo.registry import unknown
from zoo.schema.check import tell_mistyped, validate
from zoo.schema.signature import ArgsModel, arguments_model, given

_LEGACY = ("size_average", "reduce")  # deprecated by torch in 2018
_OVERRIDES: dict[str, Any] = {  # what the signatures cannot say
    "weight": (tuple[float, ...] | None, None),
    "reduction": (Literal["mean", "sum"], "mean"),
    "label_smoothing": (Annotated[float, Field(ge=0, le=1)], 0.0),
}


@dataclass(frozen=True, slots=True)
class LossSpec:
    """A loss by name with its checked arguments, those that were given."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """The loss; ``weight``, given as a list of numbers, becomes a tensor."""
        arguments = {
            key: torch.tensor(value) if key == "weight" and value is not None else value
            for key, value in self.arguments.items()
        }
        module: nn.Module = getattr(nn, self.name)(**arguments)
        return module


@cache
def loss_names() -> tuple[str, ...]:
    """Every loss that fits, CrossEntropyLoss first."""
    found = [name for name in dir(nn) if name.endswith("Loss") and _fits(name)]
    return tuple(sorted(found, key=lambda name: (name != "CrossEntropyLoss", name)))


@cache
def loss_arguments(name: str) -> type[ArgsModel]:
    """The arguments of a loss."""
    target = getattr(nn, name)
    overrides = {key: value for key, value in _OVERRIDES.items() if key in inspect.signature(target).parameters}
    return arguments_model(name, target, leave_out=_LEGACY, overrides=overrides)


def _fits(name: str) -> bool:
    """Whether the loss makes one finite number of logits and labels."""
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
            value = getattr(nn, name)()(torch.randn(2, 3), torch.tensor([0, 2]))
    except Exception:  # whatever a loss of another kind says of such input
        return False
    return isinstance(value, torch.Tensor) and value.ndim == 0


def parse_loss(node: Mapping, diagnostics: Diagnostics) -> LossSpec | None:
    """The loss of a recipe's ``loss``, or None after its errors were told."""
    written = node.get("name")
    if written is None and tell_mistyped("name", node, diagnostics, what="loss"):
        return None
    name = written.value if isinstance(written, Scalar) else "CrossEntropyLoss"
    if name not in loss_names():
        span = written.span if written else node.span
        diagnostics.add(unknown("loss", str(name), loss_names(), span))
        return None
    arguments = validate(loss_arguments(str(name)), node.without(["name"]), diagnostics, what=str(name))
    return LossSpec(str(name), given(arguments)) if arguments is not None else None


def fitting_loss(spec: LossSpec, classes: int, transforms: Sequence[TransformSpec], node: Mapping) -> nn.Module:
    """The loss, tried once on the labels that it will get. Raises ConfigError where it cannot take them.

    Labels are class numbers (2), and shares of each class (2, classes) where a transform mixes images.
    """
    loss, logits = spec.build(), torch.zeros(2, classes)
    reason = _refused(loss, logits, torch.zeros(2, dtype=torch.int64))
    if reason is not None:
        span = (node.get("weight") or node).span
        raise _misfit(f"loss: {spec.name} does not fit {classes} classes: {reason}", span)
    mixing = next((transform for transform in transforms if transform.mixes_labels), None)
    reason = _refused(loss, logits, torch.full((2, classes), 1 / classes)) if mixing is not None else None
    if mixing is not None and reason is not None:
        message = f"loss: {_with_arguments(spec)} does not take the mixed labels that {mixing.name} makes: {reason}"
        help = f"a plain CrossEntropyLoss takes them; or leave {mixing.name} out"
        raise _misfit(message, mixing.span, help=help)
    return loss


def _refused(loss: nn.Module, logits: Tensor, labels: Tensor) -> str | None:
    """What a loss says against such labels; None where it takes them."""
    try:
        loss(logits, labels)
    except (RuntimeError, ValueError, IndexError) as error:
        return first_line(error)
    return None


def _misfit(message: str, span: Span | None, help: str | None = None) -> ConfigError:
    return ConfigError([Diagnostic("error", "loss-misfit", message, span, help=help)])


def _with_arguments(spec: LossSpec) -> str:
    """A loss with what was given beside its name: it may be that which does not fit."""
    given = ", ".join(f"{name}: {value}" for name, value in spec.arguments.items())
    return f"{spec.name} {{{given}}}" if given else spec.name
