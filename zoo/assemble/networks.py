"""A recipe's `model`, or a TARGET's, as something that can be built. Floor 7."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from collections.abc import Mapping as AbstractMapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.architectures import architecture_path
from zoo.assemble.memory import require_memory
from zoo.assemble.resolve import Resolved
from zoo.data.places import expanded
from zoo.diagnostics import Diagnostic, Diagnostics, Say
from zoo.document import Mapping, folder_of
from zoo.errors import UsageError, first_line
from zoo.graph import Plan, compile_plan
from zoo.graph.lean_meta import lean_meta
from zoo.graph.plan import Value
from zoo.layout import is_file
from zoo.models import ForeignModel, foreign_target, load_plan, parse_arguments
from zoo.models.heads import Heads
from zoo.registry import offer
from zoo.schema.recipe import ModelSection

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """A network that was planned, or a timm or torchvision model; nothing of it is built yet."""

    name: str
    inputs: AbstractMapping[str, Shape]  # without the batch
    plan: Plan | None = None
    foreign: ForeignModel | None = None
    classes: int | None = None  # of a foreign model's head; None: as its library has it
    pretrained: bool = False
    weights: Path | None = None  # a file of first weights, for whoever builds it to load
    heads: Heads | None = None  # where it has more outputs than its logits

    @property
    def input_shape(self) -> Shape:
        """Channels, height and width of its images: of several inputs, the first."""
        return tuple(next(iter(self.inputs.values())))

    def build(self, device: str | torch.device = "cpu", note: Say = lambda text: None) -> nn.Module:
        """The module: fp32, contiguous, freshly initialised from torch's random state (on ``meta``: not at all).

        ``note`` is told what of pretrained weights was left out or resampled.

        Raises EnvironmentFault for a network whose weights this machine cannot hold.
        """
        if self.plan is not None:
            if torch.device(device).type != "meta":
                require_memory(self.plan)
            module = compile_plan(self.plan, device=device)
            if self.heads is not None:
                self.heads.attach(module)
            return module
        assert self.foreign is not None
        on_meta = torch.device(device).type == "meta"
        with torch.device(device), redirect_stdout(sys.stderr):  # torch.hub prints there what it downloads
            return self.foreign.build(classes=self.classes, pretrained=self.pretrained and not on_meta, note=note)

    @contextmanager
    def fitting(self) -> Iterator[None]:
        """Turns what a foreign model says of images it cannot take into a UsageError; a plan was checked before."""
        try:
            yield
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            if self.foreign is None:
                raise
            shapes = ", ".join(str(list(shape)) for shape in self.inputs.values())
            message = f"{self.name} cannot take images of {shapes}: {first_line(error)}"
            raise UsageError(message, code="input-shape", help=self._other_size()) from None

    def _other_size(self) -> str:
        """The way out where a foreign model is built for images of one size: the argument that says which."""
        assert self.foreign is not None
        key = "img_size" if self.foreign.library == "timm" else "image_size"
        height, width = self.input_shape[-2:]
        said = self.foreign.arguments.keys() | (self.foreign.arguments.get("kwargs") or {}).keys()
        if height == width and key not in said:
            sized = replace(self.foreign, arguments={**self.foreign.arguments, key: height})
            with suppress(UsageError):  # it takes no such argument, or not such images either
                if replace(self, foreign=sized).output_shape is not None:
                    return f"{key}: {height} builds it for them; weights of another size are resampled"
        return "its own input is what `zoo summary` shows"

    @property
    def download(self) -> str | None:
        """What building will fetch, how large and from where, unless a cache has it; None where it fetches nothing."""
        if self.foreign is None or not self.pretrained:
            return None
        size = sum(parameter.numel() for parameter in self.build("meta").parameters()) * 4 / 1e6
        where = "huggingface.co" if self.foreign.library == "timm" else "download.pytorch.org"
        return f"pretrained weights of {self.name}, about {size:,.0f} MB, from {where} unless they are cached"

    @property
    def untrained(self) -> Network:
        """The network without weights of its own: a checkpoint's follow."""
        return replace(self, pretrained=False, weights=None)

    def for_classes(self, classes: int) -> Network:
        """A foreign model whose head was left open gets one of this size; any other network stays."""
        return replace(self, classes=classes) if self.foreign is not None and self.classes is None else self

    @property
    def logits(self) -> Value:
        """What a plan says of the logits."""
        assert self.plan is not None
        output = self.plan.output
        return output[self.heads.logits] if self.heads is not None and isinstance(output, dict) else output

    @property
    def output_shape(self) -> Any:
        """What comes out for two images, found by running the network on ``meta``; None where no tensor comes out."""
        module = self.build("meta").eval()
        with torch.no_grad(), lean_meta(), self.fitting():
            output = module(*(torch.zeros((2, *shape), device="meta") for shape in self.inputs.values()))
        return tuple(output.shape) if isinstance(output, torch.Tensor) else None


def network_of(resolved: Resolved, diagnostics: Diagnostics, *, input_shape: Shape | None = None) -> Network | None:
    """The network of a recipe's `model`; None where the diagnostics hold errors."""
    model, node = resolved.recipe.model, resolved.section("model")
    params = node.without(ModelSection.model_fields)
    found = Diagnostics()
    network: Network | None
    try:
        if model.architecture is None:
            foreign = foreign_network(model.target, input_shape, pretrained=model.weights == "pretrained")
            network = with_arguments(foreign, params, found)
        else:
            network = architecture_network(architecture_of(resolved), found, params=params, input_shape=input_shape)
            network = _with_heads(network, resolved.recipe.loss.auxiliary)
    except UsageError as error:
        key = next(key for key in ModelSection.model_fields if key in node)
        written = node.get(key)
        assert written is not None
        span = error.span or written.span
        diagnostics.error(error.code, error.message, span, notes=error.notes, help=error.help)
        return None
    diagnostics.extend(_with_own_keys(item, node) for item in found)
    if network is None or network.pretrained or model.weights is None:
        return network
    span = node.value_span("weights")
    path = _folder_of(resolved, "weights") / expanded(model.weights, "model.weights", span)
    if model.weights == "pretrained" and not path.exists():
        message = f"weights: pretrained is of timm's and torchvision's models, {network.name} is a graph"
        diagnostics.error("no-weights", message, span, help="name a file of weights, by its path from this file")
        return None
    return replace(network, weights=path)


def _with_heads(network: Network | None, weights: AbstractMapping[str, float] | None) -> Network | None:
    """The network with the heads that a recipe's loss names, if it has them."""
    if network is None or network.plan is None or not weights or not isinstance(network.plan.output, dict):
        return network
    return replace(network, heads=Heads.among(network.plan.output, weights))


def _with_own_keys(item: Diagnostic, node: Mapping) -> Diagnostic:
    """The message; of a param there is not, whose name is nearly a key of `model`, it offers that key."""
    unknown = [entry.key for entry in node if item.code == "unknown-key" and entry.key_span == item.span]
    near = next(filter(None, map(ModelSection.nearest_key, unknown)), None)
    return replace(item, help=offer([near])) if near else item


def architecture_of(resolved: Resolved) -> str | Path:
    """What `model.architecture` names: a file beside the recipe that says so, else a shipped architecture's name."""
    written = resolved.recipe.model.architecture
    assert written is not None
    path = _folder_of(resolved, "architecture") / written
    return path if is_file(path) or architecture_path(written) is None else written


def _folder_of(resolved: Resolved, key: str) -> Path:
    """The folder of the file in which a key of `model` stands: the recipe's own, or one that it extends."""
    node = resolved.section("model").get(key)
    return folder_of(node) or resolved.folder


def architecture_network(
    name_or_path: str | Path,
    diagnostics: Diagnostics,
    *,
    params: Mapping | None = None,
    input_shape: Shape | None = None,
) -> Network | None:
    """The network of an architecture file or name."""
    plan = load_plan(name_or_path, diagnostics, params, input_shape)
    if plan is None:
        return None
    return Network(plan.name, {name: spec.shape[1:] for name, spec in plan.inputs.items()}, plan=plan)


def foreign_network(target: str, input_shape: Shape | None = None, *, pretrained: bool = False) -> Network:
    """The network behind ``timm:NAME`` or ``torchvision:NAME``. Raises UsageError for an unknown name."""
    foreign = foreign_target(target)
    if foreign is None:
        raise UsageError(f"{target} is no model", help="timm:NAME or torchvision:NAME")
    return Network(target, {"input": input_shape or foreign.input_shape}, foreign=foreign, pretrained=pretrained)


def with_arguments(network: Network, written: Mapping | None, diagnostics: Diagnostics) -> Network | None:
    """A foreign network with the arguments that stand beside its name; None where they are wrong."""
    foreign = network.foreign
    if foreign is None or written is None or not len(written):
        return network
    arguments = parse_arguments(foreign.library, foreign.name, written, diagnostics)
    if arguments is None:
        return None
    classes = arguments.pop("num_classes", None)
    return replace(network, foreign=replace(foreign, arguments=arguments), classes=classes)
