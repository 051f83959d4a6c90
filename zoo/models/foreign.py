"""Whole models of timm and torchvision as targets: ``timm:resnet18``, ``torchvision:resnet18``. Floor 4.

Neither library is imported before a target of its kind is asked for, and nothing is downloaded unless pretrained
weights are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from zoo.errors import UsageError
from zoo.layers.foreign import build_foreign, foreign_names
from zoo.registry import did_you_mean

Library = Literal["timm", "torchvision"]
LIBRARIES: tuple[Library, ...] = ("timm", "torchvision")


@dataclass(frozen=True, slots=True)
class ForeignModel:
    """A model of another library: its name there, the (channels, height, width) it was made for, its arguments."""

    library: Library
    name: str
    input_shape: tuple[int, int, int]
    arguments: dict[str, Any] = field(default_factory=dict)

    def build(self, *, classes: int | None = None, pretrained: bool = False) -> nn.Module:
        """Builds it, with a head for so many classes. Pretrained weights are downloaded by the library itself.

        With both, the head is new where the pretrained one has another number of classes.
        Raises UsageError for arguments it does not take, EnvironmentFault where the weights cannot be had.
        """
        if not pretrained or self.library == "timm" or classes is None:
            return build_foreign(self.library, self.name, pretrained=pretrained, num_classes=classes, **self.arguments)
        return _with_head_for(build_foreign(self.library, self.name, pretrained=True, **self.arguments), classes)


def foreign_target(text: str, **arguments: Any) -> ForeignModel | None:
    """The model that ``timm:NAME`` or ``torchvision:NAME`` stands for; None for a text of another kind.

    Raises UsageError for a name that the library does not have.
    """
    library, colon, name = text.partition(":")
    if not colon or library not in LIBRARIES:
        return None
    names = foreign_names(library)
    bare = name.partition(".")[0]  # timm writes the pretrained tag behind a dot
    if bare not in names and name not in names:
        raise UsageError(f"{library} has no model {name!r}", code="unknown-model", help=did_you_mean(bare, list(names)))
    return ForeignModel(library, name, _input_shape(library, name), dict(arguments))


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


def _with_head_for(module: nn.Module, classes: int) -> nn.Module:
    """Replaces the last linear layer, which is where torchvision's classifiers count their classes."""
    heads = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    if not heads:
        raise UsageError("this model has no linear head to replace: choose another, or keep its classes")
    name, head = heads[-1]
    if head.out_features != classes:
        parent = module.get_submodule(name.rpartition(".")[0])
        setattr(parent, name.rpartition(".")[2], nn.Linear(head.in_features, classes, bias=head.bias is not None))
    return module
