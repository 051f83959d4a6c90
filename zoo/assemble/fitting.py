"""Whether transforms and network fit the data, as far as that is sure before anything is opened. Floor 7."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from zoo.assemble.networks import Network, Shape, network_of
from zoo.assemble.resolve import Resolved
from zoo.data import Dataset, DataSettings, Description, Known, TransformSpec, batches_of, size_after, sources
from zoo.diagnostics import Diagnostics, Note, counted
from zoo.document import Mapping
from zoo.errors import DataError, UsageError, ZooError, raise_if_errors
from zoo.graph.plan import TensorSpec

if TYPE_CHECKING:
    from zoo.assemble.check import Checked
    from zoo.train.training import Steps


def known_before_opening(data: DataSettings) -> Known | None:
    """What is sure of a recipe's data set before it is opened; None where its files decide."""
    return sources[data.source].known(data)


def epochs_before_opening(resolved: Resolved, data: DataSettings | None) -> float | None:
    """How many epochs the training takes; None where the data has to be opened to tell."""
    if resolved.recipe.train.max_steps is None:
        return resolved.recipe.train.epochs
    steps = steps_before_opening(resolved, data)
    return None if steps is None else steps.total / steps.per_epoch


def steps_before_opening(resolved: Resolved, data: DataSettings | None) -> Steps | None:
    """How many steps the training takes; None where the data has to be opened to tell."""
    known = known_before_opening(data) if data is not None else None
    if data is None or known is None or data.holds_out or data.skip_corrupt:
        return None
    from zoo.train import count_steps  # only here: most recipes count in epochs alone

    batches = batches_of(known.train, data.batch_size, drop_last=data.drop_last)
    return count_steps(max(1, batches), resolved.recipe.train)


def shape_after(data: DataSettings, specs: tuple[TransformSpec, ...], diagnostics: Diagnostics) -> Shape | None:
    """Channels, height and width of the images that reach the network; None where they are not sure.

    A transform that no image of its size can pass is told as an error.
    """
    known = known_before_opening(data)
    if known is None:
        return None
    channels, height, width = known.image_shape
    size = size_after(specs, (height, width, channels), diagnostics, whose=data.source)
    return None if size is None else (size[2], size[0], size[1])


def check_views(resolved: Resolved, shape: Shape, diagnostics: Diagnostics) -> None:
    """Tells where the recipe's test-time augmentation cannot shift images of this shape."""
    if refusal := refused_views(resolved.recipe.eval.tta, shape):
        diagnostics.error(
            "tta-misfit",
            f"eval.tta: {refusal}, these reach the network as {list(shape)}",
            resolved.section("eval").value_span("tta"),
            help="tta: flip mirrors them only",
        )


def refused_views(views: str, shape: Shape) -> str | None:
    """What such views need that images of this shape have not: one pixel has no neighbour to reflect."""
    cannot_shift = views == "flip_translate" and min(shape[1:]) < 2
    return "flip_translate needs images of 2 x 2 pixels and more" if cannot_shift else None


def check_early_stopping(resolved: Resolved, diagnostics: Diagnostics) -> None:
    """Tells that nothing is held out for an early stop to go by: one by the test set would flatter the result."""
    stopping, node = resolved.recipe.train.early_stopping, resolved.section("train").get("early_stopping")
    if stopping is not None and isinstance(node, Mapping) and not stopping.metric.startswith("train."):
        diagnostics.error(
            "no-validation",
            f"train.early_stopping: {stopping.metric} is that of the validation set, and there is none",
            node.value_span("metric"),
            help="data.validation: 0.1 holds a tenth of the training images out; or metric: train.loss",
        )


def check_patience(resolved: Resolved, epochs: float, diagnostics: Diagnostics) -> None:
    """Warns of an early stop that cannot come: the tests of so many epochs are too few to wait in vain for it."""
    stopping, node = resolved.recipe.train.early_stopping, resolved.section("train").get("early_stopping")
    if stopping is None or not isinstance(node, Mapping):
        return
    tests = math.ceil(math.ceil(epochs) / resolved.recipe.eval.every)
    if stopping.patience + 1 >= tests:  # the first test is one to be better than, the last ends the training by itself
        most = f"at most {tests - 2} can" if tests > 2 else "with so few none can"
        diagnostics.warning(
            "idle-early-stopping",
            f"train.early_stopping never comes about: the training has {counted(tests, 'test')}",
            node.value_span("patience"),
            help=f"a patience of {most} end it early",
        )


def fitting_network(checked: Checked, dataset: Dataset | Description, shape: Shape) -> Network:
    """The network for images of this shape, with as many logits as the data has classes. Raises DataError if not."""
    resolved, network = checked.resolved, checked.network
    if tuple(network.inputs.values()) != (shape,):
        diagnostics = Diagnostics()
        planned = planned_for(resolved, shape, dataset.name, diagnostics)
        raise_if_errors(diagnostics)
        assert planned is not None
        network = planned
    refusal = refused_channels(resolved, network, shape, dataset.name)
    if refusal is not None:
        raise refusal
    network = network.for_classes(len(dataset.classes))
    with placed(resolved.section("model"), "timm", UsageError):
        output, classes = network.output_shape, len(dataset.classes)
    if output != (2, classes):
        raise misfit(resolved, network, output, dataset.name, classes)
    return network


@contextmanager
def placed(node: Mapping, key: str, kind: type[ZooError]) -> Iterator[None]:
    """Gives an error of this kind the place where the recipe says it; what comes from a default has its section's."""
    try:
        yield
    except kind as error:
        if error.span is None:
            error.span = node.value_span(key)
        raise


def check_fit(
    resolved: Resolved, network: Network, data: DataSettings, shape: Shape | None, diagnostics: Diagnostics
) -> None:
    """Tells what a run would say once the data is open, where it is sure already: images and classes.

    ``shape`` is that of the images that reach the network; where it is not sure, the network's own stands for it: as a
    rule, how many classes it tells apart does not depend on it.
    """
    known = known_before_opening(data)
    if known is None:
        return
    if network.foreign is not None:
        _check_foreign(resolved, network, known, shape, data.source, diagnostics)
        return
    fitted: Network | None = network
    if shape is not None and tuple(network.inputs.values()) != (shape,):
        fitted = planned_for(resolved, shape, data.source, diagnostics)
    if fitted is None or fitted.plan is None:
        return
    output = fitted.logits
    two = (2, *output.shape[1:]) if isinstance(output, TensorSpec) else None
    is_sure = shape is not None or (two is not None and len(two) == 2)
    if is_sure and two != (2, known.classes):
        diagnostics.extend(misfit(resolved, fitted, two, data.source, known.classes).diagnostics)


def planned_for(resolved: Resolved, shape: Shape, data: str, diagnostics: Diagnostics) -> Network | None:
    """The architecture planned anew for the data's images; where it cannot be, every error says whose images."""
    found = Diagnostics()
    network = network_of(resolved, found, input_shape=shape)
    place = resolved.section("data").value_span("source")
    note = Note(f"images of {data} reach the network as {list(shape)}", place)
    diagnostics.extend(replace(item, notes=(*item.notes, note)) for item in found.errors)
    return network


def _check_foreign(
    resolved: Resolved, network: Network, known: Known, shape: Shape | None, data: str, diagnostics: Diagnostics
) -> None:
    """What a foreign model's name and arguments tell; that it can take the images is known when it is built."""
    refusal = refused_channels(resolved, network, shape, data) if shape is not None else None
    if refusal is not None:
        diagnostics.extend(refusal.diagnostics)
    if network.classes is not None and network.classes != known.classes:
        output = (2, network.classes)
        diagnostics.extend(misfit(resolved, network, output, data, known.classes).diagnostics)


def refused_channels(resolved: Resolved, network: Network, shape: Shape, data: str) -> DataError | None:
    """The error about a foreign model made for colour where images of this shape are grey, or the other way round."""
    foreign = network.foreign
    channels = foreign.arguments.get("in_chans", foreign.input_shape[0]) if foreign is not None else shape[0]
    if foreign is None or channels == shape[0]:
        return None
    is_timm = foreign.library == "timm"
    return DataError(
        f"{network.name} takes images of {channels} channels, those of {data} have {shape[0]}",
        code="input-shape",
        span=resolved.section("model").span,
        help=f"add in_chans: {shape[0]} beside the name" if is_timm else "ToRGB makes colour of grey",
    )


def misfit(resolved: Resolved, network: Network, output: Shape | None, data: str, classes: int) -> DataError:
    """The error about a network whose output for two images is no row of logits a class of the data each."""
    node = resolved.section("model")
    if output is not None and len(output) == 2:
        message = f"{network.name} tells {output[1]} classes apart, {data} has {classes}"
    else:
        message = f"{network.name} gives {list(output[1:]) if output else 'no single tensor'} for an image, not logits"
    return DataError(
        message,
        code="class-count",
        span=node.value_span("classes" if "classes" in node else "num_classes"),
        help=_classes_help(network, output, classes, is_param="classes" in node),
    )


def _classes_help(network: Network, output: Shape | None, classes: int, *, is_param: bool) -> str:
    if is_param or (network.plan is not None and "classes" in network.plan.params):
        return f"set model.classes to {classes}"
    if network.foreign is not None:
        return f"leave num_classes out, or set it to {classes}"
    if output is not None and len(output) > 2:
        return f"flatten the map in front of the last Linear, and give that {classes} outputs"
    return f"give the head {classes} outputs"
