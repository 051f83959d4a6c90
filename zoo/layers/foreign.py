"""Whole models of timm and torchvision as ops, and by name. The only file that imports timm. Floor 2.

Nothing is downloaded unless ``pretrained`` is asked for, and never for a model on the meta device.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import torch
from pydantic import Field

from zoo.diagnostics import Diagnostic
from zoo.errors import EnvironmentFault, UsageError, first_line, is_out_of_memory
from zoo.layers.bounds import Amount, Probability, Size
from zoo.layers.op import Arguments, Check, Fault, Op
from zoo.layers.reach import hub_in_reach, require_reach
from zoo.registry import did_you_mean, unknown
from zoo.schema import ArgsModel

if TYPE_CHECKING:
    from torch import nn

Library: TypeAlias = Literal["timm", "torchvision"]
LIBRARIES: tuple[Library, ...] = get_args(Library)
_PROBE_SIDE = 224  # pixels; only shapes are looked at


class TimmArguments(ArgsModel):
    """A model of timm, or with ``features`` its maps from large to small."""

    name: str = Field(description="the model's name in the library")
    pretrained: bool = Field(False, description="load timm's weights (from the network, or its cache)")
    features: bool = Field(False, description="give the maps instead of the class scores")
    in_chans: Size = Field(3, description="channels of the images")
    num_classes: Amount | None = Field(None, description="width of the head; 0 takes the head off")
    drop_rate: Probability | None = Field(None, description="dropout in front of the head")
    drop_path_rate: Probability | None = Field(None, description="stochastic depth")
    img_size: Size | tuple[Size, Size] | None = Field(None, description="sides of the images, where a model must know")
    global_pool: str | None = Field(None, description="how maps become a vector")
    out_indices: tuple[int, ...] | None = Field(None, description="which maps, with features")
    kwargs: dict[str, Any] = Field({}, description="further arguments of the model's own")


class TorchvisionArguments(ArgsModel):
    """A classification model of torchvision, or with ``features`` its maps from large to small, keys "0", "1", …."""

    name: str = Field(description="the model's name in the library")
    pretrained: bool = Field(False, description="load torchvision's default weights (from the network, or its cache)")
    features: bool = Field(False, description="give the maps instead of the class scores")
    num_classes: Size | None = Field(None, description="width of the head")
    kwargs: dict[str, Any] = Field({}, description="further arguments of the model's own")


_ARGUMENTS: dict[Library, type[ArgsModel]] = {"timm": TimmArguments, "torchvision": TorchvisionArguments}


def foreign_names(library: Library) -> list[str]:
    """The names of a library's models."""
    if library == "timm":
        import timm

        return list(timm.list_models())
    import torchvision

    return list(torchvision.models.list_models(module=torchvision.models))


def build_foreign(
    library: Library, name: str, *, pretrained: bool = False, features: bool = False, **kwargs: Any
) -> nn.Module:
    """A foreign model. Raises UsageError for an unknown name or argument, EnvironmentFault where weights stay away."""
    require_model(library, name)
    if refused := _refused(library, name, kwargs):
        raise UsageError(refused.message, help=refused.help)
    options = _options(library, name, kwargs)
    build = _build_timm if library == "timm" else _build_torchvision
    try:
        if torch.get_default_device().type == "meta":
            return _on_meta(lambda: build(name, False, features, dict(options)))
        return build(name, pretrained, features, options)
    except (TypeError, ValueError, ArithmeticError, AssertionError, AttributeError, LookupError) as error:
        raise UsageError(f"{name}: {error}") from error  # arguments it does not stand, or a model without maps
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise UsageError(f"{name}: {first_line(error)}") from error
    except OSError as error:
        raise EnvironmentFault(
            f"{library}: the weights of {name} could not be loaded: {error}",
            help="without a network, fill the library's cache first, or do without pretrained weights",
        ) from error


def _options(library: Library, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords that the library's own function gets for arguments as files have them."""
    written = {key: value for key, value in arguments.items() if key != "kwargs" and value is not None}
    return {**_own_defaults(library, name), **(arguments.get("kwargs") or {}), **written}


Filter: TypeAlias = Callable[..., dict[str, Any]]  # of a state dict and, as a rule, the model


def timm_filter(name: str, arguments: Mapping[str, Any]) -> Filter | None:
    """What timm's loader of pretrained weights has for a model: it renames a checkpoint's tensors and resizes them.

    timm's builder hands it to the loader and keeps it nowhere. So the model is built once more, on the meta device,
    with a loader that loads nothing and remembers it. None where the model has none.
    """
    import timm
    from timm.models import _builder

    found: list[Filter | None] = [None]
    own = _builder.load_pretrained
    _builder.load_pretrained = lambda *_, filter_fn=None, **__: found.append(filter_fn)
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            _on_meta(lambda: timm.create_model(name, pretrained=True, **_options("timm", name, arguments)))
    finally:
        _builder.load_pretrained = own
    return found[-1]


def map_nodes(model: nn.Module) -> dict[str, str]:
    """The stages of a torchvision model after which its maps shrink, as ``{"layer1.1": "0", …}``, large maps first."""
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    with torch.device("cpu"):  # tracing makes small tensors that it reads
        nodes = get_graph_node_names(model, suppress_diff_warning=True)[1]
    stages = [stage for stage in _stages(model) if any(f"{node}.".startswith(f"{stage}.") for node in nodes)]
    probe = create_feature_extractor(copy.deepcopy(model), stages, suppress_diff_warning=True).to("meta").eval()
    with torch.no_grad():
        values = probe(torch.empty(1, 3, _PROBE_SIDE, _PROBE_SIDE, device="meta"))
    last: dict[int, str] = {}
    for stage, value in values.items():
        height, width = value.shape[2:] if value.dim() == 4 else (0, 1)
        if height == width > 1:
            last[height] = stage
    return {stage: str(index) for index, stage in enumerate(last.values())}


def _stages(model: nn.Module) -> list[str]:
    """The names of a model's children, and in place of a sequence those of its items."""
    names: list[str] = []
    for name, child in model.named_children():
        is_sequence = isinstance(child, torch.nn.Sequential)
        names += [f"{name}.{item}" for item, _ in child.named_children()] if is_sequence else [name]
    return names


def _on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """Builds on the meta device; a model whose constructor reads tensors (RegNet's does) is built, then moved there."""
    try:
        return build()
    except (NotImplementedError, RuntimeError):
        with torch.device("cpu"):
            return build().to("meta")


def _build_timm(name: str, pretrained: bool, features: bool, options: dict[str, Any]) -> nn.Module:
    import timm

    if features:
        options["features_only"] = True
    config = timm.get_pretrained_cfg(name, allow_unregistered=True) if pretrained else None
    if config is not None and config.url and not config.hf_hub_id:
        require_reach(config.url if isinstance(config.url, str) else config.url[0])  # else (URL, file name)
    with hub_in_reach() if config is not None and config.hf_hub_id else contextlib.nullcontext():
        model: nn.Module = timm.create_model(name, pretrained=pretrained, **options)
    return model


def _build_torchvision(name: str, pretrained: bool, features: bool, options: dict[str, Any]) -> nn.Module:
    import torchvision

    if pretrained:
        require_reach(torchvision.models.get_model_weights(name).DEFAULT.url)
    model: nn.Module = torchvision.models.get_model(name, weights="DEFAULT" if pretrained else None, **options)
    if not features:
        return model
    from torchvision.models.feature_extraction import create_feature_extractor

    nodes = map_nodes(model)
    if not nodes:
        raise UsageError(f"{name} has no maps to give")
    extractor: nn.Module = create_feature_extractor(model, nodes, suppress_diff_warning=True)
    return extractor


def unknown_model(library: Library, name: str) -> Diagnostic | None:
    """The message about a name that no model of the library bears; None where one does."""
    names = foreign_names(library)
    bare = name.partition(".")[0] if library == "timm" else name  # `resnet18.a1_in1k` names weights
    if bare not in names and name not in names:
        return unknown(f"{library} model", bare, names)
    return None if bare == name or name in names else _unknown_tag(bare, name)


def require_model(library: Library, name: str) -> None:
    """Raises UsageError for a name that no model of the library bears."""
    if stranger := unknown_model(library, name):
        raise UsageError(stranger.message, code=stranger.code, help=stranger.help)


def _unknown_tag(bare: str, name: str) -> Diagnostic | None:
    import timm

    try:
        timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError:
        return unknown("set of timm weights", name, timm.list_pretrained(f"{bare}.*"))
    return None


@dataclass(frozen=True, slots=True)
class ArgumentFault:
    """What a model says of arguments of its own: which of them it means (None: it does not say), and the way out."""

    argument: str | None
    message: str
    help: str | None = None


_FILES = (
    "checkpoint_path",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "pretrained_model_args",
    "cache_dir",
    "weights",
)
WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")  # of torchvision; they train on more than the scores


def _refused(library: Library, name: str, arguments: Mapping[str, Any]) -> ArgumentFault | None:
    """The first argument that a library takes and zoo does not: one that opens a file, changes what comes out, or has
    its place beside `kwargs`.
    """
    own = arguments.get("kwargs") or {}
    if misplaced := next((key for key in own if key in _ARGUMENTS[library].model_fields), None):
        return ArgumentFault("kwargs", f"{name}: {misplaced} has no place in kwargs", "write it beside the name")
    given = {**own, **arguments}
    for key in _FILES:
        if given.get(key) is not None:
            return ArgumentFault(key, f"{name} takes no {key} here", "write weights: FILE in a recipe")
    if library == "torchvision" and name in WITH_AUXILIARY_HEADS and given.get("aux_logits"):
        message = f"{name}: with aux_logits more than the scores comes out in training"
        return ArgumentFault("aux_logits", message, "leave it out: the auxiliary heads are")
    return None


def _own_defaults(library: Library, name: str) -> dict[str, Any]:
    """Arguments that zoo gives where the file does not."""
    return {"aux_logits": False} if library == "torchvision" and name in WITH_AUXILIARY_HEADS else {}


def argument_fault(library: Library, name: str, arguments: Mapping[str, Any]) -> ArgumentFault | None:
    """What a model has against arguments, found by building it on the meta device, which allocates nothing."""
    if refused := _refused(library, name, arguments):
        return refused
    try:
        with torch.device("meta"):
            build_foreign(library, name, **arguments)
    except UsageError as error:
        unknown_keyword = re.search(r"got an unexpected keyword argument '(\w+)'", error.message)
        if unknown_keyword is None:
            return ArgumentFault(None, error.message)
        with torch.device("meta"):
            model = build_foreign(library, name)
        keyword, taken = unknown_keyword[1], [*inspect.signature(type(model)).parameters]
        return ArgumentFault(keyword, f"{name} takes no argument {keyword!r}", did_you_mean(keyword, taken))
    return None


def _check(library: Library) -> Check:
    def check(arguments: Arguments) -> Fault | None:
        stranger = unknown_model(library, arguments["name"])
        if stranger is not None:
            return Fault("name", stranger.message, stranger.help)
        own = arguments.get("kwargs")
        fault = argument_fault(library, arguments["name"], {"kwargs": own}) if own else None
        return Fault("kwargs", fault.message, fault.help) if fault else None

    return check


def _write_timm(op: Op, arguments: Mapping[str, str]) -> str:
    texts = _foreign_texts("timm", arguments)
    if arguments.get("features") == "True":
        texts.append("features_only=True")
    return f"timm.create_model({', '.join(texts)})"


def _write_torchvision(op: Op, arguments: Mapping[str, str]) -> str:
    weights = "'DEFAULT'" if arguments.get("pretrained") == "True" else "None"
    name, *rest = [text for text in _foreign_texts("torchvision", arguments) if not text.startswith("pretrained=")]
    model = f"torchvision.models.get_model({', '.join([name, f'weights={weights}', *rest])})"
    if arguments.get("features") != "True":
        return model
    with torch.device("meta"):
        own = ast.literal_eval(arguments.get("kwargs", "{}"))
        nodes = map_nodes(build_foreign("torchvision", ast.literal_eval(name), **own))
    return f"create_feature_extractor({model}, {nodes!r})"


def _foreign_texts(library: Library, arguments: Mapping[str, str]) -> list[str]:
    texts = [arguments["name"]]
    own = {key: text for key, text in arguments.items() if key not in ("name", "features", "kwargs")}
    texts += [f"{key}={text}" for key, text in own.items()]
    further = {
        **_own_defaults(library, ast.literal_eval(arguments["name"])),
        **ast.literal_eval(arguments.get("kwargs", "{}")),
    }
    return texts + [f"{key}={value!r}" for key, value in further.items()]


def _target(library: Library) -> Callable[..., nn.Module]:
    def build(**arguments: Any) -> nn.Module:
        return build_foreign(library, **arguments)

    return build


_DECISIVE = ("name", "pretrained", "features", "kwargs")

OPS = (
    Op(
        name="timm",
        kind="module",
        target=_target("timm"),
        arguments=TimmArguments,
        path="timm.create_model",
        imports=("import timm",),
        infers={"in_chans": "channels"},
        check=_check("timm"),
        constructs=_write_timm,
        decisive=_DECISIVE,
        doc=TimmArguments.__doc__ or "",
    ),
    Op(
        name="torchvision",
        kind="module",
        target=_target("torchvision"),
        arguments=TorchvisionArguments,
        path="torchvision.models.get_model",
        imports=(
            "import torchvision",
            "from torchvision.models.feature_extraction import create_feature_extractor",
        ),
        check=_check("torchvision"),
        constructs=_write_torchvision,
        decisive=_DECISIVE,
        doc=TorchvisionArguments.__doc__ or "",
    ),
)
