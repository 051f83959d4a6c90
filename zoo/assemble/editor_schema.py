"""JSON Schema (draft 2020-12) of architectures and recipes, for editors: made from the models that check them. Floor 7.

What a schema cannot know it leaves open: an op that is none of the catalogue's may be a block of the file, whose
params only the planner knows. Every value may be an expression instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema

from zoo.errors import UsageError
from zoo.registry import did_you_mean

Schema = dict[str, Any]
Kind = Literal["architecture", "recipe"]

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
    layer_keys = _model(LayerForm, definitions)["properties"]
    layers = {
        "anyOf": [
            {"type": "object", "additionalProperties": {"$ref": "#/$defs/Layer"}},
            {"type": "array", "items": {"$ref": "#/$defs/Layer"}},
        ]
    }
    for form in (top, definitions["BlockForm"]):
        form["properties"]["layers"] = layers
    layer_keys["layers"] = layers
    cases = []
    for name in ops:
        op = ops[name]
        arguments = _open(_model(op.arguments, definitions))
        cases.append(_case("op", name, {**arguments["properties"], **_known(layer_keys)}))
    definitions["Layer"] = {
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"$ref": "#/$defs/Layer"}},
            {"$ref": "#/$defs/LayerMapping"},
        ]
    }
    definitions["LayerMapping"] = {
        "type": "object",
        "anyOf": [{"required": [key]} for key in ("op", "layers", "share")],
        "properties": _known(layer_keys),
        "propertyNames": {"not": {"pattern": _slips(list(layer_keys))}},
        "allOf": cases,
    }
    return {"$schema": DIALECT, "title": "zoo architecture", **top, "$defs": definitions}


def _recipe() -> Schema:
    from zoo.assemble.losses import loss_arguments, loss_names
    from zoo.data import settings_of, sources, transforms
    from zoo.optim import optimizer_model, optimizers, schedule_model, schedules
    from zoo.schema.recipe import Recipe

    definitions: Schema = {}
    top = _model(Recipe, definitions)
    properties = top["properties"]
    properties["extends"] = {"type": "string", "description": "the recipe this one is laid over"}
    properties["data"] = _by("source", {name: settings_of(name) for name in sources}, definitions)
    properties["loss"] = _by("name", {name: loss_arguments(name) for name in loss_names()}, definitions, own="name")
    optimizer = _by("name", {name: optimizer_model(optimizers[name]) for name in optimizers}, definitions)
    properties["optimizer"] = {"anyOf": [optimizer, {"type": "array", "items": optimizer}]}
    schedule = _by("name", {name: schedule_model(schedules[name]) for name in schedules}, definitions)
    properties["schedule"] = {"anyOf": [schedule, {"type": "null"}]}
    definitions["Transform"] = _transform({name: transforms[name].arguments for name in transforms}, definitions)
    for where in ("train", "eval"):
        entry = definitions["TransformsSection"]["properties"][where]
        entry.pop("default", None)
        entry["items"] = {"$ref": "#/$defs/Transform"}
    schema = _nullable(_open({**top, "$defs": definitions}))
    schema["properties"]["schedule"] = _open(properties["schedule"])
    # `extends` may bring what a file by itself leaves out.
    schema.pop("required", None)
    for section in ("ModelSection", "TrainSection", "SwaSection"):
        schema["$defs"].get(section, {}).pop("required", None)
    return {"$schema": DIALECT, "title": "zoo recipe", **schema}


class _Generator(GenerateJsonSchema):
    """Pydantic's own, but what JSON Schema cannot say (a callable) it leaves open."""

    def handle_invalid_for_json_schema(self, schema: CoreSchema, error_info: str) -> JsonSchemaValue:
        return {}


def _model(model: type[BaseModel], definitions: Schema) -> Schema:
    """A model's schema; what it refers to goes to the definitions."""
    schema = model.model_json_schema(by_alias=True, ref_template="#/$defs/{model}", schema_generator=_Generator)
    definitions.update(schema.pop("$defs", {}))
    schema.setdefault("properties", {})
    return schema


def _case(key: str, name: str, properties: Schema) -> Schema:
    """If the key has this value, only these properties may stand beside it."""
    return {
        "if": {"properties": {key: {"const": name}}, "required": [key]},
        "then": {"properties": properties, "propertyNames": {"enum": sorted(properties)}},
    }


def _by(key: str, models: Mapping[str, type[BaseModel]], definitions: Schema, *, own: str | None = None) -> Schema:
    """A mapping whose key chooses the model of all the others. Required keys may come from what is extended."""
    cases = []
    for name, model in models.items():
        properties = _model(model, definitions)["properties"]
        if own is not None:
            properties = {own: {"type": "string"}, **properties}
        cases.append(_case(key, name, {value: _without_default(schema) for value, schema in properties.items()}))
    return {"type": "object", "properties": {key: {"type": "string"}}, "allOf": cases}


def _transform(models: Mapping[str, type[BaseModel]], definitions: Schema) -> Schema:
    """``NAME``, or ``NAME: {arguments}``."""
    calls = {name: {**_model(model, definitions), "additionalProperties": False} for name, model in models.items()}
    mapping = {"type": "object", "properties": calls, "additionalProperties": False, "maxProperties": 1}
    return {"anyOf": [{"enum": sorted(calls)}, mapping]}


def _without_default(schema: Any) -> Any:
    return {key: value for key, value in schema.items() if key != "default"} if isinstance(schema, dict) else schema


def _known(properties: Schema) -> Schema:
    """The keys of a layer: any value, with what they mean; the planner judges values."""
    return {key: {"description": value.get("description", "")} for key, value in properties.items()} | {
        "layers": properties["layers"],
        "op": {"type": "string", "description": properties["op"].get("description", "")},
    }


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
