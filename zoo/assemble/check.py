"""Everything that can be said of a recipe or an architecture without data and without building it. Floor 7."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from zoo.assemble.fitting import check_fit, shape_after
from zoo.assemble.losses import LossSpec, parse_loss
from zoo.assemble.networks import Network, Shape, network_of
from zoo.assemble.resolve import Resolved, resolve
from zoo.assemble.shipped import shipped_recipe
from zoo.data import DataSettings, TransformSpec, parse_data, parse_transforms
from zoo.diagnostics import Diagnostics
from zoo.document import Mapping, Sequence, from_data, read_file
from zoo.errors import UsageError, raise_if_errors
from zoo.graph.lean_meta import lean_meta
from zoo.lint import lint
from zoo.models import architecture_path, load_plan
from zoo.optim import OptimizationSpec, parse_optimization
from zoo.schema.recipe import is_recipe

Specs = tuple[TransformSpec, ...]


@dataclass(frozen=True)
class Parts:
    """A recipe's sections, each checked by its room and ready to be built."""

    network: Network
    loss: LossSpec
    optimization: OptimizationSpec
    data: DataSettings
    train_transforms: Specs
    eval_transforms: Specs
    image_shape: Shape | None = None  # of what the network will get; None: the data's files decide


@lean_meta()  # building and trying an optimizer on meta would import torch's compiler
def check_recipe(resolved: Resolved, diagnostics: Diagnostics) -> Parts | None:
    """Checks every section against its room; None where the diagnostics hold errors."""
    before = len(diagnostics.errors)
    document, recipe = resolved.document, resolved.recipe
    network = network_of(resolved, diagnostics)
    loss = parse_loss(resolved.section("loss"), diagnostics)
    optimizer = document.get("optimizer")
    assert optimizer is not None
    optimization = parse_optimization(optimizer, document.get("schedule"), diagnostics)
    data = parse_data(resolved.section("data"), diagnostics)
    train = parse_transforms(_list(resolved, "train", recipe.transforms.train), diagnostics, where="train")
    eval_ = parse_transforms(_list(resolved, "eval", recipe.transforms.eval), diagnostics, where="eval")
    shape = _image_shape(data, train, eval_, diagnostics) if data is not None else None
    _cross_checks(resolved, optimization, diagnostics)
    if network is not None and optimization is not None and optimization.names_parameters:
        optimization.check_model(network.build("meta"), diagnostics)
    if network is not None and network.plan is not None:
        lint(network.plan, diagnostics, loss=recipe.loss.name, loss_span=resolved.section("loss").span)
    if len(diagnostics.errors) > before:
        return None
    assert network is not None
    assert loss is not None
    assert optimization is not None
    assert data is not None
    return Parts(network, loss, optimization, data, train, eval_, shape)


def _image_shape(data: DataSettings, train: Specs, eval_: Specs, diagnostics: Diagnostics) -> Shape | None:
    """Channels, height and width of what the network will get, after telling what the transforms cannot do."""
    shape_after(data, train, diagnostics)
    return shape_after(data, eval_, diagnostics)


@lean_meta()
def check_salvaged(salvaged: Resolved, diagnostics: Diagnostics) -> None:
    """What the rooms say of the sections that are right by themselves, where some other section is wrong."""
    document, recipe = salvaged.document, salvaged.recipe
    present = recipe.model_fields_set
    optimizer = document.get("optimizer")
    if "model" in present:
        network_of(salvaged, diagnostics)
    if "loss" in present:
        parse_loss(salvaged.section("loss"), diagnostics)
    if "data" in present:
        parse_data(salvaged.section("data"), diagnostics)
    if optimizer is not None:
        parse_optimization(optimizer, document.get("schedule"), diagnostics)
    if "transforms" in present:
        parse_transforms(_list(salvaged, "train", recipe.transforms.train), diagnostics, where="train")
        parse_transforms(_list(salvaged, "eval", recipe.transforms.eval), diagnostics, where="eval")


def recheck(resolved: Resolved) -> Parts:
    """The parts of a recipe in which only a checked value changed. Raises ConfigError."""
    diagnostics = Diagnostics()
    parts = check_recipe(resolved, diagnostics)
    raise_if_errors(diagnostics)
    assert parts is not None
    return parts


def _list(resolved: Resolved, key: str, default: tuple[object, ...]) -> Sequence:
    node = resolved.section("transforms").get(key)
    if isinstance(node, Sequence):
        return node
    made = from_data(default, resolved.document.span)
    assert isinstance(made, Sequence)
    return made


def _cross_checks(resolved: Resolved, optimization: OptimizationSpec | None, diagnostics: Diagnostics) -> None:
    """What no section can see by itself."""
    recipe = resolved.recipe
    if recipe.target.test_accuracy_tta is not None and recipe.eval.tta == "none":
        node = resolved.section("target")
        diagnostics.error(
            "target-without-tta",
            "target: test_accuracy_tta is measured with test-time augmentation, and eval.tta is none",
            node.key_span("test_accuracy_tta"),
            help="add eval: {tta: flip}",
        )
    if optimization is not None and recipe.train.epochs is not None:
        optimization.check(recipe.train.epochs, diagnostics)


def check_file(name: str) -> Diagnostics:
    """Checks and lints one architecture or recipe, given by path or shipped name."""
    diagnostics = Diagnostics()
    path = _find(name)
    if path is None:
        diagnostics.error("no-such-file", f"no such file: {name}")
        return diagnostics
    document = read_file(path, diagnostics)
    if document is not None:
        _check_document(path, document, diagnostics)
    return diagnostics


def _find(name: str) -> Path | None:
    path = Path(name)
    return path if path.is_file() else shipped_recipe(name) or architecture_path(name)


def _check_document(path: Path, document: Mapping, diagnostics: Diagnostics) -> None:
    try:
        if is_recipe(document.keys):
            resolved = resolve(str(path), (), diagnostics, if_wrong=partial(check_salvaged, diagnostics=diagnostics))
            parts = check_recipe(resolved, diagnostics) if resolved is not None else None
            if resolved is not None and parts is not None:
                check_fit(resolved, parts.network, parts.data, parts.image_shape, diagnostics)
        else:
            plan = load_plan(path, diagnostics)
            if plan is not None:
                lint(plan, diagnostics)
    except UsageError as error:
        diagnostics.extend(error.diagnostics)
