"""What schemas are made of: models, choices between them, expressions in place of values. Floor 7."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import CoreSchema

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
EXPRESSION: Schema = {"type": "string", "pattern": r"^\$"}


class _Generator(GenerateJsonSchema):
    """Pydantic's own, but what JSON Schema cannot say (a callable) it leaves open, and a default may be left out."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}

    def handle_invalid_for_json_schema(self, schema: CoreSchema, error_info: str) -> JsonSchemaValue:
        return {}


def model_schema(model: type[BaseModel], definitions: Schema) -> Schema:
    """A model's schema; what it refers to goes to the definitions."""
    schema = model.model_json_schema(by_alias=True, ref_template="#/$defs/{model}", schema_generator=_Generator)
    definitions.update(schema.pop("$defs", {}))
    schema.setdefault("properties", {})
    return schema


def case(key: str, name: str, properties: Schema) -> Schema:
    """If the key has this value, only these properties may stand beside it; others only to be taken away."""
    return {
        "if": {"properties": {key: {"const": name}}, "required": [key]},
        "then": {"properties": properties, "additionalProperties": {"type": "null"}},
    }


def chosen_by(key: str, models: Mapping[str, type[BaseModel]], definitions: Schema) -> Schema:
    """A mapping whose key chooses the model of all the others.

    Where a file leaves the key to what it extends, any choice's keys may stand; none is required.
    """
    cases, choices = [], []
    for name, model in models.items():
        choices.append(model_schema(model, definitions)["properties"])
        nullable = {argument: {"anyOf": [value, {"type": "null"}]} for argument, value in choices[-1].items()}
        cases.append(case(key, name, {**nullable, key: {"type": "string"}}))
    any_choice = union(choices)
    return {
        "type": "object",
        "properties": {key: {"type": "string"}},
        "propertyNames": {"enum": sorted({key, *any_choice})},
        "if": {"required": [key]},
        "else": {"properties": any_choice},
        "allOf": cases,
    }


def union(choices: list[Schema]) -> Schema:
    """The properties that any of several models has, each with every form that one of them takes, or null."""
    forms: dict[str, dict[str, Schema]] = {}
    for properties in choices:
        for name, value in properties.items():
            telling = {key: part for key, part in value.items() if key not in ("default", "description", "title")}
            forms.setdefault(name, {}).setdefault(json.dumps(telling, sort_keys=True), value)
    return {name: {"anyOf": [*found.values(), {"type": "null"}]} for name, found in forms.items()}


def opened(schema: Any) -> Any:
    """The schema with an expression allowed wherever a value is due."""
    if isinstance(schema, list):
        return [opened(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inside = {
        key: value if key in ("default", "enum", "if", "const") else opened(value) for key, value in schema.items()
    }
    is_value = "const" in schema or "enum" in schema or schema.get("type") in ("integer", "number", "boolean", "array")
    if not is_value:
        return inside
    description = {key: inside.pop(key) for key in ("description", "title") if key in inside}
    return {**description, "anyOf": [inside, EXPRESSION]}


def nullable(schema: Schema) -> Schema:
    """``key: null`` takes a key away that an extended recipe brought."""
    for section in [schema, *schema["$defs"].values()]:
        for key, value in section.get("properties", {}).items():
            section["properties"][key] = {"anyOf": [value, {"type": "null"}]}
    return schema


def slips(keys: list[str]) -> str:
    """A pattern for the language's own keys with one letter too many or two letters swapped.

    A block's params are free names, so a mistyped ``from`` beside a block's op could be one; these are not.
    """
    wrong = []
    for key in keys:
        if len(key) < 4:
            continue
        wrong += [f"{key[:at]}[a-z]{key[at:]}" for at in range(len(key) + 1)]
        wrong += [
            key[:at] + key[at + 1] + key[at] + key[at + 2 :] for at in range(len(key) - 1) if key[at] != key[at + 1]
        ]
        if len(key) > 4:
            wrong += [key[:at] + key[at + 1 :] for at in range(len(key))]
            wrong += [f"{key[:at]}[^{key[at]}]{key[at + 1 :]}" for at in range(len(key))]
    return f"^({'|'.join(dict.fromkeys(wrong))})$"
