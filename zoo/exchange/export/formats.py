"""The formats a traced program is written in, by the file's suffix; each reads back what it wrote. Floor 6."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from zoo.errors import UsageError
from zoo.exchange.export.tracing import outputs_of
from zoo.registry import listed

METADATA = "zoo.json"  # what the facts are called in either file
_MOST_BYTES = 2**31 - 2**20  # of the weights in one ONNX file: a protocol buffer holds 2 GiB

Run = Callable[[Sequence[Tensor]], list[Tensor]]


@dataclass(frozen=True)
class Format:
    """A program as a file's content, and read again as something that runs, with what runs it.

    Nothing here writes: of a disk that is full PyTorch's own writer makes an abort, not an error.
    """

    other: str  # the suffix of the other format
    content: Callable[[ExportedProgram, tuple[str, ...], tuple[str, ...], str], bytes]
    read: Callable[[Path], tuple[Run, str]]


def format_of(path: Path) -> Format:
    """The format that a file's suffix names. Raises UsageError where there is none, or its packages are missing."""
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        raise UsageError(f"{path}: the name's end says the format", help=f"end it with {listed(_FORMATS, 'or')}")
    if path.suffix.lower() == ".onnx":
        missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
        if missing:
            message = f"ONNX needs {' and '.join(missing)}, which are not installed"
            raise UsageError(message, code="no-onnx", help="pip install 'zoo[onnx]'; .pt2 needs PyTorch alone")
    return found


def _as_onnx(program: ExportedProgram, inputs: tuple[str, ...], outputs: tuple[str, ...], facts: str) -> bytes:
    if both := [name for name in inputs if name in outputs]:
        raise UsageError(
            f"an input and an output are called {both[0]}: of ONNX's names each stands for one thing",
            code="cannot-export",
            help="call the output another name in the architecture, or take .pt2",
        )
    size = sum(value.numel() * value.element_size() for value in program.state_dict.values())
    if size > _MOST_BYTES:
        raise UsageError(
            f"the weights take {size / 2**30:.1f} GiB, an ONNX file holds 2", code="cannot-export", help="take .pt2"
        )
    axes = tuple({0: "batch"} for _ in inputs)
    written = torch.onnx.export(
        program,
        (),
        input_names=inputs,
        output_names=outputs,
        dynamic_shapes=axes,
        dynamo=True,
        verbose=False,
    )
    assert written is not None
    written.model.metadata_props[METADATA] = facts
    content: bytes = written.model_proto.SerializeToString()
    return content


def _read_onnx(path: Path) -> tuple[Run, str]:
    if find_spec("onnxruntime") is None:
        import onnx
        from onnx.reference import ReferenceEvaluator

        evaluator = ReferenceEvaluator(str(path))
        return _runner(evaluator, evaluator.input_names), f"onnx {onnx.__version__}'s reference"
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return _runner(session, [one.name for one in session.get_inputs()]), f"onnxruntime {onnxruntime.__version__}"


def _runner(session: object, names: Sequence[str]) -> Run:
    """Both runtimes' ``run`` on tensors."""

    def run(images: Sequence[Tensor]) -> list[Tensor]:
        feeds = {name: image.numpy() for name, image in zip(names, images, strict=True)}
        return [torch.from_numpy(each) for each in session.run(None, feeds)]  # type: ignore[attr-defined]

    return run


def _as_pt2(program: ExportedProgram, inputs: tuple[str, ...], outputs: tuple[str, ...], facts: str) -> bytes:
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={METADATA: facts})
    return content.getvalue()


def _read_pt2(path: Path) -> tuple[Run, str]:
    module = torch.export.load(path).module()

    return lambda images: list(outputs_of(module, images).values()), f"PyTorch {torch.__version__}"


_FORMATS = {".onnx": Format(".pt2", _as_onnx, _read_onnx), ".pt2": Format(".onnx", _as_pt2, _read_pt2)}
