"""The formats a traced program is written in, by the file's suffix; each reads back what it wrote. Floor 6."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from zoo.errors import UsageError
from zoo.registry import listed

METADATA = "zoo.json"  # what the facts are called in either file
_MOST_BYTES = 2**31 - 2**20  # of the weights in one ONNX file: a protocol buffer holds 2 GiB

Run = Callable[[Sequence[Tensor]], list[Tensor]]


@dataclass(frozen=True)
class Format:
    """How a program is written, and read again as something that runs, with what runs it."""

    other: str  # the suffix of the other format
    write: Callable[[ExportedProgram, Path, tuple[str, ...], tuple[str, ...], str], None]
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


def _write_onnx(
    program: ExportedProgram, path: Path, inputs: tuple[str, ...], outputs: tuple[str, ...], facts: str
) -> None:
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
    written.save(path, external_data=False)


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


def _write_pt2(
    program: ExportedProgram, path: Path, inputs: tuple[str, ...], outputs: tuple[str, ...], facts: str
) -> None:
    torch.export.save(program, path, extra_files={METADATA: facts})


def _read_pt2(path: Path) -> tuple[Run, str]:
    module = torch.export.load(path).module()

    def run(images: Sequence[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            return list(torch.utils._pytree.tree_leaves(module(*images)))

    return run, f"PyTorch {torch.__version__}"


_FORMATS = {".onnx": Format(".pt2", _write_onnx, _read_onnx), ".pt2": Format(".onnx", _write_pt2, _read_pt2)}
