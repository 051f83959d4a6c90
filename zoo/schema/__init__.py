"""Models of what files may say, and the one way from Pydantic's errors to diagnostics. Floor 1; no torch."""

from zoo.schema.check import dotted, validate
from zoo.schema.signature import ArgsModel, arguments_model, fields_of, given
from zoo.schema.wording import describe, shown

__all__ = ["ArgsModel", "arguments_model", "describe", "dotted", "fields_of", "given", "shown", "validate"]
