"""`train.progressive_resizing`: each epoch's image size, and whether data and network take them. Floor 7."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import nn

from zoo.assemble.fitting import epochs_before_opening, planned_for, shape_after
from zoo.assemble.networks import Network, Shape, network_of
from zoo.assemble.norm_statistics import freeze_as_said
from zoo.assemble.resolve import Resolved
from zoo.data import DataSettings, TransformSpec
from zoo.data.progressive import Size, Stretch, by, image_sizes, stretches
from zoo.diagnostics import Diagnostic, Diagnostics, Note, Span
from zoo.document import Mapping, Node
from zoo.document import Sequence as Items
from zoo.errors import UsageError, first_line
from zoo.graph.lean_meta import lean_meta
from zoo.graph.plan import Plan, Step
from zoo.models.heads import logits_of
from zoo.optim.frozen_statistics import into_training
from zoo.registry import listed

WHAT = "train.progressive_resizing"
_ANY_SIZE = "larger sizes; or a network for images of any size: an adaptive pool in front of its head"
# What a network says of images that it cannot take, on `meta` too.
_REFUSALS = (RuntimeError, ValueError, AssertionError, IndexError, TypeError, AttributeError)


def sizes_before_opening(
    resolved: Resolved, data: DataSettings | None, train: Sequence[TransformSpec], diagnostics: Diagnostics
) -> tuple[Size, ...]:
    """As :func:`sizes_for`, where the images' own size is sure before the data is opened; else nothing is."""
    if resolved.recipe.train.progressive_resizing is None or data is None:
        return ()
    shape = shape_after(data, tuple(train), Diagnostics())
    return () if shape is None else sizes_for(resolved, shape, epochs_before_opening(resolved, data), diagnostics)


def sizes_for(resolved: Resolved, shape: Shape, epochs: float | None, diagnostics: Diagnostics) -> tuple[Size, ...]:
    """Each epoch's size, of training images of this shape (CHW); none where the diagnostics have errors.

    Where it is not sure how many ``epochs`` there are, as many as it takes to the last corner.
    """
    settings, before = resolved.recipe.train.progressive_resizing, len(diagnostics.errors)
    if settings is None:
        return ()
    full = (shape[1], shape[2])
    _check_corners(resolved, full, diagnostics)
    if len(diagnostics.errors) > before:
        return ()
    count = settings.epochs[-1] + 1 if epochs is None else epochs
    sizes = image_sizes(settings, full, math.ceil(count))
    if set(sizes) == {full}:
        message = f"{WHAT} does nothing: every epoch trains on images of their own {by(full)}"
        diagnostics.warning(
            "idle-resizing", message, _place(resolved), help="leave it out, or begin with a smaller size"
        )
    elif epochs is not None and sizes[-1] != full:
        diagnostics.warning(
            "small-to-the-end",
            f"{WHAT}: the last epoch trains on images of {by(sizes[-1])}, their own size is {by(full)}: batch norms "
            "keep the statistics of small ones, and tests are on large ones",
            _place(resolved),
            help=f"have a corner of {min(full)} an epoch or more before the end, which is epoch {math.ceil(epochs)}",
        )
    return sizes


def _node(resolved: Resolved) -> Mapping:
    node = resolved.section("train").get("progressive_resizing")
    assert isinstance(node, Mapping)
    return node


def _place(resolved: Resolved) -> Span:
    return _node(resolved).value_span("sizes")


def _check_corners(resolved: Resolved, full: Size, diagnostics: Diagnostics) -> None:
    """Tells of corners that are larger than the images, and of those that would be rounded."""
    settings = resolved.recipe.train.progressive_resizing
    assert settings is not None
    written: Node | None = _node(resolved).get("sizes")
    places = [item.span for item in written] if isinstance(written, Items) else [_place(resolved)] * len(settings.sizes)
    own, multiple = min(full), settings.multiple_of
    for size, place in zip(settings.sizes, places, strict=True):
        if size > own:
            message = f"{WHAT}: images are {by(full)} behind their transforms: {size} would enlarge them"
            diagnostics.error(
                "image-size", message, place, help=f"write {own} at most; a Resize in transforms enlarges"
            )
        elif size % multiple and size != own:
            near = [each for each in (size // multiple * multiple, min(own, -(-size // multiple) * multiple)) if each]
            common = math.gcd(multiple, *(each for each in settings.sizes if each < own))
            message = f"{WHAT}: sizes are rounded to multiples of {multiple}, and {size} is none"
            help = f"write {listed([str(each) for each in near], 'or')}, or multiple_of: {common}"
            diagnostics.error("image-size", message, place, help=help)


def check_network(
    resolved: Resolved, network: Network, shape: Shape, sizes: Sequence[Size], diagnostics: Diagnostics
) -> None:
    """Tells where the network, as it is for images of this shape (CHW), cannot take those of an epoch.

    It is run on ``meta`` at each size. What of an architecture does not take one is told at the layer's place.
    """
    smaller = [stretch for stretch in stretches(sizes) if stretch.size != shape[1:]]
    each = list({stretch.size: stretch for stretch in reversed(smaller)}.values())[::-1]
    fitted = _fitted(resolved, network, shape) if each else None
    if fitted is None:
        return
    try:
        failed = dict(_failures(resolved, fitted, shape, each))
    except UsageError:  # a foreign model that cannot be built as asked is told elsewhere
        return
    if not failed:
        return
    first, *others = failed
    notes = [Note(f"images are {first}", _place(resolved))]
    if others:
        notes.append(Note(f"neither does it take those of {listed([by(other.size) for other in others], 'and')}"))
    channels = shape[0]
    for item in _told(resolved, fitted, shape, (channels, *first.size), failed[first]):
        diagnostics.add(replace(item, notes=(*item.notes, *notes), help=item.help or _ANY_SIZE))


def _fitted(resolved: Resolved, network: Network, shape: Shape) -> Network | None:
    """The network as it is built for images of this shape; None where it cannot be, which is told elsewhere."""
    if network.foreign is not None or tuple(network.inputs.values()) == (shape,):
        return network
    return planned_for(resolved, shape, "", Diagnostics())


def _failures(
    resolved: Resolved, network: Network, shape: Shape, each: Sequence[Stretch]
) -> Iterator[tuple[Stretch, str]]:
    """The stretches whose images the network does not take, and what it says of them.

    It is asked in training, as those images reach it; in a test where it does not run on ``meta`` in training.
    """
    with lean_meta():
        module = network.untrained.build("meta")
        freeze_as_said(resolved, module)
        expected = _output(into_training(module), shape)
        if isinstance(expected, str):
            expected = _output(module.eval(), shape)
        for stretch in each if not isinstance(expected, str) else ():
            found = _output(module, (shape[0], *stretch.size))
            if found != expected:
                gives = f"it gives {list(found[1:])}, not {list(expected[1:])}" if not isinstance(found, str) else found
                yield stretch, gives


def _output(module: nn.Module, shape: Shape) -> Shape | str:
    """The shape of the logits for two images of this one; what the network says where it does not take them."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            return tuple(logits_of(module(torch.zeros(2, *shape, device="meta"))).shape)
    except _REFUSALS as error:
        return first_line(error)


def _told(resolved: Resolved, network: Network, full: Shape, small: Shape, said: str) -> list[Diagnostic]:
    """The errors about a network that does not take small images: at its layers, as far as a plan for them tells."""
    if network.plan is not None:
        found = Diagnostics()
        planned = network_of(resolved, found, input_shape=small)
        if planned is None or planned.plan is None:
            return list(found.errors)
        other = _first_difference(network.plan, planned.plan, full, small)
        if other is not None:
            return [other]
    message = f"{network.name} cannot take images of {by(small[1:])}: {said.rstrip('.')}"
    return [Diagnostic("error", "image-size", message, _place(resolved), help=_any_size(network, full, small))]


def _first_difference(plan: Plan, small: Plan, *shapes: Shape) -> Diagnostic | None:
    """The error about the first layer that would be another one, were the network made for small images."""
    for (path, step), (_, other) in zip(plan.walk(), small.walk(), strict=False):
        what = next(_differing(step, other), None)
        if what is not None:
            name, own, wanted = (list(each) if isinstance(each, tuple) else each for each in what)
            sizes = [by(shape[1:]) for shape in shapes]
            message = f"{path}: {step.op} has {name} {own} for images of {sizes[0]}; those of {sizes[1]} want {wanted}"
            return Diagnostic("error", "image-size", message, step.span, help=_help(step))
    return None


def _differing(step: Step, other: Step) -> Iterator[tuple[str, object, object]]:
    """Arguments, then parameters' shapes, that two forms of a layer do not share: name, one's and the other's."""
    for name, value in step.arguments.items():
        if value != other.arguments.get(name):
            yield name, value, other.arguments.get(name)
    for own, wanted in zip(step.parameters, other.parameters, strict=False):
        if own.shape != wanted.shape:
            yield own.name, list(own.shape), list(wanted.shape)


def _help(step: Step) -> str:
    if step.is_tensor:
        return f"its shape goes with the images': leave {WHAT} out"
    place = "in its place" if "Pool" in step.op else "in front of it"
    return f"an AdaptiveAvgPool2d {place} gives maps of one size; or leave progressive_resizing out"


def _any_size(network: Network, full: Shape, small: Shape) -> str:
    """The way out where a foreign model does not take images of another size: an argument that makes it, or none."""
    key, foreign = "dynamic_img_size", network.foreign
    if foreign is not None and foreign.library == "timm" and key not in foreign.arguments:
        sized = replace(network, foreign=replace(foreign, arguments={**foreign.arguments, key: True}))
        try:
            with lean_meta():
                module = sized.untrained.build("meta").eval()
                if not isinstance(_output(module, full), str) and not isinstance(_output(module, small), str):
                    return f"model: {{{key}: true}} has it take images of any size"
        except (UsageError, *_REFUSALS):  # it has no such argument
            pass
    return "a network that takes images of any size, as convolutional ones do; or leave progressive_resizing out"
