"""A module traced for any batch size, and what its outputs are called. Floor 6."""

from __future__ import annotations

import contextlib
import io
import logging
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from zoo.errors import UsageError, ZooError, first_line, is_out_of_memory

Outputs = Mapping[str, Tensor]


@contextlib.contextmanager
def quiet(name: str, help: str, *, debug: bool) -> Iterator[None]:
    """Has PyTorch's exporters say nothing unless ``debug``; what they raise becomes a UsageError about ``name``."""
    before = logging.root.manager.disable
    with contextlib.ExitStack() as stack:
        if not debug:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            logging.disable(logging.ERROR)
        try:
            yield
        except (ZooError, OSError, MemoryError):
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            if debug:
                traceback.print_exception(error)
            raise UsageError(
                f"{name} cannot be exported: {first_line(_cause(error))}",
                code="cannot-export",
                help=f"{help}; --debug shows all that PyTorch says",
            ) from error
        finally:
            logging.disable(before)


def _cause(error: BaseException) -> BaseException:
    """What an exporter's error comes of: its own words are about the exporter."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def traced(module: nn.Module, inputs: Mapping[str, Tensor]) -> ExportedProgram:
    """The program of a module for any number of images; ``inputs`` are two of each."""
    shapes = tuple({0: Dim("batch")} for _ in inputs)
    with torch.no_grad():
        return torch.export.export(module, tuple(inputs.values()), dynamic_shapes=shapes)


def outputs_of(module: nn.Module, images: Sequence[Tensor]) -> Outputs:
    """What a module gives: one tensor is called ``logits``, those of a mapping by their keys, of a list by numbers."""
    with torch.no_grad():
        return _named(module(*images))


def _named(given: Any) -> Outputs:
    if isinstance(given, Tensor):
        return {"logits": given}
    if isinstance(given, Mapping) and all(isinstance(value, Tensor) for value in given.values()):
        return dict(given)
    if isinstance(given, Sequence) and all(isinstance(value, Tensor) for value in given):
        return {f"output_{number}": value for number, value in enumerate(given)}
    raise UsageError("the network gives neither a tensor nor a mapping or list of tensors", code="cannot-export")


def example(shape: tuple[int, ...], dtype: torch.dtype, *, size: int) -> Tensor:
    """Some images (size, *shape), the same at every call: bytes, or numbers as those that went through Normalize."""
    generator = torch.Generator().manual_seed(size)
    if dtype == torch.uint8:
        return torch.randint(0, 256, (size, *shape), generator=generator, dtype=torch.uint8)
    return torch.randn((size, *shape), generator=generator)
