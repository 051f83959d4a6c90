"""A recipe's file, what it extends, ``--set`` and expressions, settled into one checked recipe. Floor 7.

Everything stays a document tree, so every value keeps the place it came from; :class:`Resolved` has the tree beside
the checked sections.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import create_model

from zoo.assemble.defaults import DEFAULT
from zoo.assemble.losses import loss_names
from zoo.assemble.shipped import find_parent, find_recipe, not_a_recipe, recipe_names
from zoo.data import DataSettings, sources
from zoo.diagnostics import Diagnostic, Diagnostics, Note, Span
from zoo.document import Entry, Mapping, Node, Override, Scalar, lay_over, load, text_of
from zoo.document.evaluation import NoNames, substitute
from zoo.document.overrides import saying, told_of_removal
from zoo.errors import raise_if_errors
from zoo.layers.foreign import LIBRARIES
from zoo.optim.catalogue import optimizer_names, optimizers
from zoo.optim.schedules import schedules
from zoo.schema.check import validate
from zoo.schema.habits import last_of, name_elsewhere, name_help, nearest_of
from zoo.schema.recipe import Recipe, Section, is_recipe


@dataclass(frozen=True, slots=True)
class Resolved:
    """A recipe with everything settled but its rooms' own arguments.

    ``document`` holds what was written, expressions worked out; ``text`` is the file as it stands.
    """

    recipe: Recipe
    document: Mapping
    path: Path
    text: str
    in_part: bool = False
    overrides: tuple[Override, ...] = ()  # what was laid over it, for messages

    @property
    def sections(self) -> frozenset[str]:
        """The names of the sections that are in it: all, unless it is what was salvaged of a wrong recipe."""
        return frozenset(self.recipe.model_fields_set) if self.in_part else frozenset(Recipe.model_fields)

    @property
    def folder(self) -> Path:
        """The folder that paths in the recipe are relative to."""
        return self.path.parent

    def section(self, name: str) -> Mapping:
        """A section's node; empty, with the document's place, where it was left out."""
        node = self.document.get(name)
        return node if isinstance(node, Mapping) else Mapping((), self.document.span)


def resolve(
    name_or_path: str,
    overrides: Iterable[Override],
    diagnostics: Diagnostics,
    *,
    if_wrong: Callable[[Resolved], object] = lambda salvaged: None,
) -> Resolved | None:
    """Reads a recipe. None where it is wrong: the diagnostics say how. Raises UsageError for a recipe there is not.

    ``if_wrong`` is handed what is right by itself of a recipe in which some section is wrong, so that its caller can
    tell what else is wrong with it at once.
    """
    path, overrides = find_recipe(name_or_path), tuple(overrides)
    written = load_document(path, overrides, diagnostics)
    if written is None:
        return None
    document = _evaluated(written, path, diagnostics)
    told = {entry.key for entry in written if entry.key not in document}  # an expression in it failed
    found = Diagnostics()
    recipe = validate(_only(key for key in Recipe.model_fields if key not in told), document, found, what="")
    diagnostics.extend(_with_way_out(told_of_removal(item, document, overrides), document) for item in found)
    if not isinstance(recipe, Recipe):
        if_wrong(replace(_salvaged(document, path), overrides=overrides))
        return None
    return Resolved(recipe, document, path, path.read_text(encoding="utf-8-sig"), overrides=overrides)


# Sections that have a name in them, and under which key: people write the name in the section's place.
_NAMED = {"model": "architecture", "data": "source", "loss": "name", "optimizer": "name", "schedule": "name"}

# Of these another name has other keys, so that they are replaced as a whole.
_OWN_KEYS = ("optimizer", "schedule")

# What `zoo ls` calls the things that are named there.
_KINDS = {"data": "sources", "loss": "losses", "optimizer": "optimizers", "schedule": "schedules"}

# Sections that people write as the one thing that is in them.
_FORMS = {"target": "{test_accuracy: 0.9}", "transforms": "{train: […], eval: […]}", "reports": "[curves, confusion]"}

_RESIZING = "progressive_resizing: {epochs: [0, 10], sizes: [16, 32]}"
# And keys of ``train``.
_FORMS_IN_TRAIN = {
    "freeze_statistics": "true, for all of them, or {match: PATTERN}",
    "activation_checkpointing": "true, for the network's blocks, or {match: PATTERN}",
    "progressive_resizing": _RESIZING,
}

# What other libraries call mixed precision, in ``train``.
_PRECISIONS = ("amp", "use_amp", "mixed_precision", "fp16", "bf16", "half")
# Functions of timm's and torchvision's that make a model by a name that is handed to them.
_MAKERS = ("create_model", "get_model")
_MIXED = "write precision: bf16 or fp16; auto, the default, takes what the hardware has"
# What people write of a teacher, and what it takes for it.
_NETWORK = ("model", "architecture", "timm", "torchvision", "weights")
_TEACHER = "a teacher is a run: train that network, from its weights, by a recipe of its own, and name the run"
# What they call running statistics that stand still.
_NORMS = ("norm_eval", "bn_eval", "freeze_bn", "freeze_norm", "freeze_norms", "frozen_bn", "frozen_norms")
# What they call images that grow: FFCV's, Composer's and EfficientNetV2's words.
_GROWING = ("min_res", "max_res", "start_ramp", "end_ramp", "initial_scale", "progressive_learning", "resize_schedule")
# What they call activation checkpointing.
_RECOMPUTES = ("grad_checkpointing", "gradient_checkpointing", "grad_checkpoint", "checkpoint_activations", "recompute")
# Keys that stand in ``train`` elsewhere, and what is written here.
_OTHERS = {
    **dict.fromkeys(_PRECISIONS, _MIXED),
    **dict.fromkeys(_NORMS, "write freeze_statistics: true"),
    **dict.fromkeys(_GROWING, f"write {_RESIZING}"),
    **dict.fromkeys(_RECOMPUTES, "write activation_checkpointing: true"),
    "layer_decay": "write it below optimizer",
    **dict.fromkeys(("distillation", "distill", "teacher"), "write loss: {distillation: {teacher: RUN}}"),
}


def _with_way_out(item: Diagnostic, document: Mapping) -> Diagnostic:
    """The message; of a name that stands where its section is due, it shows where a name goes."""
    for section, key in _NAMED.items():
        node = document.get(section)
        name = text_of(node)
        if node is not None and name is not None and node.span == item.span:
            option, name = node.span.option, nearest_of(_names(section, name), name)
            if not option:
                help = f"write {section}: {{{key}: {name}}}"
            elif section in _OWN_KEYS:
                help = _whole(option, section, name)
            else:
                help = saying(option, f"{section}.{key}", name)
            return replace(item, help=f"{help}; zoo ls {_KINDS[section]} has the names" if name == "…" else help)
    model = document.get("model")
    if isinstance(model, Mapping) and item.span == model.span and item.help is None:
        return replace(item, help=_model_help(model))
    for section, form in _FORMS.items():
        node = document.get(section)
        is_section = isinstance(node, Mapping)  # so that its form is right; all of what --set gave is at one place
        if item.code == "wrong-type" and node is not None and item.span == node.span and not is_section:
            return replace(item, help=f"write {section}: {form}")
    train = document.get("train")
    for key, form in _FORMS_IN_TRAIN.items():
        said = train.get(key) if isinstance(train, Mapping) else None
        if item.code == "wrong-type" and said is not None and item.span == said.span:
            return replace(item, help=f"write {form}")
    loss = document.get("loss")
    distillation = loss.get("distillation") if isinstance(loss, Mapping) else None
    if item.code == "wrong-type" and distillation is not None and item.span == distillation.span:
        return replace(item, help=f"write distillation: {{teacher: {text_of(distillation) or 'RUN'}}}")
    if isinstance(distillation, Mapping) and _is_network_for_teacher(item, distillation):
        return replace(item, help=_TEACHER)
    if item.code == "unknown-key":
        if meant_in_train := _of_other_libraries(item, train):
            return replace(item, help=meant_in_train)
        astray = next((entry.key for entry in document if entry.key_span == item.span), None)
        home = next(
            (f"{section}.{key}" for section, keys in _sections().items() for key in keys if key == astray), None
        )
        return replace(item, help=f"did you mean {home}?") if home else item
    return item


def _is_network_for_teacher(item: Diagnostic, distillation: Mapping) -> bool:
    """Whether a network stands where a teacher's run is due, or beside it: ``teacher: {timm: resnet18}``."""
    teacher = distillation.get("teacher")
    if item.code == "unknown-key":
        return any(key in distillation and distillation.key_span(key) == item.span for key in _NETWORK)
    return isinstance(teacher, Mapping) and item.span == teacher.span


def _whole(option: str, section: str, name: str) -> str:
    return saying(option, section, f"{{name: {name}}}")


def told_of_what_lies_over(item: Diagnostic, resolved: Resolved) -> Diagnostic:
    """The message; where a value that was laid over the recipe is to blame for it, it says so."""
    return told_of_removal(_told_of_leftovers(item, resolved.document), resolved.document, resolved.overrides)


def _told_of_leftovers(item: Diagnostic, document: Mapping) -> Diagnostic:
    """The message; of a key that an optimizer or a schedule of another name left behind, it says where from."""
    for section in _OWN_KEYS if item.code == "unknown-key" else ():
        node = document.get(section)
        name = node.get("name") if isinstance(node, Mapping) else None
        if not isinstance(node, Mapping) or name is None:
            continue
        key = next((key for key in node.keys if node.key_span(key) == item.span), None)
        if key is not None and item.span is not None and _lies_over(name.span, item.span, node.span):
            text, option = text_of(name) or "…", name.span.option
            help = f"{_whole(option, section, text)} replaces the whole" if option else f"{key}: null leaves it out"
            note = Note(f"the {section} is {text} here, the key is from another", name.span)
            return replace(item, notes=(*item.notes, note), help=help)
    return item


def _lies_over(name: Span, key: Span, section: Span) -> bool:
    """Whether a name was laid over a section that had the key already, by the command line or by what extends it."""
    if name.option or key.option:
        return bool(name.option) and not key.option
    return name.source is section.source and key.source is not section.source


def _model_help(model: Mapping) -> str | None:
    """The way out where a model's name stands under another library's key, maybe with the library's modules."""
    _, path = name_elsewhere(model) or ("", "")
    library = path.partition(".")[0]
    if library not in LIBRARIES:
        return name_help(model, "architecture")
    return name_help(model, library, ["…"] if last_of(path) in _MAKERS else ())


def _names(section: str, name: str) -> Sequence[str]:
    """Among what a name is to be found; of optimizers torch's come first, whatever their capitals."""
    if section == "loss":
        return loss_names()
    if section == "optimizer":
        return list(optimizers) if name.lower() in map(str.lower, optimizers) else optimizer_names()
    return list(sources) if section == "data" else list(schedules) if section == "schedule" else ()


def _of_other_libraries(item: Diagnostic, train: Node | None) -> str | None:
    """The way out where an unknown key is what other libraries call something that is said otherwise here."""
    entries = train.entries if isinstance(train, Mapping) else ()
    return next((_OTHERS[entry.key] for entry in entries if entry.key_span == item.span and entry.key in _OTHERS), None)


def _sections() -> dict[str, Iterable[str]]:
    """The recipe's sections and the keys of each, of those that take others too the ones that people write alone."""
    of_sections = {
        name: field.annotation.model_fields
        for name, field in Recipe.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }
    return {
        "data": DataSettings.model_fields,
        "optimizer": ("lr", "weight_decay", "momentum", "groups", "layer_decay"),
        **of_sections,
    }


def _only(keys: Iterable[str]) -> type[Section]:
    """The recipe's model, of these sections alone."""
    definitions: dict[str, Any] = {key: (field.annotation, field) for key, field in Recipe.model_fields.items()}
    wanted = {key: definitions[key] for key in keys}
    return Recipe if wanted.keys() == definitions.keys() else create_model("part", __base__=Section, **wanted)


def _salvaged(document: Mapping, path: Path) -> Resolved:
    """A recipe of those sections alone that are right by themselves; the others are not in it."""
    sections = {}
    for key in Recipe.model_fields:
        found = validate(_only([key]), document.only([key]), Diagnostics(), what="")
        if found is not None:
            sections[key] = getattr(found, key)
    recipe = Recipe.model_construct(set(sections), **sections)
    return Resolved(recipe, document.only(sections), path, "", in_part=True)


def _is_architecture(document: Mapping, diagnostics: Diagnostics) -> bool:
    """Whether an architecture stands where a recipe is due, which is then told in one message."""
    if "layers" not in document or is_recipe(document.keys):
        return False
    diagnostics.add(not_a_recipe(document.span.file, document.key_span("layers")))
    return True


def with_document(resolved: Resolved, document: Mapping) -> Resolved:
    """The recipe with other values in it. Raises ConfigError where its sections do not take them."""
    diagnostics = Diagnostics()
    recipe = validate(Recipe, document, diagnostics, what="")
    raise_if_errors(diagnostics)
    assert recipe is not None
    return replace(resolved, document=document, recipe=recipe)


def load_document(path: Path, overrides: Iterable[Override], diagnostics: Diagnostics) -> Mapping | None:
    """The recipe's tree: extended, and with what the command line lays over it."""
    document = load(path, diagnostics, find_parent=find_parent, shipped=recipe_names())
    if document is None or _is_architecture(document, diagnostics):
        return None
    before = len(diagnostics.errors)
    document = lay_over(document, overrides, diagnostics)
    return document if len(diagnostics.errors) == before else None


def _evaluated(document: Mapping, path: Path, diagnostics: Diagnostics) -> Mapping:
    """The tree with its expressions worked out and its name filled in; sections where one fails are left out."""
    values = ((entry, substitute(entry.value, NoNames(), diagnostics)) for entry in document)
    entries = [Entry(entry.key, entry.key_span, value) for entry, value in values if value is not None]
    if "name" not in document:
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", path.stem).lstrip(".") or "recipe"  # it will name a folder
        entries.insert(0, Entry("name", DEFAULT, Scalar(stem, DEFAULT, stem)))
    return Mapping(tuple(entries), document.span)
