"""Exported files: the numbers of the module whatever the batch, facts that come along, and what cannot be written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from zoo.architectures import architecture_names
from zoo.assemble.exporting import ExportOptions, export_target
from zoo.errors import EnvironmentFault, UsageError
from zoo.exchange import export as room
from zoo.exchange.export import Exported, Port, export, formats
from zoo.exchange.export.pixels import OfPixels

FORMATS = (".onnx", ".pt2")
FAST = ("airbench94", "tiny_resnet")
IS_BEFORE_MAX_POOL = torch.__version__ < "2.13"  # tiny_resnet's adaptive_max_pool2d has no ONNX function there
ARCHITECTURES = [pytest.param(name, marks=[pytest.mark.slow] * (name not in FAST)) for name in architecture_names()]


class Two(nn.Module):
    """Two inputs and two outputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 4)

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        z = self.fc(torch.cat([left, right], dim=1).flatten(1))
        return {"logits": z, "again": 2 * z}


class Looks(nn.Module):
    """A module that looks at values on its way."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) if x.sum() > 0 else x.amax((2, 3))


class Drifts(nn.Module):
    """A module that gives other numbers when it is traced than when it is run."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) * (1.01 if torch.compiler.is_exporting() else 1.0)


def exported(module: nn.Module, path: Path, shape: tuple[int, ...] = (3, 8, 8), **facts: Any) -> Exported:
    return export("net", module.eval(), {"images": Port(shape)}, path, facts, debug=False)


def onnx_outputs(path: Path, *images: Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return session.run(None, {name: image.numpy() for name, image in zip(names, images, strict=True)})


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_is_exported(tmp_path: Path, name: str, suffix: str) -> None:
    if IS_BEFORE_MAX_POOL and (name, suffix) == ("tiny_resnet", ".onnx"):
        pytest.skip("PyTorch before 2.13")
    found = export_target(name, tmp_path / f"net{suffix}", ExportOptions(), lambda text: None)
    assert found.difference < 1e-4
    assert [path.name for path in tmp_path.iterdir()] == [f"net{suffix}"]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", ["timm:resnet10t", "timm:vit_tiny_patch16_224", "torchvision:shufflenet_v2_x0_5"])
def test_models_of_other_libraries_are_exported(tmp_path: Path, name: str, suffix: str) -> None:
    assert export_target(name, tmp_path / f"net{suffix}", ExportOptions(), lambda text: None).difference < 1e-4


def test_any_number_of_images_goes_through_either_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()
    for suffix in FORMATS:
        exported(module, tmp_path / f"net{suffix}")
    program = torch.export.load(tmp_path / "net.pt2").module()
    for size in (1, 2, 5):
        images = torch.randn(size, 3, 8, 8)
        with torch.no_grad():
            expected = module(images)
            assert torch.equal(program(images), expected)
        (found,) = onnx_outputs(tmp_path / "net.onnx", images)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_the_facts_come_along(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    for suffix in FORMATS:
        found = exported(module, tmp_path / f"net{suffix}", classes=["cat", "犬"])
    in_program = {"zoo.json": ""}
    torch.export.load(tmp_path / "net.pt2", extra_files=in_program)
    (in_onnx,) = onnx.load(tmp_path / "net.onnx").metadata_props
    assert in_onnx.key == "zoo.json"
    for text in (in_program["zoo.json"], in_onnx.value):
        assert json.loads(text) == found.metadata == {
            "inputs": {"images": {"shape": ["batch", 3, 8, 8], "dtype": "float32"}},
            "outputs": {"logits": {"shape": ["batch", 2], "dtype": "float32"}},
            "classes": ["cat", "犬"],
        }  # fmt: skip


@pytest.mark.parametrize("suffix", FORMATS)
def test_several_inputs_and_outputs_keep_their_names(tmp_path: Path, suffix: str) -> None:
    path, module = tmp_path / f"net{suffix}", Two().eval()
    inputs = {"left": Port((1, 1, 3)), "right": Port((1, 1, 3))}
    found = export("two", module, inputs, path, {}, debug=False)
    assert list(found.metadata["outputs"]) == ["logits", "again"]
    left, right = torch.randn(4, 1, 1, 3), torch.randn(4, 1, 1, 3)
    if suffix == ".onnx":
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        logits, again = session.run(["logits", "again"], {"left": left.numpy(), "right": right.numpy()})
        assert session.get_inputs()[1].shape == ["batch", 1, 1, 3]
    else:
        with torch.no_grad():
            logits, again = (one.numpy() for one in torch.export.load(path).module()(left, right).values())
    np.testing.assert_allclose(again, 2 * logits, rtol=1e-6)
    np.testing.assert_allclose(logits, module(left, right)["logits"].detach(), rtol=1e-4, atol=1e-6)


def test_pixels_are_normalized_in_the_file(tmp_path: Path) -> None:
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    module = OfPixels(nn.Flatten(), mean, std, 255.0).eval()
    path = tmp_path / "net.onnx"
    export("net", module, {"images": Port((2, 4, 3), torch.uint8)}, path, {}, debug=False)
    images = torch.randint(0, 256, (3, 2, 4, 3), dtype=torch.uint8)
    (found,) = onnx_outputs(path, images)
    expected = (images.double() / 255 - torch.tensor(mean)) / torch.tensor(std)
    np.testing.assert_allclose(found, expected.permute(0, 3, 1, 2).flatten(1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_that_gives_other_numbers_does_not_stay(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_text("what was there")
    with pytest.raises(UsageError, match=r"gives other numbers than net: they differ by 0\.01 of") as caught:
        exported(Drifts(), path)
    assert caught.value.code == "export-differs"
    assert path.read_text() == "what was there"
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_that_are_none_are_no_match(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    nn.init.constant_(module[1].weight, float("nan"))
    with pytest.raises(UsageError, match=r"net gives numbers that are not finite: .* with logits") as caught:
        exported(module, tmp_path / "net.pt2")
    assert caught.value.help == "of a run that diverged, --checkpoint best may be sound"


class Indexed(nn.Module):
    """A module that gives a mask and indices beside its numbers."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        largest, index = x.flatten(1).max(dim=1)
        return {"largest": largest, "index": index, "mask": x > 0}


@pytest.mark.parametrize("suffix", FORMATS)
def test_outputs_have_their_types(tmp_path: Path, suffix: str) -> None:
    found = exported(Indexed(), tmp_path / f"net{suffix}")
    types = {key: one["dtype"] for key, one in found.metadata["outputs"].items()}
    assert types == {"largest": "float32", "index": "int64", "mask": "bool"}
    assert found.difference == 0


class Complex(nn.Module):
    """A module of complex numbers, whose imaginary parts alone are others when it is traced."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.complex(x, x * (1.01 if torch.compiler.is_exporting() else 1.0))


def test_complex_numbers_are_compared_whole_or_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"net\.pt2 gives other numbers than net: they differ by 0\.0"):
        exported(Complex(), tmp_path / "net.pt2")
    with pytest.raises(UsageError, match=r"the file gives logits as float32 .*, where the network gives complex64"):
        exported(Complex(), tmp_path / "net.onnx")


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_draws_in_evaluation_cannot_be_compared(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(UsageError, match="net gives other numbers each time") as caught:
        exported(nn.FractionalMaxPool2d(2, output_size=5), tmp_path / f"net{suffix}")
    assert caught.value.help == "take out what draws, such as gumbel_softmax or FractionalMaxPool2d"


def test_an_output_called_as_an_input(tmp_path: Path) -> None:
    inputs = {"left": Port((1, 1, 3)), "again": Port((1, 1, 3))}
    with pytest.raises(UsageError, match="an input and an output are called again") as caught:
        export("two", Two().eval(), inputs, tmp_path / "net.onnx", {}, debug=False)
    assert caught.value.help == "call the output another name in the architecture, or take .pt2"
    assert export("two", Two().eval(), inputs, tmp_path / "net.pt2", {}, debug=False).difference == 0


_FULL = """
import resource, sys
from pathlib import Path
from torch import nn
from zoo.errors import EnvironmentFault
from zoo.exchange.export import Port, export
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
module = nn.Linear(3000, 2).eval()
try:
    export("net", module, {"x": Port((3000,))}, Path(sys.argv[1]), {}, debug=False)
except EnvironmentFault as fault:
    print(fault)
"""


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_disk_that_is_full_is_the_environments(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    said = subprocess.run([sys.executable, "-c", _FULL, path], capture_output=True, encoding="utf-8", timeout=120)
    assert (said.returncode, said.stdout.startswith(f"cannot write {path}: File too large")) == (0, True), said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_looks_at_values_cannot_be_exported(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="net cannot be exported: ") as caught:
        exported(Looks(), tmp_path / f"net{suffix}")
    assert caught.value.exit_code == 2
    assert capfd.readouterr() == ("", "")
    with pytest.raises(UsageError):
        export("net", Looks(), {"images": Port((3, 8, 8))}, tmp_path / f"net{suffix}", {}, debug=True)
    assert "Traceback" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_onnx_has_no_word_for_names_the_other_format(tmp_path: Path) -> None:
    pool = nn.Sequential(nn.AdaptiveMaxPool2d(3), nn.Flatten())
    with pytest.raises(UsageError, match=r"exported: No ONNX function .*aten\.adaptive_max_pool2d") as caught:
        exported(pool, tmp_path / "net.onnx")
    assert caught.value.help == "the other format, .pt2, may have it; --debug shows all that PyTorch says"
    assert exported(pool, tmp_path / "net.pt2").difference == 0


def test_outputs_that_have_no_names(tmp_path: Path) -> None:
    class Nested(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
            return x, [x]

    with pytest.raises(UsageError, match="neither a tensor nor"):
        exported(Nested(), tmp_path / "net.onnx")


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_place_that_cannot_be_written_to_is_the_environments(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / f"folder{suffix}").mkdir()
    for path in (tmp_path / "file" / f"net{suffix}", tmp_path / f"folder{suffix}"):
        with pytest.raises(EnvironmentFault):
            exported(nn.Flatten(), path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["file", f"folder{suffix}"])


@pytest.mark.parametrize("name", ["net", "net.pt", "net.onnx.gz", ".onnx"])
def test_a_name_that_says_no_format(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="the name's end says the format") as caught:
        exported(nn.Flatten(), tmp_path / name)
    assert caught.value.help == "end it with .onnx or .pt2"


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="ONNX needs onnx and onnxscript") as caught:
        exported(nn.Flatten(), tmp_path / "net.onnx")
    assert caught.value.help == "pip install 'zoo[onnx]'; .pt2 needs PyTorch alone"
    assert exported(nn.Flatten(), tmp_path / "net.pt2").difference == 0


def test_without_onnxruntime_the_reference_runs_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = formats.find_spec
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "onnxruntime" else find(name))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found = exported(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), tmp_path / "net.onnx")
    assert found.checked_by == f"onnx {onnx.__version__}'s reference"
    assert found.difference < 1e-5
    assert ReferenceEvaluator(str(tmp_path / "net.onnx")).input_names == ["images"]


def test_weights_beyond_a_protocol_buffer_go_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_MOST_BYTES", 100)
    with pytest.raises(UsageError, match="an ONNX file holds 2"):
        exported(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), tmp_path / "net.onnx")
    assert room.format_of(tmp_path / "net.PT2").other == ".onnx"
