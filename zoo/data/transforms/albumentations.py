"""albumentations: its transforms' arguments, their construction, their random state. Floor 2.

The one file that imports it. Version 2.0.8 is frozen; it calls home at import unless told not to, only warns of unknown
arguments, and converts types leniently: here its own ``InitSchema`` judges, strictly.
"""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from inspect import Parameter, signature
from types import FunctionType
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from zoo.data.borders import BORDER_MODES, INTERPOLATIONS
from zoo.data.dataset import Image
from zoo.data.draws import hash_words, stream_of

WORDS = {"border_mode": BORDER_MODES, "interpolation": INTERPOLATIONS, "mask_interpolation": INTERPOLATIONS}
_COMPOSITION_DOCS = {
    "OneOf": "One of the transforms, drawn by their p.",
    "SomeOf": "Some of the transforms (n), drawn by their p.",
    "RandomOrder": "Some of the transforms (n), in an order that is drawn too.",
    "Sequential": "All of the transforms, or with 1 - p none.",
}
COMPOSITIONS = tuple(_COMPOSITION_DOCS)

_DIVISORS = {"Normalize": ("std", "max_pixel_value"), "ToFloat": ("max_value",)}
_STREAM = stream_of("albumentations")
_STRICT = {"strict": True}
_own_classes: dict[str, type] = {}  # albumentations classes that plugins brought, by their names


@cache
def library() -> Any:
    """The module."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    return albumentations


def planckian_coefficients(mode: str) -> Mapping[int, Sequence[float]]:
    """What PlanckianJitter multiplies red, green and blue with, by temperature in kelvin; unscaled."""
    coefficients: Mapping[int, Sequence[float]] = library().augmentations.pixel.functional.PLANCKIAN_COEFFS[mode]
    return coefficients


def bring(name: str, transform: type) -> None:
    """Makes a plugin's albumentations class known. Raises TypeError for a class that is no transform of images."""
    if not _is_transform(transform):
        raise TypeError(f"{name} is no subclass of albumentations' ImageOnlyTransform or DualTransform")
    _own_classes[name] = transform


def class_of(name: str) -> Any:
    """The class of this name: a plugin's, or albumentations'."""
    return _own_classes.get(name) or getattr(library(), name)


@cache
def transform_names() -> tuple[str, ...]:
    """Every transform of a single image that has its arguments written down."""
    everything = ((name, getattr(library(), name)) for name in dir(library()))
    return tuple(name for name, thing in everything if isinstance(thing, type) and _is_transform(thing))


def _is_transform(thing: type) -> bool:
    albumentations = library()
    if not issubclass(thing, albumentations.BasicTransform) or issubclass(thing, albumentations.Transform3D):
        return False
    bases = (albumentations.BasicTransform, albumentations.DualTransform, albumentations.ImageOnlyTransform)
    takes_functions = (albumentations.Lambda,)
    return thing not in (*bases, *takes_functions, albumentations.ToTensorV2)


def arguments_of(name: str) -> type[BaseModel]:
    """A transform's arguments: fields and validators of its ``InitSchema``, defaults of its signature, no others.

    Border modes and interpolations may be written as names beside OpenCV's numbers.
    """
    transform = class_of(name)
    schema = transform.InitSchema
    fields: dict[str, Any] = {}
    parameters = signature(transform.__init__).parameters
    # No arguments of a recipe's: how the library is asked to judge, and functions, which a file cannot name.
    functions = {name: one.default for name, one in parameters.items() if isinstance(one.default, FunctionType)}
    hidden = {"strict": False, **{name: staticmethod(default) for name, default in functions.items()}}
    for argument, parameter in parameters.items():
        if argument in schema.model_fields and argument not in hidden:
            fields[argument] = (_annotation(schema, argument), _field(parameter))
    closed = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    no_fields = {"__annotations__": dict.fromkeys(hidden, ClassVar[Any]), **hidden}
    base = type(name, (schema,), {"model_config": closed, "__module__": __name__, **no_fields})
    doc = (transform.__doc__ or "").strip().partition("\n\n")[0]
    model: type[BaseModel] = create_model(
        name, __base__=base, __module__=__name__, __doc__=" ".join(doc.split()), **fields
    )
    return model


def composition_arguments_of(name: str) -> type[BaseModel]:
    """The arguments of OneOf and its like: ``transforms`` is a list of transforms, the rest stands in the signature."""
    fields: dict[str, Any] = {"transforms": (Annotated[list[Any], Field(min_length=1)], ...)}
    probability = Annotated[float, Field(ge=0, le=1)]
    types = {"p": probability, "n": Annotated[int, Field(ge=1)], "replace": bool}
    for argument, parameter in signature(getattr(library(), name).__init__).parameters.items():
        if argument in types:
            fields[argument] = (types[argument], _field(parameter))
    model: type[BaseModel] = create_model(
        name, __config__=ConfigDict(extra="forbid"), __module__=__name__, __doc__=_COMPOSITION_DOCS[name], **fields
    )
    return model


def _annotation(schema: type[BaseModel], argument: str) -> Any:
    field = schema.model_fields[argument]
    annotation: Any = field.annotation
    words = WORDS.get(argument)
    if words is not None:
        return Annotated[annotation | Literal[tuple(words)], AfterValidator(lambda value: words.get(value, value))]
    for constraint in field.metadata:
        annotation = Annotated[annotation, constraint]
    return annotation


def _field(parameter: Parameter) -> Any:
    return Field(...) if parameter.default is Parameter.empty else Field(parameter.default)


def build(name: str, arguments: Mapping[str, Any], children: Sequence[Any] = ()) -> Any:
    """The transform, from arguments as the document has them. Raises ValueError or TypeError where it refuses them."""
    given = {key: _translated(key, value) for key, value in arguments.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name in COMPOSITIONS:
            return getattr(library(), name)(transforms=list(children), **given)
        transform = class_of(name)(**given, **_STRICT if _judges(class_of(name)) else {})
    _refuse(name, transform)
    return transform


def _judges(transform: type) -> bool:
    """Whether a class looks at its arguments itself: one with its own ``__init__`` and no ``InitSchema`` does not.

    It takes no ``strict`` then: RandomRotate90, MedianBlur, ToSepia.
    """
    owner = next(one for one in transform.__mro__ if "__init__" in vars(one))
    return "InitSchema" in vars(owner)


def _refuse(name: str, transform: Any) -> None:
    """Raises ValueError for what the library takes, and then fails on, or does something else than it says."""
    if transform.targets_as_params:
        raise ValueError(
            f"it needs {', '.join(transform.targets_as_params)} beside the image, and there is the image only"
        )
    if name == "CoarseDropout":
        height, width = transform.hole_height_range[1], transform.hole_width_range[1]
        if (height >= 1) != (width >= 1):
            raise ValueError("hole_height_range and hole_width_range are both in pixels or both fractions of the size")
    if name == "Pad" and np.min(transform.padding) < 0:
        raise ValueError("padding is at least 0; a crop takes pixels away")
    for argument in _DIVISORS.get(name, ()):
        value = getattr(transform, argument)
        is_used = value is not None and getattr(transform, "normalization", "standard") == "standard"
        if is_used and np.any(np.asarray(value, dtype=np.float32) == 0):
            raise ValueError(f"{argument} is 0, and pixels are divided by it")


def _translated(argument: str, value: Any) -> Any:
    words = WORDS.get(argument)
    if words is not None and isinstance(value, str):
        return words[value]
    return tuple(value) if isinstance(value, list) else value


class RandomState:
    """The one pair of generators that all of a pipeline's transforms share, set anew for every sample.

    Sharing keeps the draws of one transform apart from those of the next (``seed=`` would make flips correlate);
    setting anew makes them a function of (seed, epoch, image, how often it came in the epoch before).
    """

    def __init__(self) -> None:
        self._bits = np.random.PCG64(0)
        self._state: Any = self._bits.state
        self._numpy = np.random.Generator(self._bits)
        self._python = random.Random(0)

    def give_to(self, transform: Any) -> None:
        """Makes a transform, and those inside it, draw from here."""
        transform.set_random_state(self._numpy, self._python)

    def set(self, seed: int, epoch: int, index: int, occurrence: int = 0) -> None:
        """Begins a sample's draws."""
        word = hash_words(seed, epoch, index, _STREAM, *([occurrence] if occurrence else []))
        self._state["state"] = {"state": (word << 64) | hash_words(word), "inc": (word << 1) | 1}
        self._state["has_uint32"] = self._state["uinteger"] = 0
        self._bits.state = self._state
        self._python.seed(word)


def apply(transform: Any, image: Image) -> Any:
    """The transform of one image (height, width, channels)."""
    result = transform(image=image)["image"]
    return result if result.ndim == 3 else result[..., None]
