"""Plugins: own ops, transforms and sources, brought in by --plugin and by nothing else."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoo as package
from tests.cli.conftest import Zoo
from zoo.assemble import plugins
from zoo.data import sources, transforms
from zoo.errors import ConfigError
from zoo.layers import ops

PLUGIN = '''
import albumentations as A
import numpy as np
import torch
import zoo


@zoo.op
class Scaled(torch.nn.Module):
    """Times a factor."""

    def __init__(self, factor: float = 1.0):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


@zoo.op
def shifted(x, *, by: float = 1.0):
    """Plus a number."""
    return x + by


@zoo.transform
class Darken(A.ImageOnlyTransform):
    """Darker by a factor."""

    class InitSchema(A.ImageOnlyTransform.InitSchema):
        factor: float

    def __init__(self, factor: float = 0.5, p: float = 1.0):
        super().__init__(p=p)
        self.factor = factor

    def apply(self, img, **params):
        return (img * self.factor).astype(img.dtype)


class Blobs(zoo.ArraySplit):
    """A split of the plugin's own."""


@zoo.source
def blobs(count: int = 40):
    """Bright and dark squares."""
    labels = np.arange(count) % 2
    images = np.broadcast_to((labels * 200)[:, None, None, None], (count, 8, 8, 1)).astype(np.uint8)
    split = Blobs(images, labels.astype(np.int64))
    return zoo.Dataset("blobs", split, split, ("dark", "bright"))
'''
NET = """
name: net
input: [1, 8, 8]
layers:
  scaled: {op: Scaled, factor: 0.5}
  shifted: {op: shifted, by: 0.1}
  flatten: {op: flatten, start_dim: 1}
  fc: {op: Linear, out_features: 2}
"""
RECIPE = """
model: {architecture: net.yaml}
data: {source: blobs, count: 20, batch_size: 10}
transforms: {train: [Darken: {factor: 0.9}, Normalize]}
optimizer: {name: SGD, lr: 0.1}
train: {epochs: 2}
reports: []
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plugins, "_loaded", set())
    monkeypatch.setattr(plugins, "_files", [])
    for name, text in (("my_parts.py", PLUGIN), ("net.yaml", NET), ("r.yaml", RECIPE)):
        (tmp_path / name).write_text(text)
    with ops.temporarily(), transforms.temporarily(), sources.temporarily():
        yield tmp_path / "my_parts.py"
    sys.modules.pop("my_parts", None)


def test_without_the_plugin_its_names_are_unknown(plugin: Path, zoo: Zoo) -> None:
    outcome = zoo("check", "r.yaml")
    assert outcome.status == 2
    assert {"unknown-op", "unknown-transform", "unknown-source"} <= set(outcome.err.replace("]", "[").split("["))


def test_a_name_like_none_may_be_one_of_one_s_own(zoo: Zoo) -> None:
    for change in ("transforms.train=[Foozle]", "data.source=foozle"):
        assert "; one of your own comes with --plugin FILE.py\n" in zoo("check", "quickstart", "--set", change).err
    for change in ("transforms.train=[HorizontalFilp]", "data.source=digts", "optimizer={name: Foozle}"):
        outcome = zoo("check", "quickstart", "--set", change)
        assert outcome.status == 2
        assert "--plugin" not in outcome.err


def test_from_python_it_is_enough_to_import_the_file(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="there is no op"):
        package.load_model("net.yaml")
    monkeypatch.syspath_prepend(str(plugin.parent))
    importlib.import_module(plugin.stem)
    assert package.load_model("net.yaml").scaled.factor == 0.5


def test_with_the_plugin_they_train(plugin: Path, zoo: Zoo) -> None:
    assert zoo("check", "r.yaml", "--plugin", plugin).err == "no errors in 1 file\n"
    outcome = zoo("run", "r.yaml", "--plugin", plugin, "--quiet", "--json")
    assert outcome.status == 0, outcome.err
    assert '"accuracy": 1.0' in outcome.out


def test_a_run_names_the_plugin_that_it_was_made_with(plugin: Path, zoo: Zoo) -> None:
    assert zoo("run", "r.yaml", "--plugin", plugin, "--quiet").status == 0
    plugins._loaded.clear()
    plugins._files.clear()
    for catalogue in (ops, transforms, sources):
        catalogue._entries.pop(next(reversed(catalogue._entries)))  # the plugin's, as a process of its own lacks it
    outcome = zoo("eval", "r")
    assert outcome.status == 2
    assert f"= help: the run was made with --plugin {plugin.resolve()}\n" in outcome.err
    assert zoo("run", "quickstart", "--epochs", "0.1", "--set", "reports=[]", "--quiet").status == 0
    for command in (["summary", "r"], ["eject", "runs/r/0001"], ["draw", "r"], ["diff", "r", "runs/quickstart/0001"]):
        outcome = zoo(*command)
        assert outcome.status == 2, command
        assert f"= help: the run was made with --plugin {plugin.resolve()}\n" in outcome.err, command
    for damaged in ("[3]", "3", "{}"):
        Path("runs/r/0001/env.json").write_text(f'{{"plugins": {damaged}}}')
        assert "the run was made with" not in zoo("eval", "r").err
        assert zoo("eval", "r").status == 2


@pytest.fixture(params=["spawn", "forkserver"])
def not_forked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Processes begin as they do on macOS, or from Python 3.14 on."""
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(request.param, force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.slow
def test_workers_that_are_not_forked_have_the_plugins_too(plugin: Path, zoo: Zoo, not_forked: None) -> None:
    results = []
    for workers in (0, 2):
        outcome = zoo("run", "r.yaml", "--plugin", plugin, "--quiet", "--json", "--set", f"data.workers={workers}")
        assert outcome.status == 0, outcome.err
        results.append(json.loads(outcome.out))
    alone, helped = results
    assert alone["test"] == helped["test"]
    plugins._files.clear()  # the control: workers that are told of no plugin
    outcome = zoo("run", "r.yaml", "--plugin", plugin, "--quiet", "--set", "data.workers=2")
    assert outcome.status == 7
    assert "a loader worker died" in outcome.err


def test_arguments_of_plugins_are_checked(plugin: Path, zoo: Zoo) -> None:
    outcome = zoo("check", "r.yaml", "--plugin", plugin, "--strict")
    assert outcome.status == 0, outcome.err
    Path("net.yaml").write_text(NET.replace("factor", "factr"))
    assert "did you mean factor" in zoo("check", "net.yaml", "--plugin", plugin).err


def test_a_plugin_that_fails_is_the_calls_fault(tmp_path: Path, zoo: Zoo) -> None:
    bad = tmp_path / "bad_plugin.py"
    bad.write_text("1 / 0\n")
    outcome = zoo("check", "quickstart", "--plugin", bad)
    assert outcome.status == 2
    assert "ZeroDivisionError" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_taken_name_is_refused(tmp_path: Path, zoo: Zoo) -> None:
    taken = tmp_path / "taken_plugin.py"
    taken.write_text("import zoo\n\n@zoo.op\ndef relu(x):\n    return x\n")
    outcome = zoo("check", "quickstart", "--plugin", taken)
    assert outcome.status == 2
    assert "registered twice" in outcome.err


@pytest.mark.parametrize("code", ["import sys; sys.exit()", "raise SystemExit(0)", "1 / 0"])
def test_a_plugin_that_ends_itself_ends_no_command_in_silence(code: str, tmp_path: Path, zoo: Zoo) -> None:
    (tmp_path / "leaving.py").write_text(code)
    outcome = zoo("check", "quickstart", "--plugin", tmp_path / "leaving.py")
    assert outcome.status == 2
    assert "leaving.py fails" in outcome.err


def test_a_plugin_does_not_stand_in_for_a_library(tmp_path: Path, zoo: Zoo) -> None:
    (tmp_path / "wave.py").write_text("")  # of the standard library, not loaded yet
    assert "wave" not in sys.modules
    outcome = zoo("check", "quickstart", "--plugin", tmp_path / "wave.py")
    assert outcome.status == 2
    assert "there is a module wave already" in outcome.err
