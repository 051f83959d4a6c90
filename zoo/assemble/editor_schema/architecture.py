"""The schema of architectures, of libraries of blocks, and of what is laid over another architecture. Floor 7."""

from __future__ import annotations

from pydantic import BaseModel

from zoo.assemble.editor_schema.forms import DIALECT, Schema, case, chosen_by, model_schema, opened, slips
from zoo.layers import initialisers, ops
from zoo.schema.architecture import ArchitectureForm, LayerForm


def architecture() -> Schema:
    """The schema; of a file that `extends` another, what may be laid over it."""
    definitions: Schema = {}
    top = model_schema(ArchitectureForm, definitions)
    keys = _layer_keys(model_schema(LayerForm, definitions)["properties"], definitions)
    by_kind = {"type": "object", "additionalProperties": {"$ref": "#/$defs/Initialiser"}}
    top["properties"]["init"] = {**top["properties"]["init"], "anyOf": [by_kind, {"type": "null"}]}
    cases = [case("op", name, {**_arguments(ops[name].arguments, definitions), **keys}) for name in ops]
    for one in cases:
        if one["if"]["properties"]["op"]["const"] in ("Parameter", "Buffer"):
            one["then"]["properties"]["batch_like"] = {"type": "string"}
    known = {*keys, *(argument for one in cases for argument in one["then"]["properties"])}
    definitions["LayerKeys"] = {
        "type": "object",
        "properties": keys,
        "propertyNames": {"anyOf": [{"enum": sorted(known)}, {"not": {"pattern": slips(list(keys))}}]},
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
    properties: Schema = opened(model_schema(model, definitions)["properties"])
    return properties


def _layer_keys(properties: Schema, definitions: Schema) -> Schema:
    """The keys of a layer, with what they mean. Most values may take many forms, which the planner judges."""
    keys: Schema = {key: {"description": value.get("description", "")} for key, value in properties.items()}
    keys["op"]["type"] = "string"
    choices = {name: initialisers[name].arguments for name in initialisers}
    definitions["Initialiser"] = {
        "anyOf": [{"type": "string"}, opened(chosen_by("name", choices, definitions) | {"required": ["name"]})]
    }
    one = {"$ref": "#/$defs/Initialiser"}
    keys["init"]["anyOf"] = [one, {"type": "object", "additionalProperties": one, "properties": {"name": False}}]
    return keys
