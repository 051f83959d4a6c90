"""Own ops, transforms and sources: the decorators that plugins use. Floor 7.

::

    import zoo

    @zoo.op
    class Swish(torch.nn.Module): ...            # {op: Swish, beta: 1.0}

    @zoo.op
    def double(x, *, by: float = 2.0): ...       # {op: double, by: 3.0}

    @zoo.transform
    class Solarise(A.ImageOnlyTransform): ...    # - Solarise: {threshold: 0.5}

    @zoo.source
    def blobs(count: int = 100) -> zoo.Dataset: ...   # data: {source: blobs, count: 50}

:class:`zoo.ArraySplit` makes a split of uint8 images (n, height, width, channels) and int64 labels (n).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

from pydantic import BaseModel, create_model

from zoo.data import Dataset, Source, TransformEntry, sources, transforms
from zoo.data.places import Places
from zoo.data.sources.catalogue import SourceArguments
from zoo.data.transforms import albumentations
from zoo.errors import UsageError
from zoo.layers import ops
from zoo.schema.signature import arguments_model

T = TypeVar("T", bound=Callable[..., Any])


def op(target: T) -> T:
    """Registers an ``nn.Module`` class, or a function of tensors, as an op under its own name.

    A class's arguments are its constructor's, a function's are its keywords; both are checked by their annotations.
    The compiled network imports it from its module by name. Raises UsageError for a name that is taken.
    """
    from torch import nn

    from zoo.layers.declare import function, module

    name = target.__name__
    is_module = inspect.isclass(target) and issubclass(target, nn.Module)
    entry = module(cast("type[nn.Module]", target)) if is_module else function(name, target)
    line = f"from {target.__module__} import {name}"
    ops.add(name, replace(entry, path=name, imports=(line,), doc=_first_line(target)))
    return target


def transform(target: T) -> T:
    """Registers a subclass of albumentations' ImageOnlyTransform or DualTransform under its own name.

    Its arguments are judged by its ``InitSchema``. Raises UsageError for a name that is taken or another class.
    """
    name = target.__name__
    try:
        albumentations.bring(name, cast("type", target))
    except TypeError as error:
        raise UsageError(str(error), code="plugin") from None
    transforms.add(name, TransformEntry(name, lambda: albumentations.arguments_of(name)))
    return target


def source(target: T) -> T:
    """Registers a function that returns a Dataset as a data source under its own name; its keywords are its arguments.

    A parameter named ``places`` gets the folders to look in. Raises UsageError for a name that is taken.
    """
    name = target.__name__
    takes_places = "places" in inspect.signature(target).parameters
    model = arguments_model(name, target, leave_out=("places",))
    arguments = _source_arguments(name, model, _first_line(target))

    def open_it(settings: Any, places: Places) -> Dataset:
        given = {key: getattr(settings, key) for key in model.model_fields}
        dataset: Dataset = target(**given, **({"places": places} if takes_places else {}))
        return dataset

    sources.add(name, Source(name, arguments, open_it))
    return target


def _source_arguments(name: str, model: type[BaseModel], doc: str) -> type[SourceArguments]:
    fields: dict[str, Any] = {key: (field.annotation, field) for key, field in model.model_fields.items()}
    return create_model(name, __base__=SourceArguments, __doc__=doc, **fields)


def _first_line(target: Any) -> str:
    lines = (inspect.getdoc(target) or "").splitlines()
    return lines[0] if lines else ""
