"""Arguments models made from signatures: no parallel class to keep in step. Floor 1.

An annotation is taken where YAML can hold its values (numbers, text, lists, choices); parameters that want a
tensor, a callable or a module are left out, and a missing annotation is read off the default.
"""

from __future__ import annotations

import inspect
import operator
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from zoo.schema.wording import bare

LARGEST_INT = 2**31 - 1  # beyond it no argument means anything, and products overflow torch's 64 bits

Int = Annotated[int, Field(ge=-LARGEST_INT, le=LARGEST_INT)]
_SCALARS: dict[Any, Any] = {int: Int, float: float, bool: bool, str: str, type(None): type(None), Any: Any, Path: Path}
_KEYED = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY


class ArgsModel(BaseModel):
    """Base of all arguments models: no unknown keys, immutable, finite numbers.

    There are hundreds, of which a file uses few; each builds its validator at its first use.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=(), defer_build=True
    )


def arguments_model(
    name: str,
    target: Callable[..., Any],
    *,
    leave_out: Iterable[str] = (),
    overrides: Mapping[str, Any] | None = None,
    within: Mapping[str, Any] | None = None,
    described: Mapping[str, str] | None = None,
    doc: str = "",
) -> type[ArgsModel]:
    """A model of a callable's keyword arguments, in the signature's order; required means no default.

    ``leave_out`` names parameters that a file does not set. ``overrides`` gives a parameter another annotation, or
    ``(annotation, default)``; a name that the signature lacks (it hides behind ``**kwargs``) is added. ``within``
    bounds a parameter's scalars and leaves its form: ``{"stride": Annotated[int, Field(ge=1)]}`` makes of
    ``int | tuple[int, int]`` ints of at least 1.
    Descriptions come from the docstring's ``Args:``, else from ``described``.

    Raises TypeError for a required parameter that YAML cannot hold.
    """
    replaced = dict(overrides or {})
    docstring = inspect.cleandoc(target.__doc__ or "")  # its own: that of a base class says nothing of it
    texts = {**(described or {}), **descriptions(docstring)}
    fields: dict[str, Any] = {}
    for parameter, annotation in _parameters(target, {*leave_out, *replaced}):
        annotation = translated(annotation, parameter.default, (within or {}).get(parameter.name))
        if annotation is None and parameter.default is inspect.Parameter.empty:
            raise TypeError(f"{name}: no YAML value fits the required parameter {parameter.name!r}")
        if annotation is not None:
            fields[parameter.name] = (annotation, parameter.default)
    order = [*_names(target), *replaced]
    for key, override in replaced.items():
        default = _names(target).get(key, inspect.Parameter.empty)
        fields[key] = override if isinstance(override, tuple) else (override, default)
    ordered = {key: fields[key] for key in dict.fromkeys(order) if key in fields}
    definitions = dict(_definition(key, field, texts.get(key)) for key, field in ordered.items())
    return create_model(name, __base__=ArgsModel, __doc__=doc or summary(docstring), **cast("Any", definitions))


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """A model's fields under the names that a document uses."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def given(arguments: BaseModel) -> dict[str, Any]:
    """The arguments that were set, defaults left to the callable, under the callable's own names."""
    fields = type(arguments).model_fields
    return {
        field.alias or name: getattr(arguments, name)
        for name, field in fields.items()
        if name in arguments.model_fields_set
    }


def completed(model: type[BaseModel], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, under the callable's own names, with the model's defaults filled in."""
    defaults = {name: info.get_default() for name, info in fields_of(model).items() if not info.is_required()}
    return {**defaults, **arguments}


def translated(annotation: Any, default: Any = inspect.Parameter.empty, bound: Any = None) -> Any | None:
    """An annotation with all that YAML cannot hold taken out, ints bounded; None where nothing is left.

    ``bound`` replaces the scalar type that it bounds.
    """
    if annotation is inspect.Parameter.empty:
        annotation = _of_default(default)
    annotation = bare(annotation)
    if bound is not None and annotation is bare(bound):
        return bound
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if get_origin(annotation) is Literal:
        return annotation
    if get_origin(annotation) in (Union, types.UnionType):
        options = [translated(option, bound=bound) for option in get_args(annotation)]
        fitting = [option for option in options if option is not None]
        return reduce(operator.or_, fitting) if set(fitting) - {type(None)} else None
    return _collection(annotation, bound)


def descriptions(docstring: str) -> dict[str, str]:
    """What a Google-style docstring says of each argument, on one line each."""
    found: dict[str, str] = {}
    block = re.search(r"^(?:Args|Arguments|Parameters):\s*\n((?:[ \t]+.*\n?|\s*\n)+)", docstring, re.MULTILINE)
    if block is None:
        return found
    current = ""
    for line in inspect.cleandoc(block[1]).splitlines():
        start = re.match(r"(\w+)\s*(?:\([^:]*\))?\s*:\s*(.*)", line)
        if start:
            current = start[1]
            found[current] = start[2].strip()
        elif current and line.startswith(" "):
            found[current] = f"{found[current]} {line.strip()}"
    return found


def summary(docstring: str) -> str:
    """A docstring's first sentence, markup and a leading signature left out."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", docstring)]
    prose = [part for part in paragraphs if part and "->" not in part and not part.startswith(".. ")]
    if not prose:
        return ""
    text = re.sub(r":\w+:`~?([^`]*)`", r"\1", prose[0]).replace("`", "")
    text = re.sub(r"\\(?:text)?|[{}]", "", text.replace(r"\leq", "<="))  # a formula's LaTeX
    return re.sub(":$", ".", re.split(r"(?<=\.)\s", text)[0])


def _parameters(target: Callable[..., Any], leave_out: set[str]) -> Iterable[tuple[inspect.Parameter, Any]]:
    hints = _hints(target)
    for parameter in inspect.signature(target).parameters.values():
        is_private = parameter.name.startswith("_") or parameter.name == "self"
        if parameter.kind in _KEYED and parameter.name not in leave_out and not is_private:
            yield parameter, hints.get(parameter.name, parameter.annotation)


def _names(target: Callable[..., Any]) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in inspect.signature(target).parameters.items()}


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    function = inspect.getattr_static(target, "__init__") if inspect.isclass(target) else target
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # annotations that only a type checker can read
        return {}


def _of_default(default: Any) -> Any:
    """The annotation that a default suggests: ``0.9`` a number, ``(0.9, 0.999)`` two; None suggests nothing."""
    if isinstance(default, tuple) and default:
        return types.GenericAlias(tuple, tuple(_of_default(item) for item in default))
    return type(default) if type(default) in (bool, int, float, str) else inspect.Parameter.empty


def _collection(annotation: Any, bound: Any) -> Any | None:
    origin = get_origin(annotation) or annotation
    if origin not in (tuple, list, Sequence, Iterable, dict, Mapping):
        return None
    inside = tuple(item if item is Ellipsis else translated(item, bound=bound) for item in get_args(annotation))
    if None in inside:
        return None
    if origin in (dict, Mapping):
        return types.GenericAlias(dict, (str, *inside[1:])) if inside else dict[str, Any]
    if not inside:
        return list[Any]
    return types.GenericAlias(tuple, inside) if origin is tuple else types.GenericAlias(list, inside[:1])


def _definition(name: str, field: tuple[Any, Any], description: str | None) -> tuple[str, tuple[Any, Any]]:
    """A field for ``create_model``; a name that Pydantic keeps for itself goes by alias."""
    annotation, default = field
    is_taken = hasattr(BaseModel, name) or not name.isidentifier()
    options: dict[str, Any] = {"description": description}
    if is_taken:
        options["alias"] = name
    if isinstance(default, FieldInfo):
        return name, (annotation, default)
    value = ... if default is inspect.Parameter.empty else default
    return (f"{name}_" if is_taken else name), (annotation, Field(value, **options))
