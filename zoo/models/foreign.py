"""Whole models of timm and torchvision as targets: ``timm:resnet18``, ``torchvision:resnet18``. Floor 4.

Neither library is imported before a target of its kind is asked for, and nothing is downloaded unless pretrained
weights are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import nn

from zoo.diagnostics import Diagnostics, Say
from zoo.document import Entry, Mapping, Scalar, plain
from zoo.errors import UsageError
from zoo.layers import ops
from zoo.layers.foreign import LIBRARIES, Library, argument_fault, build_foreign, require_model
from zoo.models.conversion import convert, heard_from_timm, told
from zoo.schema import validate


@dataclass(frozen=True, slots=True)
class ForeignModel:
    """A model of another library: its name there, the (channels, height, width) it was made for, its arguments."""

    library: Library
    name: str
    input_shape: tuple[int, int, int]
    arguments: dict[str, Any] = field(default_factory=dict)

    def build(
        self, *, classes: int | None = None, pretrained: bool = False, note: Say = lambda text: None
    ) -> nn.Module:
        """Builds it, with a head for so many classes. Pretrained weights are downloaded by the library itself.

        With both, the head is new where the pretrained one has another number of classes, and positions are resampled
        for images of another size; ``note`` is told.
        Raises UsageError for arguments it does not take, EnvironmentFault where the weights cannot be had.
        """
        build = partial(build_foreign, self.library, self.name)
        if not pretrained:
            return build(num_classes=classes, **self.arguments)
        if self.library == "timm":
            with heard_from_timm(note):
                return build(num_classes=classes, pretrained=True, **self.arguments)
        module = self._of_its_own_size(note)
        return module if classes is None else _with_head_for(module, classes, note)

    def _of_its_own_size(self, note: Say) -> nn.Module:
        """A pretrained model of torchvision; its vision transformers refuse another ``image_size`` with weights."""
        build = partial(build_foreign, self.library, self.name)
        own = self.arguments.get("kwargs") or {}
        others = {key: value for key, value in self.arguments.items() if key not in ("kwargs", "image_size")}
        others |= {"kwargs": {key: value for key, value in own.items() if key != "image_size"}}
        if others["kwargs"] == own and "image_size" not in self.arguments:
            return build(pretrained=True, **self.arguments)
        weights, module = build(pretrained=True, **others).state_dict(), build(**self.arguments)
        conversion = convert(self.library, self.name, self.arguments, module, weights)
        assert conversion is not None  # no other model of torchvision's takes an image_size
        module.load_state_dict(conversion.tensors)
        for line in told(weights, conversion, module):
            note(line)
        return module


def foreign_target(text: str) -> ForeignModel | None:
    """The model that ``timm:NAME`` or ``torchvision:NAME`` stands for; None for a text of another kind.

    Raises UsageError for a name that the library does not have.
    """
    library, colon, name = text.partition(":")
    if not colon or library not in LIBRARIES:
        return None
    require_model(library, name)
    return ForeignModel(library, name, _input_shape(library, name))


# What stands beside the name in an architecture, but has another place, or none, where a whole model is wanted.
_ELSEWHERE = {
    "name": "the model's name stands behind the library's: timm: resnet18, or torchvision: resnet18",
    "library": "the library's name is the key in front of the model's: timm: resnet18, or torchvision: resnet18",
    "classes": "timm and torchvision call it num_classes; leave it out: the data's number of classes is filled in",
    "pretrained": "write weights: pretrained in its place",
    "features": "a recipe's model gives class scores; maps are for the op of an architecture",
    "out_indices": "a recipe's model gives class scores; maps are for the op of an architecture",
}
_HEAD = ("num_classes", "in_chans")  # every model takes them: no need to try


def parse_arguments(library: Library, name: str, written: Mapping, diagnostics: Diagnostics) -> dict[str, Any] | None:
    """A model's arguments as they stand beside its name; None after every error was told.

    Those that every model of the library knows are judged by their types, the model's own by the model.
    """
    before = len(diagnostics.errors)
    for key in _ELSEWHERE:
        if key in written:
            message = f"{library}: unknown key {key!r}"
            diagnostics.error("unknown-key", message, written.key_span(key), help=_ELSEWHERE[key])
    written = written.without(_ELSEWHERE)
    model = ops[library].arguments
    common = [Entry("name", written.span, Scalar(name, written.span, name)), *written.only(model.model_fields)]
    validate(model, Mapping(tuple(common), written.span), diagnostics, what=name)
    if len(diagnostics.errors) > before:
        written = written.without(model.model_fields)  # the others can still be asked
    arguments: dict[str, Any] = plain(written)
    if set(arguments) - set(_HEAD):
        _try(library, name, written, arguments, diagnostics)
    return arguments if len(diagnostics.errors) == before else None


def _try(library: Library, name: str, written: Mapping, arguments: dict[str, Any], diagnostics: Diagnostics) -> None:
    fault = argument_fault(library, name, arguments)
    if fault is None:
        return
    if fault.argument is not None and fault.argument in written:
        diagnostics.error("unknown-key", fault.message, written.key_span(fault.argument), help=fault.help)
    else:
        diagnostics.error("bad-value", fault.message, written.span, help=fault.help)


def _input_shape(library: Library, name: str) -> tuple[int, int, int]:
    if library == "timm":
        import timm

        config = timm.get_pretrained_cfg(name, allow_unregistered=True)
        channels, height, width = config.input_size if config is not None else (3, 224, 224)
        return channels, height, width
    import torchvision

    weights = torchvision.models.get_model_weights(name)
    side = next((each.transforms().crop_size[0] for each in weights), 224)
    return 3, side, side


def _with_head_for(module: nn.Module, classes: int, note: Say) -> nn.Module:
    """Replaces the last linear layer, or 1x1 convolution, which is where torchvision's classifiers count classes."""
    weighty = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    name, head = weighty[-1] if weighty else ("", None)
    make: Callable[..., nn.Module]
    if isinstance(head, nn.Linear):
        counts, make = head.out_features, partial(nn.Linear, head.in_features, classes)
    elif isinstance(head, nn.Conv2d) and head.kernel_size == (1, 1):
        counts, make = head.out_channels, partial(nn.Conv2d, head.in_channels, classes, 1)
    else:
        raise UsageError("this model has no head to replace: choose another, or keep its classes")
    if counts != classes:
        parent = module.get_submodule(name.rpartition(".")[0])
        setattr(parent, name.rpartition(".")[2], make(bias=head.bias is not None))
        note(f"{name} is new: {classes} classes here, {counts} in the pretrained weights")
    return module
