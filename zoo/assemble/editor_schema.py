"""JSON Schema (draft 2020-12) of architectures and recipes, for editors: made from the models that check them. Floor 7.

What a schema cannot know it leaves open: an op that is none of the catalogue's may be a block of the file, whose
params only the planner knows. Every value may be an expression instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import CoreSchema

from zoo.errors import UsageError
from zoo.optim.models import SelectorKeys
from zoo.optim.settings import FindSettings
from zoo.registry import did_you_mean
from zoo.schema.recipe import NETWORK_KEYS

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
EXPRESSION: Schema = {"type": "string", "pattern": r"^\$"}


def json_schema(kind: str) -> Schema:
    """The schema of one kind of file. Raises UsageError for a kind that there is not."""
    makers = {"architecture": _architecture, "recipe": _recipe}
    if kind not in makers:
        raise UsageError(f"there is no schema of {kind!r}", help=did_you_mean(kind, list(makers)))
    return makers[kind]()


def _architecture() -> Schema:
    from zoo.layers import ops
    from zoo.schema.architecture import ArchitectureForm, LayerForm

    definitions: Schema = {}
    top = _model(ArchitectureForm, definitions)
    keys = _layer_keys(_model(LayerForm, definitions)["properties"], definitions)
    by_kind = {"type": "object", "additionalProperties": {"$ref": "#/$defs/Initialiser"}}
    top["properties"]["init"] = {**top["properties"]["init"], "anyOf": [by_kind, {"type": "null"}]}
    cases = [_case("op", name, {**_arguments(ops[name].arguments, definitions), **keys}) for name in ops]
    for case in cases:
        if case["if"]["properties"]["op"]["const"] in ("Parameter", "Buffer"):
            case["then"]["properties"]["batch_like"] = {"type": "string"}
    known = {*keys, *(argument for case in cases for argument in case["then"]["properties"])}
    definitions["LayerKeys"] = {
        "type": "object",
        "properties": keys,
        "propertyNames": {"anyOf": [{"enum": sorted(known)}, {"not": {"pattern": _slips(list(keys))}}]},
        "allOf": cases,
    }
    whole, over = _bodies(definitions)
    for key in whole:
        top["properties"][key] = {"description": top["properties"][key]["description"]}
    del top["required"]
    # A file of blocks is a library: it may have no layers of its own.
    is_library = {"required": ["blocks"], "not": {"required": ["input"]}}
    alone = {"properties": whole, "if": {"not": is_library}, "then": {"required": ["layers"]}}
    top |= {"if": {"required": ["extends"]}, "then": {"properties": over}, "else": alone}
    return {"$schema": DIALECT, "title": "zoo architecture", **top, "$defs": definitions}


def _bodies(definitions: Schema) -> tuple[Schema, Schema]:
    """What `layers` and `blocks` may hold in a file of its own, and in one that is laid over another.

    There a layer may be a part of one, and null takes one away.
    """
    block = definitions.pop("BlockForm")
    bodies = []
    for prefix, least, more in (
        ("", [{"required": [key]} for key in ("op", "layers", "share")], []),
        ("Over", [{}], [{"type": "null"}]),
    ):
        layer, part = {"$ref": f"#/$defs/{prefix}Layer"}, {"$ref": f"#/$defs/{prefix}Block"}
        layers = {"anyOf": [{"type": "object", "additionalProperties": layer}, {"type": "array", "items": layer}]}
        blocks = {"anyOf": [{"type": "object", "additionalProperties": {"anyOf": [part, *more]}}, {"type": "null"}]}
        mapping: Schema = {"$ref": "#/$defs/LayerKeys", "properties": {"layers": layers}, "anyOf": least}
        definitions[f"{prefix}Layer"] = {
            "anyOf": [{"type": "string"}, {"type": "array", "items": layer}, mapping, *more]
        }
        form = {**block, "properties": {**block["properties"], "layers": layers, "blocks": blocks}}
        definitions[f"{prefix}Block"] = form if not more else {**form, "required": []}
        bodies.append({"layers": layers, "blocks": blocks})
    return bodies[0], bodies[1]


def _arguments(model: type[BaseModel], definitions: Schema) -> Schema:
    properties: Schema = _open(_model(model, definitions)["properties"])
    return properties


def _layer_keys(properties: Schema, definitions: Schema) -> Schema:
    """The keys of a layer, with what they mean. Most values may take many forms, which the planner judges."""
    from zoo.layers import initialisers

    keys: Schema = {key: {"description": value.get("description", "")} for key, value in properties.items()}
    keys["op"]["type"] = "string"
    choices = {name: initialisers[name].arguments for name in initialisers}
    definitions["Initialiser"] = {
        "anyOf": [{"type": "string"}, _open(_by("name", choices, definitions) | {"required": ["name"]})]
    }
    one = {"$ref": "#/$defs/Initialiser"}
    keys["init"]["anyOf"] = [one, {"type": "object", "additionalProperties": one, "properties": {"name": False}}]
    return keys


def _recipe() -> Schema:
    from zoo.assemble.losses import loss_names, loss_section
    from zoo.data import settings_of, sources
    from zoo.schema.recipe import Recipe

    definitions: Schema = {}
    top = _model(Recipe, definitions)
    properties = top["properties"]
    properties["extends"] = {"type": "string", "description": "the recipe this one is laid over"}
    properties["data"] = _by("source", {name: settings_of(name) for name in sources}, definitions)
    properties["loss"] = _by("name", {name: loss_section(name) for name in loss_names()}, definitions)
    properties |= _optimization(definitions)
    _transforms(definitions)
    definitions["ModelSection"]["propertyNames"] = {"not": {"pattern": _slips([*NETWORK_KEYS, "weights"])}}
    schema = _nullable(_open({**top, "$defs": definitions}))
    chosen = {"data": "source", "loss": "name", "optimizer": "name", "schedule": "name"}
    by_itself = {key: {"if": {"type": "object"}, "then": {"required": [name]}} for key, name in chosen.items()}
    models = [{"required": [key]} for key in NETWORK_KEYS]
    required = {"required": schema.pop("required"), "properties": {**by_itself, "model": {"anyOf": models}}}
    required["required"].remove("name")  # the file's name stands for it
    # What a recipe that extends another leaves out, the other one has.
    schema |= {"if": {"not": {"required": ["extends"]}}, "then": required}
    return {"$schema": DIALECT, "title": "zoo recipe", **schema}


def _optimization(definitions: Schema) -> Schema:
    """The sections `optimizer` and `schedule`, which stand inside one another."""
    from zoo.optim import group_model, optimizer_model, optimizers, schedule_model, schedules

    schedule = _by("name", {name: schedule_model(schedules[name]) for name in schedules}, definitions)
    optimizer = _by("name", {name: optimizer_model(optimizers[name]) for name in optimizers}, definitions)
    found = _model(FindSettings, definitions) | {"additionalProperties": False}
    asked = {"type": "object", "properties": {"find": found}, "required": ["find"], "additionalProperties": False}
    for choices, rate in ((schedule, "max_lr"), (optimizer, "lr")):
        for form in (choices["else"], *(case["then"] for case in choices["allOf"])):
            if rate in form["properties"]:
                form["properties"][rate]["anyOf"] += [{"const": "find"}, asked]
    definitions["Schedule"] = {"anyOf": [schedule, {"type": "null"}]}
    selector = _model(SelectorKeys, definitions) | {"additionalProperties": False}

    def around(group: Schema) -> Schema:
        group["properties"]["schedule"] = {"$ref": "#/$defs/Schedule"}
        items = group | {"type": "object", "additionalProperties": False}
        return {
            "schedule": {"$ref": "#/$defs/Schedule"},
            "groups": {"anyOf": [{"type": "array", "items": items}, {"type": "null"}]},
            "params": {"anyOf": [{"const": "rest"}, selector, {"type": "null"}]},
        }

    groups = {name: _model(group_model(optimizers[name]), definitions) for name in optimizers}
    optimizer["else"]["properties"] |= around(
        {"properties": _union([group["properties"] for group in groups.values()])}
    )
    for case in optimizer["allOf"]:
        case["then"]["properties"] |= around(groups[case["if"]["properties"]["name"]["const"]])
    several = {"type": "array", "items": optimizer | {"required": ["name"]}}
    return {"optimizer": {"anyOf": [optimizer, several]}, "schedule": {"$ref": "#/$defs/Schedule"}}


def _transforms(definitions: Schema) -> None:
    """Lists of ``NAME`` or ``NAME: {arguments}``."""
    from zoo.data import transforms

    calls = {
        name: _model(transforms[name].arguments, definitions) | {"additionalProperties": False} for name in transforms
    }
    mapping = {"type": "object", "properties": calls, "additionalProperties": False, "maxProperties": 1}
    definitions["Transform"] = {"anyOf": [{"enum": sorted(calls)}, mapping]}
    for where in ("train", "eval"):
        entry = definitions["TransformsSection"]["properties"][where]
        entry["items"] = {"$ref": "#/$defs/Transform"}


class _Generator(GenerateJsonSchema):
    """Pydantic's own, but what JSON Schema cannot say (a callable) it leaves open, and a default may be left out."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}

    def handle_invalid_for_json_schema(self, schema: CoreSchema, error_info: str) -> JsonSchemaValue:
        return {}


def _model(model: type[BaseModel], definitions: Schema) -> Schema:
    """A model's schema; what it refers to goes to the definitions."""
    schema = model.model_json_schema(by_alias=True, ref_template="#/$defs/{model}", schema_generator=_Generator)
    definitions.update(schema.pop("$defs", {}))
    schema.setdefault("properties", {})
    return schema


def _case(key: str, name: str, properties: Schema) -> Schema:
    """If the key has this value, only these properties may stand beside it; others only to be taken away."""
    return {
        "if": {"properties": {key: {"const": name}}, "required": [key]},
        "then": {"properties": properties, "additionalProperties": {"type": "null"}},
    }


def _by(key: str, models: Mapping[str, type[BaseModel]], definitions: Schema) -> Schema:
    """A mapping whose key chooses the model of all the others.

    Where a file leaves the key to what it extends, any choice's keys may stand; none is required.
    """
    cases, choices = [], []
    for name, model in models.items():
        choices.append(_model(model, definitions)["properties"])
        nullable = {argument: {"anyOf": [value, {"type": "null"}]} for argument, value in choices[-1].items()}
        cases.append(_case(key, name, {**nullable, key: {"type": "string"}}))
    any_choice = _union(choices)
    return {
        "type": "object",
        "properties": {key: {"type": "string"}},
        "propertyNames": {"enum": sorted({key, *any_choice})},
        "if": {"required": [key]},
        "else": {"properties": any_choice},
        "allOf": cases,
    }


def _union(choices: list[Schema]) -> Schema:
    """The properties that any of several models has, each with every form that one of them takes, or null."""
    forms: dict[str, dict[str, Schema]] = {}
    for properties in choices:
        for name, value in properties.items():
            telling = {key: part for key, part in value.items() if key not in ("default", "description", "title")}
            forms.setdefault(name, {}).setdefault(json.dumps(telling, sort_keys=True), value)
    return {name: {"anyOf": [*found.values(), {"type": "null"}]} for name, found in forms.items()}


def _open(schema: Any) -> Any:
    """The schema with an expression allowed wherever a value is due."""
    if isinstance(schema, list):
        return [_open(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    opened = {
        key: value if key in ("default", "enum", "if", "const") else _open(value) for key, value in schema.items()
    }
    is_value = "const" in schema or "enum" in schema or schema.get("type") in ("integer", "number", "boolean", "array")
    if not is_value:
        return opened
    description = {key: opened.pop(key) for key in ("description", "title") if key in opened}
    return {**description, "anyOf": [opened, EXPRESSION]}


def _nullable(schema: Schema) -> Schema:
    """``key: null`` takes a key away that an extended recipe brought."""
    for section in [schema, *schema["$defs"].values()]:
        for key, value in section.get("properties", {}).items():
            section["properties"][key] = {"anyOf": [value, {"type": "null"}]}
    return schema


def _slips(keys: list[str]) -> str:
    """A pattern for the language's own keys with one letter too many or two letters swapped.

    A block's params are free names, so a mistyped ``from`` beside a block's op could be one; these are not.
    """
    slips = []
    for key in keys:
        if len(key) < 4:
            continue
        slips += [f"{key[:at]}[a-z]{key[at:]}" for at in range(len(key) + 1)]
        slips += [
            key[:at] + key[at + 1] + key[at] + key[at + 2 :] for at in range(len(key) - 1) if key[at] != key[at + 1]
        ]
        if len(key) > 4:
            slips += [key[:at] + key[at + 1 :] for at in range(len(key))]
            slips += [f"{key[:at]}[^{key[at]}]{key[at + 1 :]}" for at in range(len(key))]
    return f"^({'|'.join(dict.fromkeys(slips))})$"
