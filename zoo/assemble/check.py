"""Everything that can be said of a recipe or an architecture without data and without building it. Floor 7."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zoo.architectures import architecture_names, architecture_path
from zoo.assemble.activation_checkpointing import check_checkpointing
from zoo.assemble.fitting import (
    check_early_stopping,
    check_fit,
    check_patience,
    check_views,
    epochs_before_opening,
    known_before_opening,
    shape_after,
    steps_before_opening,
)
from zoo.assemble.image_sizes import check_network, sizes_before_opening
from zoo.assemble.losses import LossSpec, fitting_loss, parse_loss
from zoo.assemble.networks import Network, Shape, network_of
from zoo.assemble.norm_statistics import check_statistics
from zoo.assemble.one_image import check_one_image
from zoo.assemble.resolve import Resolved, resolve, told_of_what_lies_over
from zoo.assemble.sampling import check_sampling
from zoo.assemble.shipped import file_or_name_meant, recipe_names, shipped_recipe
from zoo.assemble.teachers import check_teacher
from zoo.assemble.tracker_packages import require_installed
from zoo.data import DataSettings, Known, TransformSpec, check_both, parse_data, parse_transforms, require_batched
from zoo.diagnostics import Diagnostic, Diagnostics, Note
from zoo.document import Mapping, Override, Scalar, Sequence, from_data, plain, read_file
from zoo.errors import CheckpointError, ConfigError, UsageError, raise_if_errors
from zoo.graph.lean_meta import lean_meta
from zoo.layout import is_file
from zoo.lint import lint, lint_cam_layer
from zoo.models import checked_plan, parameter_depths, weights_file
from zoo.optim import OptimizationSpec, parse_optimization
from zoo.optim.averaging import check_start
from zoo.registry import listed
from zoo.schema.recipe import Recipe, is_recipe

Specs = tuple[TransformSpec, ...]


@dataclass(frozen=True)
class Checked:
    """A recipe that was checked: as it was resolved, and what each room made of its section, ready to be built.

    One belongs to the other: with a value changed, a recipe is checked anew (:func:`recheck`).
    """

    resolved: Resolved
    network: Network
    loss: LossSpec
    optimization: OptimizationSpec
    data: DataSettings
    train_transforms: Specs
    eval_transforms: Specs
    image_shape: Shape | None = None  # of what the network will get; None: the data's files decide

    @property
    def recipe(self) -> Recipe:
        """Its sections, as the schema has them."""
        return self.resolved.recipe


def checked_recipe(
    name_or_path: str, diagnostics: Diagnostics, *, overrides: Iterable[Override] = ()
) -> Checked | None:
    """A recipe read and checked, or None: then every error that can be told at once is in the diagnostics.

    Raises UsageError for a recipe there is not.
    """
    resolved = resolve(
        name_or_path, overrides, diagnostics, if_wrong=lambda salvaged: _ask_rooms(salvaged, diagnostics)
    )
    return check(resolved, diagnostics) if resolved is not None else None


def check(resolved: Resolved, diagnostics: Diagnostics) -> Checked | None:
    """Checks every section against its room; None where the diagnostics hold errors."""
    before = len(diagnostics.errors)
    answers = _ask_rooms(resolved, diagnostics)
    return None if len(diagnostics.errors) > before else Checked(resolved, **answers)


def _ask_rooms(resolved: Resolved, diagnostics: Diagnostics) -> dict[str, Any]:
    """What the rooms make of their sections, by :class:`Checked`'s names; of a recipe in part, of what is there."""
    found = Diagnostics()
    answers = _answers(resolved, found)
    diagnostics.extend(told_of_what_lies_over(item, resolved) for item in found)
    return answers


@lean_meta()  # building and trying an optimizer on meta would import torch's compiler
def _answers(resolved: Resolved, diagnostics: Diagnostics) -> dict[str, Any]:
    here, document = resolved.sections, resolved.document
    answers: dict[str, Any] = {}
    if "model" in here:
        answers["network"] = network_of(resolved, diagnostics)
    if "loss" in here:
        answers["loss"] = parse_loss(resolved.section("loss"), diagnostics)
        if answers["loss"] is not None and answers.get("network") is not None:
            check_one_image(resolved, answers["network"], diagnostics)
    optimizer = document.get("optimizer")
    if optimizer is not None:
        answers["optimization"] = parse_optimization(optimizer, document.get("schedule"), diagnostics)
    if "data" in here:
        answers["data"] = parse_data(resolved.section("data"), diagnostics)
        if answers["data"] is not None:
            check_sampling(resolved, answers["data"], answers.get("loss"), diagnostics)
    if "transforms" in here:
        answers |= _ask_transforms(resolved, answers.get("data"), diagnostics)
    if "eval" in here and answers.get("image_shape") is not None:
        check_views(resolved, answers["image_shape"], diagnostics)
    if "train" in here:
        _check_length(resolved, answers.get("optimization"), answers.get("data"), diagnostics)
        data = answers.get("data")
        if data is not None and known_before_opening(data) is not None and not data.holds_out:
            check_early_stopping(resolved, diagnostics)
        if "transforms" in here and "train_transforms" in answers:
            sizes_before_opening(resolved, data, answers["train_transforms"], diagnostics)
    _cross_checks(resolved, answers.get("network"), answers.get("optimization"), diagnostics)
    return answers


def _ask_transforms(resolved: Resolved, data: DataSettings | None, diagnostics: Diagnostics) -> dict[str, Any]:
    before, recipe = len(diagnostics.errors), resolved.recipe
    lists = _list(resolved, "train", recipe.transforms.train), _list(resolved, "eval", recipe.transforms.eval)
    train = parse_transforms(lists[0], diagnostics, where="train")
    eval_ = parse_transforms(lists[1], diagnostics, where="eval")
    if len(diagnostics.errors) == before:
        check_both(train, eval_, (lists[0].span, lists[1].span), diagnostics)
    shape = None
    if data is not None and len(diagnostics.errors) == before:
        shape_after(data, train, diagnostics)
        shape = shape_after(data, eval_, diagnostics)
    return {"train_transforms": train, "eval_transforms": eval_, "image_shape": shape}


def sure_of_data(resolved: Resolved) -> tuple[Shape | None, int | None]:
    """Shape of the images that reach the network, and classes, as far as they are sure before the data is opened."""
    found = Diagnostics()
    data = parse_data(resolved.section("data"), found)
    known = known_before_opening(data) if data is not None else None
    if known is None:
        return None, None
    names = {str(plain(node)) for node in _list(resolved, "eval", resolved.recipe.transforms.eval).items}
    if names <= {"Normalize"}:  # the usual list, for which no library has to be loaded
        return known.image_shape, known.classes
    return _ask_transforms(resolved, data, found)["image_shape"], known.classes


def recheck(resolved: Resolved) -> Checked:
    """A recipe checked once more, in which only a checked value changed. Raises ConfigError."""
    diagnostics = Diagnostics()
    checked = check(resolved, diagnostics)
    raise_if_errors(diagnostics)
    assert checked is not None
    return checked


def _list(resolved: Resolved, key: str, default: tuple[object, ...]) -> Sequence:
    node = resolved.section("transforms").get(key)
    if isinstance(node, Sequence):
        return node
    made = from_data(default, resolved.document.span)
    assert isinstance(made, Sequence)
    return made


def _cross_checks(
    resolved: Resolved, network: Network | None, optimization: OptimizationSpec | None, diagnostics: Diagnostics
) -> None:
    """What no section can see by itself."""
    recipe, here = resolved.recipe, resolved.sections
    if {"target", "eval"} <= here and recipe.target.test_accuracy_tta is not None and recipe.eval.tta == "none":
        diagnostics.error(
            "target-without-tta",
            "target: test_accuracy_tta is measured with test-time augmentation, and eval.tta is none",
            resolved.section("target").key_span("test_accuracy_tta"),
            help="add eval: {tta: flip}",
        )
    if "train" in here:
        _check_two_averages(resolved, diagnostics)
    if optimization is not None and network is not None and optimization.names_parameters:
        optimization.check_model(network.build("meta"), diagnostics, parameter_depths)
    if network is not None and {"model", "train"} <= here:
        check_statistics(resolved, network, optimization, diagnostics)
        check_checkpointing(resolved, network, diagnostics)
    if "explain" in here:
        _check_maps(resolved, network, diagnostics)
    if network is not None and network.plan is not None and "loss" in here:
        lint(network.plan, diagnostics, loss=recipe.loss.name, loss_span=resolved.section("loss").span)


def _check_length(
    resolved: Resolved, optimization: OptimizationSpec | None, data: DataSettings | None, diagnostics: Diagnostics
) -> None:
    """Tells what does not fit the training's length; where that is not sure, what is wrong in its longest."""
    sure = epochs_before_opening(resolved, data)
    epochs = resolved.recipe.train.epochs if sure is None else sure
    if epochs is None:
        return
    found = Diagnostics()
    if optimization is not None:
        steps = steps_before_opening(resolved, data) if optimization.counts_steps else None
        optimization.check(epochs, found, steps=None if steps is None else steps.total)
    check_averages(resolved, epochs, found)
    check_patience(resolved, epochs, found)
    diagnostics.extend(found.errors if sure is None else found)


def _check_maps(resolved: Resolved, network: Network | None, diagnostics: Diagnostics) -> None:
    """Tells of a class activation method there is not, and of a layer whose maps can show nothing."""
    method, layer = (resolved.section("explain").get(key) for key in ("method", "layer"))
    if isinstance(method, Scalar):
        from zoo.explain.methods import find_method  # only here: most recipes name no method

        try:
            find_method(resolved.recipe.explain.method)
        except UsageError as error:
            for found in error.diagnostics:
                diagnostics.add(replace(found, span=method.span))
    if network is not None and network.plan is not None and isinstance(layer, Scalar) and layer.value:
        lint_cam_layer(network.plan, str(layer.value), layer.span, diagnostics)


def check_averages(resolved: Resolved, epochs: float, diagnostics: Diagnostics) -> None:
    """Tells of an average of the weights that has nothing to average in a training of this many epochs."""
    swa, node = resolved.recipe.train.swa, resolved.section("train").get("swa")
    if swa is not None and isinstance(node, Mapping):
        check_start(swa.start_epoch, epochs, node.value_span("start_epoch"), diagnostics)


def _check_two_averages(resolved: Resolved, diagnostics: Diagnostics) -> None:
    """Warns of two averages of the weights, of which but one can be tested and saved."""
    train, node = resolved.recipe.train, resolved.section("train")
    if train.ema is not None and train.swa is not None:
        diagnostics.warning(
            "two-averages",
            f"train: from epoch {train.swa.start_epoch:g} on the mean of swa is tested and saved, and the average of "
            "ema counts for nothing",
            node.key_span("ema"),
            notes=[Note("swa stands here", node.key_span("swa"))],
            help="leave one of them out",
        )


def check_against_data(checked: Checked, diagnostics: Diagnostics) -> None:
    """Tells what a run would say once data and weights are read, where it is sure already; trackers are looked for."""
    resolved, network, data = checked.resolved, checked.network, checked.data
    require_installed(resolved, diagnostics)
    if network.weights is not None:
        try:
            weights_file(network.weights)
        except CheckpointError as error:
            span = resolved.section("model").value_span("weights")
            diagnostics.extend(replace(item, span=span) for item in error.diagnostics)
    check_fit(resolved, network, data, checked.image_shape, diagnostics)
    if checked.recipe.train.progressive_resizing is not None:
        sizes = sizes_before_opening(resolved, data, checked.train_transforms, Diagnostics())
        shape = shape_after(data, checked.train_transforms, Diagnostics())
        if shape is not None:
            check_network(resolved, network, shape, sizes, diagnostics)
    known = known_before_opening(data)
    if checked.loss.distillation is not None:
        check_teacher(resolved, None if known is None else known.classes, diagnostics)
    if known is None:
        return
    try:
        fitting_loss(checked.loss, known.classes, checked.train_transforms, resolved.section("loss"))
    except ConfigError as error:
        diagnostics.extend(error.diagnostics)
    if checked.recipe.transforms.backend == "batched":
        _check_batched(checked, known, diagnostics)


def _check_batched(checked: Checked, known: Known, diagnostics: Diagnostics) -> None:
    """Tells of a transform without a batched form where that form is asked for."""
    for specs in (checked.train_transforms, checked.eval_transforms):
        try:
            require_batched(specs, known)
        except UsageError as error:
            span = checked.resolved.section("transforms").key_span("backend")
            diagnostics.extend(replace(item, span=span) for item in error.diagnostics)
            return


def check_files(names: tuple[str, ...], overrides: tuple[Override, ...] = ()) -> Diagnostics:
    """Checks and lints architectures and recipes, by path or shipped name; ``overrides`` are laid over each recipe."""
    found = Diagnostics()
    of_all: dict[Diagnostic, list[str]] = {}
    for name in names:
        for item in check_file(name, overrides):
            if item.span is not None and item.span.option and len(names) > 1:
                of_all.setdefault(item, []).append(name)  # its place names no file
            else:
                found.add(item)
    found.extend(replace(item, notes=(*item.notes, Note(f"in {listed(of, 'and')}"))) for item, of in of_all.items())
    return found


def check_file(name: str, overrides: tuple[Override, ...] = ()) -> Diagnostics:
    """Checks and lints one architecture or recipe."""
    diagnostics = Diagnostics()
    path = _find(name)
    if path is None:
        help = file_or_name_meant(Path(name), [*recipe_names(), *architecture_names()])
        diagnostics.error("no-such-file", f"there is no file, recipe or architecture {name!r}", help=help)
        return diagnostics
    document = read_file(path, diagnostics)
    if document is not None:
        if overrides and not is_recipe(document.keys):
            help = "a recipe takes it, with the network's params below model: --set model.PARAM=VALUE"
            diagnostics.error("usage", f"--set is for recipes, and {name} is an architecture", help=help)
        _check_document(path, document, overrides, diagnostics)
    return diagnostics


def _find(name: str) -> Path | None:
    path = Path(name)
    return path if is_file(path) else shipped_recipe(name) or architecture_path(name)


def _check_document(path: Path, document: Mapping, overrides: Iterable[Override], diagnostics: Diagnostics) -> None:
    try:
        if is_recipe(document.keys):
            found = checked_recipe(str(path), diagnostics, overrides=overrides)
            if found is not None:
                check_against_data(found, diagnostics)
        else:
            plan = checked_plan(path, diagnostics)
            if plan is not None:
                lint(plan, diagnostics)
    except UsageError as error:
        diagnostics.extend(error.diagnostics)
