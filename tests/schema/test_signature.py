"""Arguments models made from signatures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from zoo.diagnostics import Diagnostics, Source, Span
from zoo.document import from_data
from zoo.schema import ArgsModel, arguments_model, describe, given, validate

PLACE = Span(Source("here"), 1, 1, 1, 2)


def read(model: type[ArgsModel], **data: Any) -> dict[str, Any] | None:
    made = validate(model, from_data(data, PLACE), Diagnostics(), what="it")
    return None if made is None else given(made)


def target(
    size: int,
    betas: tuple[float, float] = (0.9, 0.999),
    names: Sequence[str] | None = None,
    hook: Callable[[int], int] | None = None,
    mode: Literal["a", "b"] = "a",
    untyped=0.5,
    pair=(1, 2.0),
    unknown=None,
    copy: bool = False,
    *,
    extra: Iterable[int] | float = 1,
    _private: int = 0,
    **kwargs: Any,
) -> None:
    """Does a thing.

    Args:
        size (int): how large
            it is
        mode: the way
    """


def test_types_come_from_annotations_and_defaults() -> None:
    model = arguments_model("Target", target)
    words = {field.alias or name: describe(field.annotation) for name, field in model.model_fields.items()}
    assert words == {
        "size": "int",
        "betas": "[number, number]",
        "names": "a list of text or null",
        "mode": "a or b",
        "untyped": "number",
        "pair": "[int, number]",
        "copy": "true or false",
        "extra": "a list of int or number",
    }
    assert model.model_fields["size"].is_required()
    assert model.model_fields["size"].description == "how large it is"
    assert model.__doc__ == "Does a thing."


def test_given_is_what_was_given() -> None:
    model = arguments_model("Target", target)
    assert read(model, size=3) == {"size": 3}
    assert read(model, size=3, betas=[0.8, 1], copy=True) == {"size": 3, "betas": (0.8, 1.0), "copy": True}
    assert read(model, betas=[0.8, 1]) is None
    assert read(model, size=3, hook=1) is None


def test_parameters_can_be_left_out_replaced_and_added() -> None:
    model = arguments_model(
        "Target",
        target,
        leave_out=["names", "copy"],
        overrides={"unknown": int | None, "untyped": (Literal["x"], "x"), "more": (int, Field(1, ge=0))},
    )
    assert read(model, size=1, unknown=2, untyped="x", more=3) == {"size": 1, "untyped": "x", "unknown": 2, "more": 3}
    assert read(model, size=1, names=["x"]) is None
    assert read(model, size=1, more=-1) is None
    assert not model.model_fields["unknown"].is_required()


def test_ints_are_bounded() -> None:
    model = arguments_model("Target", target)
    assert read(model, size=2**31 - 1) is not None
    assert read(model, size=2**31) is None


def test_a_required_parameter_that_yaml_cannot_hold_is_a_programming_error() -> None:
    def needs(hook: Callable[[], None]) -> None: ...

    with pytest.raises(TypeError, match="hook"):
        arguments_model("Needs", needs)
    assert arguments_model("Needs", needs, leave_out=["hook"]).model_fields == {}


def test_bounds_keep_a_parameters_form() -> None:
    def pool(kernel: int | tuple[int, int], stride: int | tuple[int, ...] | None = None, p: float = 0.5) -> None: ...

    size = Annotated[int, Field(ge=1)]
    model = arguments_model("Pool", pool, within={"kernel": size, "stride": size, "p": Annotated[float, Field(le=1)]})
    assert read(model, kernel=[1, 2], stride=None, p=1) == {"kernel": (1, 2), "stride": None, "p": 1.0}
    assert read(model, kernel=[1, 0]) is None
    assert read(model, kernel=1, stride=[0]) is None
    assert read(model, kernel=1, p=2) is None
    assert describe(model.model_fields["stride"].annotation) == "int, a list of int or null"
