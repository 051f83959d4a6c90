"""The form of an architecture file: which keys stand where, and what kind of value each takes. Floor 1.

What the values mean (names, references, shapes) is settled by the planner; a layer's other keys are the arguments
of its op, whose models stand with the ops.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from zoo.schema.signature import fields_of

Size = Annotated[int, Field(ge=1, le=2**31 - 1)]
Shape = Annotated[list[Size], Field(min_length=1, max_length=6)]
Reference: TypeAlias = str | int | float  # `0` and `0.1` name a list's layers and their outputs
References: TypeAlias = Reference | list[Reference] | dict[str, Reference]


def _not_empty(message: str) -> AfterValidator:
    """Refuses an empty list or mapping, which would name nothing."""

    def check(value: Any) -> Any:
        if isinstance(value, list | dict) and not value:
            raise ValueError(message)
        return value

    return AfterValidator(check)


Inputs: TypeAlias = Annotated[
    Shape | dict[str, Shape] | None, _not_empty("names no input: write [3, 32, 32], or names to shapes")
]
Outputs: TypeAlias = Annotated[
    References | None, _not_empty("names nothing that comes out: leave it out, and the last layer does")
]
Names: TypeAlias = Annotated[
    list[str] | None, _not_empty("names no input: leave it out, and there is one, called input")
]
Layers: TypeAlias = dict[str, Any] | list[Any]
TYPE_NAMES = ("int", "float", "bool", "str", "list")


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class SourceForm(_Form):
    """Where the architecture comes from."""

    paper: str | None = Field(None, description="title, authors or address of the paper")
    url: str | None = Field(None, description="where the reference code stands")


class ParamForm(_Form):
    """The long form of a param."""

    type: Literal["int", "float", "bool", "str", "list"] | None = Field(None, description="what values it takes")
    default: Any = Field(None, description="its value where the caller gives none; without it the caller must")
    doc: str | None = Field(None, description="what it means")
    min: int | float | None = Field(None, description="the least value")
    max: int | float | None = Field(None, description="the greatest value")
    choices: list[Any] | None = Field(None, description="the values it may have")


class BlockForm(_Form):
    """A block: an op written in YAML."""

    doc: str | None = Field(None, description="what it computes")
    params: dict[str, Any] | None = Field(None, description="name to type name, default, or long form")
    inputs: Names = Field(None, description="names of its inputs where it takes more than one")
    blocks: dict[str, BlockForm] | None = Field(None, description="blocks that only this block sees")
    layers: Layers = Field(description="its layers, in order")
    output: Outputs = Field(None, description="what it gives: a layer, a list, or a mapping")


class LibraryForm(_Form):
    """A file that others `use` for its blocks; layers of its own are optional."""

    name: str | None = Field(None, description="its name; the file's where left out")
    doc: str | None = Field(None, description="what it is, with its source and number of parameters")
    extends: str | None = Field(None, description="the architecture this one is laid over")
    input: Inputs = Field(None, description="[channels, height, width], or names to shapes")
    params: dict[str, Any] | None = Field(None, description="what a recipe or caller may set")
    use: str | list[str] | None = Field(None, description="files whose blocks are brought in")
    blocks: dict[str, BlockForm] | None = Field(None, description="ops written in YAML")
    layers: Layers | None = Field(None, description="the layers, in order")
    output: Outputs = Field(None, description="what comes out; the last layer where left out")
    init: dict[str, Any] | None = Field(None, description="initialisers by kind: Conv2d.weight")
    source: SourceForm | None = Field(None, description="paper and url")


class ArchitectureForm(LibraryForm):
    """An architecture file."""

    layers: Layers = Field(description="the layers, in order")


class LayerForm(_Form):
    """The keys that any layer may bear; every other key is an argument of its op."""

    op: str | None = Field(None, description="what it does: an op's name or a block's")
    layers: Layers | None = Field(None, description="in place of op: an anonymous block")
    share: Reference | None = Field(None, description="in place of op: the module of that earlier layer runs again")
    inputs: Names = Field(None, description="of an anonymous block: names of its inputs")
    output: Outputs = Field(None, description="of an anonymous block: what it gives")
    from_: References | None = Field(None, alias="from", description="what it reads; the layer before by default")
    when: Any = Field(None, description="false skips the layer", json_schema_extra={"type": ["boolean", "string"]})
    else_: Reference | None = Field(None, alias="else", description="what a skipped layer passes on")
    repeat: Any = Field(
        None, description="how many copies run in sequence", json_schema_extra={"type": ["integer", "string"]}
    )
    first: dict[str, Any] | None = Field(None, description="arguments that differ for the first copy")
    as_: str | None = Field(None, alias="as", description="names of the copies in the parent: layer$(i + 1)")
    init: str | dict[str, Any] | None = Field(None, description="initialisers by parameter pattern")
    freeze: bool | str | list[str] | None = Field(None, description="parameters that do not train")
    call: dict[str, Any] | None = Field(None, description="keywords of the forward call")
    args: dict[str, Any] | None = Field(None, description="arguments whose names collide with these keys")


LAYER_KEYS = tuple(fields_of(LayerForm))
ANONYMOUS_KEYS = frozenset({"inputs", "output"})  # of anonymous blocks alone; elsewhere they may be arguments
