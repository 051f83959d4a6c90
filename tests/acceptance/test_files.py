"""Files as attackers and slips of the pen make them, from the command line: rows 9 to 16 and 18 of the acceptance."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import Zoo
from tests.conftest import CheckGolden
from zoo.cli import main

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 10)
)
NET = "name: net\ninput: [3, 8, 8]\n"
TRAINS = (
    "model: {architecture: tiny_resnet}\ndata: {source: digits}\noptimizer: {name: SGD, lr: 0.1}\ntrain: {epochs: 1}\n"
)
CANARY = "canary"

# What `zoo check` says of each, golden.
FILES: dict[str, str | bytes] = {
    "alias_bomb": BOMB,
    "deep": "a: " + "[" * 100_000,
    "too_large": "a: " + "x" * (1 << 20),
    "nul": "name: a\0b\n",
    "two_documents": "name: a\n---\nname: b\n",
    "empty": "",
    "a_list": "- name\n- input\n",
    "latin_1": "name: caf\u00e9\n".encode("latin-1"),
    "duplicate_key": NET + "layers:\n  a: ReLU\n  b: GELU\n  a: SiLU\n",
    "duplicate_under_merge": NET + "layers:\n  a: &a {op: ReLU}\n  b: {<<: *a, <<: *a}\n",
    "python_tag": f"name: !!python/object/apply:pathlib.Path.touch [!!python/object/new:pathlib.Path [{CANARY}]]\n",
    "any_tag": "name: !mine net\n",
    "names": NET + "layers: {a.b: ReLU, __class__: ReLU, a/b: ReLU, ../up: ReLU, forward: ReLU, ok: ReLU}\n",
    "name_of_the_run": "name: ../../etc\n" + TRAINS,
    "name_with_dots": "name: ..\n" + TRAINS,
    "extends_loop": "extends: parent_of_loop.yaml\n" + TRAINS,
    "missing_parent": "extends: nowhere.yaml\n" + TRAINS,
    "missing_grandparent": "extends: missing_parent.yaml\n",
}  # fmt: skip
PARENT_OF_LOOP = "extends: extends_loop.yaml\n"


def written(folder: Path) -> None:
    (folder / "parent_of_loop.yaml").write_text(PARENT_OF_LOOP)
    for name, text in FILES.items():
        (folder / f"{name}.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_told_with_its_place_at_once(name: str, here: Path, zoo: Zoo, golden: CheckGolden) -> None:
    written(here)
    before = sorted(here.iterdir())
    began = time.process_time()
    outcome = zoo("check", f"{name}.yaml")
    assert time.process_time() - began < 1
    assert (outcome.status, outcome.out) == (2, "")
    assert f"--> {name}.yaml:" in outcome.err or name in ("extends_loop", "missing_grandparent")
    assert sorted(here.iterdir()) == before  # no canary, nothing written
    golden(f"file_{name}.txt", outcome.err)


@pytest.mark.parametrize("command", ["summary", "run", "config", "eject", "draw", "find-lr"])
@pytest.mark.parametrize("name", ["alias_bomb", "python_tag", "latin_1", "empty", "extends_loop"])
def test_every_command_that_reads_a_file_refuses_it(command: str, name: str, here: Path, zoo: Zoo) -> None:
    written(here)
    before = sorted(here.iterdir())
    outcome = zoo(command, f"{name}.yaml", *(["-o", "out.py"] if command == "eject" else []))
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("error[")
    assert " --> " in outcome.err
    assert sorted(here.iterdir()) == before


def test_yaml_is_read_as_1_2(here: Path, zoo: Zoo) -> None:
    """`no` and `on` are names here, `1e-3` a number, `010` ten: told by what a network makes of them."""
    layers = ["no: {op: Linear, out_features: 010}", "on: {op: LayerNorm, eps: 1e-3}", "12:30: ReLU"]
    (here / "net.yaml").write_text("name: 2024-01-01\ninput: [4]\nlayers:\n  " + "\n  ".join(layers[:2]) + "\n")
    found = json.loads(zoo("summary", "net.yaml", "--json").out)
    assert found["name"] == "2024-01-01"
    assert [(row["name"], row["output_shape"]) for row in found["layers"]] == [("no", [-1, 10]), ("on", [-1, 10])]
    (here / "net.yaml").write_text("name: n\ninput: [4]\nlayers:\n  " + "\n  ".join(layers) + "\n")
    assert "'12:30' cannot name a layer" in zoo("check", "net.yaml").err  # not 750


def test_all_files_are_told_of_at_once_and_counted(here: Path, zoo: Zoo) -> None:
    written(here)
    outcome = zoo("check", *(f"{name}.yaml" for name in FILES), "--json")
    messages = json.loads(outcome.out)
    assert outcome.status == 2
    assert len(messages) >= len(FILES)
    assert all(message["severity"] == "error" and message["line"] for message in messages)


@pytest.mark.parametrize("file", ["my first net.yaml", ".hidden.yaml", "caf\u00e9.yaml"])
def test_a_recipe_without_a_name_takes_one_from_its_file_that_can_name_a_folder(
    file: str, here: Path, zoo: Zoo
) -> None:
    (here / file).write_text(TRAINS)
    assert zoo("check", file).status == 0


def test_everything_wrong_with_a_recipe_is_told_at_once_in_the_order_of_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "model: {architecture: custom_resnt}\n"
        "data: {source: cifar}\n"
        "transforms: {train: [RandomCrp]}\n"
        "optimizer: {name: SGDD}\n"
        "train: {epoch: 3}\n"
        "reports: [curve]\n"
    )
    assert main(["check", "--json", str(path)]) == 2
    found = json.loads(capsys.readouterr().out)
    assert [(item["line"], item["code"]) for item in found] == [
        (1, "no-such-architecture"),
        (2, "unknown-source"),
        (3, "unknown-transform"),
        (4, "unknown-optimizer"),
        (5, "unknown-key"),
        (6, "bad-value"),
    ]
