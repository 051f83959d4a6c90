"""Exported runs: whoever has the file alone predicts what `zoo predict` predicts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import albumentations
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from tests.cli.conftest import Zoo
from zoo.assemble.trained import predict_images

# tiny_resnet's adaptive_max_pool2d
knows_max_pool = pytest.mark.skipif(
    torch.__version__ < "2.13", reason="PyTorch before 2.13 has no ONNX function for it"
)

COLOURED = """
name: coloured
model: {architecture: tiny_resnet, classes: 3, width: 4}
data: {source: image_folder, path: photos, batch_size: 8}
transforms:
  train: [Resize: {height: 8, width: 8}, Normalize]
  eval:
    [Resize: {height: 10, width: 10}, CenterCrop: {height: 8, width: 8}, Normalize: {std: [0.2, 0.25, 0.3]}, ToTensorV2]
optimizer: {name: SGD, lr: 0.1}
train: {epochs: 1}
reports: []
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Coloured images of different sizes in folders, and two runs on them."""
    folder = tmp_path_factory.mktemp("exporting")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        random = np.random.default_rng(0)
        for split, name in ((split, name) for split in ("train", "test") for name in ("犬", "cat", "eel")):
            (folder / "photos" / split / name).mkdir(parents=True)
            for number in range(6):
                pixels = random.integers(0, 256, (9 + number, 12, 3), np.uint8)
                Image.fromarray(pixels).save(folder / "photos" / split / name / f"{number}.png")
        Path("coloured.yaml").write_text(COLOURED)
        from zoo.cli import main

        assert main(["run", "coloured.yaml", "--quiet"]) == 0
        assert main(["run", "quickstart", "--epochs", "1", "--set", "reports=[]", "--quiet"]) == 0
        yield folder


class Server:
    """A file, and what it says of itself: no zoo."""

    def __init__(self, path: Path) -> None:
        if path.suffix == ".onnx":
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            self.run = lambda images: session.run(["logits"], {"images": images})[0]
            (kept,) = onnx.load(path).metadata_props
            text = kept.value
        else:
            files = {"zoo.json": ""}
            module = torch.export.load(path, extra_files=files).module()
            self.run = lambda images: module(torch.from_numpy(images)).detach().numpy()
            text = files["zoo.json"]
        self.facts: dict[str, Any] = json.loads(text)
        steps = [(name, given) for each in self.facts["transforms"] for name, given in each.items()]
        self.transforms = albumentations.Compose([getattr(albumentations, name)(**given) for name, given in steps])

    def predict(self, file: Path) -> tuple[str, float]:
        facts = self.facts
        image = Image.open(file).convert("L" if facts["channels"] == 1 else "RGB")
        pixels = np.asarray(image).reshape(image.height, image.width, facts["channels"])
        if facts["resize_first"] is not None:
            assert pixels.shape[:2] == (facts["resize_first"]["height"], facts["resize_first"]["width"])
        pixels = self.transforms(image=pixels)["image"]
        if facts["inputs"]["images"]["dtype"] == "float32":
            pixels = (pixels / np.float32(255) if pixels.dtype == np.uint8 else pixels).transpose(2, 0, 1)
        logits = self.run(np.ascontiguousarray(pixels)[None])[0].astype(np.float64)
        shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        return facts["classes"][int(shares.argmax())], float(shares.max())


@pytest.mark.parametrize("options", [(), ("--pixels",), ("--checkpoint", "best")])
@pytest.mark.parametrize("suffix", [pytest.param(".onnx", marks=knows_max_pool), ".pt2"])
def test_the_file_alone_predicts_what_zoo_predicts(
    workplace: Path, tmp_path: Path, zoo: Zoo, suffix: str, options: tuple[str, ...]
) -> None:
    path = tmp_path / f"net{suffix}"
    assert zoo("export", "coloured", "-o", path, *options).status == 0
    server, images = Server(path), sorted((workplace / "photos" / "test").rglob("*.png"))
    assert (server.facts["inputs"]["images"]["dtype"] == "uint8") == ("--pixels" in options)
    for told in predict_images("coloured", images, checkpoint=server.facts["checkpoint"]):
        name, share = server.predict(Path(told["image"]))
        assert (name, share) == (
            told["classes"][0]["class"],
            pytest.approx(told["classes"][0]["probability"], rel=1e-3),
        )


def test_images_of_one_size_say_so(workplace: Path, tmp_path: Path, zoo: Zoo) -> None:
    assert zoo("export", "quickstart", "-o", tmp_path / "net.pt2", "--pixels").status == 0
    server = Server(tmp_path / "net.pt2")
    size = {"height": 8, "width": 8, "interpolation": "bilinear", "antialias": True}
    assert (server.facts["resize_first"], server.facts["transforms"]) == (size, [])
    file = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (8, 8), np.uint8)).save(file)
    (told,) = predict_images("quickstart", [file])
    assert server.predict(file)[0] == told["classes"][0]["class"]


@knows_max_pool
def test_what_is_said_of_an_export(workplace: Path, tmp_path: Path, zoo: Zoo) -> None:
    outcome = zoo("export", "-o", tmp_path / "net.onnx")
    first, second, third = outcome.out.splitlines()
    images, logits = "images float32 (batch, 1, 8, 8)", "logits float32 (batch, 10)"
    assert first == f"{tmp_path}/net.onnx of runs/quickstart/0001, last: {images} -> {logits}"
    assert second.startswith(f"read back by onnxruntime {onnxruntime.__version__}: differs from the network by ")
    assert third.endswith("classes, channels, resize_first, transforms, zoo, torch")
    found = json.loads(zoo("export", "tiny_resnet", "-o", tmp_path / "net.pt2", "--input", "1,12,12", "--json").out)
    assert found["metadata"]["inputs"]["images"]["shape"] == ["batch", 1, 12, 12]
    assert found["difference"] == 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("tiny_resnet", "-o", "net.pt2"), 0, "tiny_resnet is not trained: the weights in the file are random"),
        (("tiny_resnet", "-o", "net.pt2", "--pixels"), 2, "--pixels is for runs, and tiny_resnet is none"),
        (("tiny_resnet", "-o", "net.pt2", "--checkpoint", "best"), 2, "--checkpoint is for runs, and tiny_resnet is"),
        (("quickstart", "-o", "net.pt2", "--checkpoint", "bst"), 4, "has no checkpoint 'bst'"),
        (("runs/quickstart/0001/checkpoints/bst", "-o", "net.pt2"), 2, "no target"),
        (("quickstart", "-o", "net.pth"), 2, "end it with .onnx or .pt2"),
        (("quickstart", "-o", "folder/"), 2, "folder/ is a folder's name"),
        (("quickstart", "-o", "net.pt2", "--input", "3,8,8"), 2, "--input 3,8,8: the weights in runs/quickstart/0001"),
        (("timm:resnet10t", "-o", "net.pt2", "--input", "1,32,32"), 2, "cannot take images of [1, 32, 32]"),
        (("quickstart", "-o", "photos"), 2, "photos is a folder: what is written is a file"),
        (("coloured.yaml", "-o", "net.pt2", "-q"), 0, "warning: coloured.yaml was run: zoo export coloured takes the"),
        (("quikstart", "-o", "net.pt2"), 2, "did you mean quickstart?"),
        (("quikstart", "-o", "net.pt2", "--pixels"), 2, "did you mean quickstart?"),
        (("quickstart",), 2, "-o"),
    ],
)
def test_what_cannot_be_exported(workplace: Path, zoo: Zoo, arguments: tuple[str, ...], status: int, said: str) -> None:
    outcome = zoo("export", *arguments)
    assert said in outcome.err
    assert outcome.status == status
    assert (Path("net.pt2").exists(), Path("net.pth").exists()) == (status == 0, False)
    Path("net.pt2").unlink(missing_ok=True)


def test_images_of_another_size_than_the_metadata_gives(workplace: Path, zoo: Zoo, tmp_path: Path) -> None:
    outcome = zoo("export", "quickstart", "-o", tmp_path / "net.pt2", "--input", "1,9,9", "--quiet")
    said = "warning: --input: the file takes 1,9,9, but resize_first and transforms, as it has them, give 1,8,8"
    assert (outcome.status, outcome.err.strip()) == (0, said)
    assert not zoo("export", "quickstart", "-o", tmp_path / "net.pt2", "--input", "1,8,8").err


def test_what_a_run_lacks_is_told(workplace: Path, zoo: Zoo, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree("runs/quickstart/0001", run)
    (run / "result.json").write_text("{}")
    found = zoo("export", run, "-o", tmp_path / "net.pt2", "--json")
    assert (found.status, json.loads(found.out)["metadata"]["test_accuracy"]) == (0, None)
    (run / "data.json").unlink()
    old = zoo("export", run, "-o", tmp_path / "net.pt2", "--quiet")
    assert (old.status, "has no data.json: the file does not say its classes" in old.err) == (0, True)
    of_pixels = zoo("export", run, "-o", tmp_path / "net.pt2", "--pixels")
    assert of_pixels.status == 2
    assert "help: leave --pixels out, and normalize as the training did" in of_pixels.err


def test_floats_made_otherwise_stay_outside(workplace: Path, zoo: Zoo, tmp_path: Path) -> None:
    sets = ("--set", "transforms={train: [ToFloat], eval: [ToFloat]}", "--set", "reports=[]", "--epochs", "0.1")
    assert zoo("run", "quickstart", *sets, "--quiet", "--run-dir", tmp_path / "run").status == 0
    outcome = zoo("export", tmp_path / "run", "-o", tmp_path / "net.pt2", "--pixels")
    assert outcome.status == 2
    assert "--pixels needs transforms.eval to end with a Normalize for all images" in outcome.err
    assert zoo("export", tmp_path / "run", "-o", tmp_path / "net.pt2").status == 0


@knows_max_pool
def test_the_way_to_serve_that_is_shown(
    workplace: Path, tmp_path: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert zoo("export", "coloured", "-o", tmp_path / "net.onnx", "--pixels").status == 0
    monkeypatch.chdir(tmp_path)
    upright = np.random.default_rng(2).integers(0, 256, (8, 8, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter clockwise, as viewers and zoo do
    Image.fromarray(np.rot90(upright)).save("some.png", exif=exif)
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```text\n(import json, numpy.*?)^```", page, re.MULTILINE | re.DOTALL)
    said = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, encoding="utf-8")
    server = Server(Path("net.onnx"))
    logits = server.run(upright[None])[0]
    assert said.stdout.strip() == server.facts["classes"][logits.argmax()]
