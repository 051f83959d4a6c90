"""The schema of recipes. Floor 7."""

from __future__ import annotations

from zoo.assemble.editor_schema.forms import DIALECT, Schema, chosen_by, model_schema, nullable, opened, slips, union
from zoo.assemble.losses import loss_names, loss_section
from zoo.data import settings_of, sources, transforms
from zoo.optim import group_model, optimizer_model, optimizers, schedule_model, schedules
from zoo.optim.models import SelectorKeys
from zoo.optim.settings import FindSettings
from zoo.schema.recipe import NETWORK_KEYS, Recipe


def recipe() -> Schema:
    """The schema; of a recipe that `extends` another, nothing is required."""
    definitions: Schema = {}
    top = model_schema(Recipe, definitions)
    properties = top["properties"]
    properties["extends"] = {"type": "string", "description": "the recipe this one is laid over"}
    properties["data"] = chosen_by("source", {name: settings_of(name) for name in sources}, definitions)
    properties["loss"] = chosen_by("name", {name: loss_section(name) for name in loss_names()}, definitions)
    properties |= _optimization(definitions)
    _transforms(definitions)
    definitions["ModelSection"]["propertyNames"] = {"not": {"pattern": slips([*NETWORK_KEYS, "weights"])}}
    schema = nullable(opened({**top, "$defs": definitions}))
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
    schedule = chosen_by("name", {name: schedule_model(schedules[name]) for name in schedules}, definitions)
    optimizer = chosen_by("name", {name: optimizer_model(optimizers[name]) for name in optimizers}, definitions)
    found = model_schema(FindSettings, definitions) | {"additionalProperties": False}
    asked = {"type": "object", "properties": {"find": found}, "required": ["find"], "additionalProperties": False}
    for choices, rate in ((schedule, "max_lr"), (optimizer, "lr")):
        for form in (choices["else"], *(case["then"] for case in choices["allOf"])):
            if rate in form["properties"]:
                form["properties"][rate]["anyOf"] += [{"const": "find"}, asked]
    definitions["Schedule"] = {"anyOf": [schedule, {"type": "null"}]}
    selector = model_schema(SelectorKeys, definitions) | {"additionalProperties": False}

    def around(group: Schema) -> Schema:
        group["properties"]["schedule"] = {"$ref": "#/$defs/Schedule"}
        items = group | {"type": "object", "additionalProperties": False}
        return {
            "schedule": {"$ref": "#/$defs/Schedule"},
            "groups": {"anyOf": [{"type": "array", "items": items}, {"type": "null"}]},
            "params": {"anyOf": [{"const": "rest"}, selector, {"type": "null"}]},
        }

    groups = {name: model_schema(group_model(optimizers[name]), definitions) for name in optimizers}
    optimizer["else"]["properties"] |= around({"properties": union([group["properties"] for group in groups.values()])})
    for case in optimizer["allOf"]:
        case["then"]["properties"] |= around(groups[case["if"]["properties"]["name"]["const"]])
    several = {"type": "array", "items": optimizer | {"required": ["name"]}}
    return {"optimizer": {"anyOf": [optimizer, several]}, "schedule": {"$ref": "#/$defs/Schedule"}}


def _transforms(definitions: Schema) -> None:
    """Lists of ``NAME`` or ``NAME: {arguments}``."""
    calls = {
        name: model_schema(transforms[name].arguments, definitions) | {"additionalProperties": False}
        for name in transforms
    }
    mapping = {"type": "object", "properties": calls, "additionalProperties": False, "maxProperties": 1}
    definitions["Transform"] = {"anyOf": [{"enum": sorted(calls)}, mapping]}
    for where in ("train", "eval"):
        entry = definitions["TransformsSection"]["properties"][where]
        entry["items"] = {"$ref": "#/$defs/Transform"}
