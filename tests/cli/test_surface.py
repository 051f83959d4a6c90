"""The public surface is written down: the names of ``zoo``, and each command's options."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch

import zoo
from tests.cli.conftest import Zoo
from zoo.cli.app import app
from zoo.errors import ConfigError, UsageError

NAMES = [
    *("ArraySplit", "ConfigError", "DataError", "Dataset", "ZooError"),
    *("check", "explain", "load_model", "op", "predict", "run", "source", "summary", "transform"),
]
RUNS = {
    *("--set", "--run-dir", "--resume", "--dry-run", "--epochs", "--seeds", "--grid"),
    *("--device", "--devices", "--data-dir", "--no-cache"),
}
OPTIONS = {
    "run": RUNS,
    "summary": {"--format", "--input"},
    "explain": {"--method", "--layer", "--images", "--misclassified", "--class", "--out", "--data-dir", "--device"},
    "config": {"--set"},
    "find-lr": {"--set", "--data-dir", "--device", "--out", "--no-cache"},
    "eval": {"--checkpoint", "--tta", "--data-dir", "--device"},
    "bench": {"--set", "--data-dir", "--device"},
    "check": {"--set"},
    "draw": {"--format", "--input", "--depth", "--out"},
    "eject": {"--input", "--out"},
    "export": {"--checkpoint", "--input", "--out", "--pixels"},
    "predict": {"--checkpoint", "--csv", "--top", "--device"},
    **{command: set() for command in ("cp", "diff", "ls", "report", "schema")},
}
EVERYWHERE = {"--strict", "--plugin", "--debug", "--quiet", "--help"}
WITHOUT_JSON = {"draw", "eject"}  # what they print is a file


def test_the_names_of_the_package_are_these_and_each_is_there() -> None:
    assert zoo.__all__ == NAMES
    for name in NAMES:
        assert callable(getattr(zoo, name))
    with pytest.raises(AttributeError):
        zoo.nonsense  # noqa: B018 - the look-up is the test


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, zoo; assert 'torch' not in sys.modules; dir(zoo)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("command", list(OPTIONS))
def test_the_options_of_a_command(command: str, zoo: Zoo) -> None:
    found = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", zoo(command, "--help").out))
    json = set() if command in WITHOUT_JSON else {"--json"}
    assert found == OPTIONS[command] | EVERYWHERE | json


def test_every_command_is_among_them() -> None:
    assert {command.name for command in app.registered_commands} == set(OPTIONS)


def test_load_model_gives_a_plain_module() -> None:
    module = zoo.load_model("tiny_resnet", width=4, classes=3)
    assert module(torch.zeros(2, 1, 8, 8)).shape == (2, 3)
    for tensor in module.state_dict().values():
        assert tensor.device.type == "cpu"
        assert tensor.is_contiguous()
    assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_load_model_says_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match="widht"):
        zoo.load_model("tiny_resnet", widht=4)
    with pytest.raises(UsageError, match="there is no target 'tiny_resnot'"):
        zoo.load_model("tiny_resnot")


def test_summary_and_check_return_data() -> None:
    assert zoo.summary("custom_resnet").total_params == 6_573_130
    assert zoo.summary("quickstart").inputs == {"input": (1, 8, 8)}
    assert zoo.check("quickstart", "custom_resnet") == []
    assert zoo.check("nowhere.yaml")[0].code == "no-such-file"
