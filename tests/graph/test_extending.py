"""What may be laid over an architecture by ``extends``, and what is told where it makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.diagnostics import Diagnostics
from zoo.models import checked_plan, load_plan

BASE = """
input: [3, 8, 8]
params: {width: 16, depth: 1}
blocks: {B: {params: {channels: int}, layers: {c: {op: Conv2d, out_channels: $channels, kernel_size: 1}, r: ReLU}}}
layers:
  a: {op: B, channels: $width, repeat: $depth}
  pool: {layers: {p: ReLU, q: GELU}}
"""


def told(folder: Path, child: str) -> list[tuple[str, str | None]]:
    """Message and help of all that is said of a file that extends the one above."""
    (folder / "base.yaml").write_text(BASE)
    (folder / "child.yaml").write_text(f"extends: base.yaml\n{child}\n")
    diagnostics = Diagnostics()
    plan = load_plan(folder / "child.yaml", diagnostics)
    assert (plan is None) == bool(diagnostics.errors)
    return [(item.message, item.help) for item in diagnostics]


@pytest.mark.parametrize(
    ("child", "message", "help"),
    [
        (
            "params: {widht: 32}",
            "params: unknown key 'widht': what is extended has no such param",
            "did you mean width",
        ),
        ("params: {widht: null}", "params: there is no 'widht' to remove", "did you mean width?"),
        ("layers: {poool: null}", "layers: there is no 'poool' to remove", "did you mean pool?"),
        ("layers: {pool: {layers: {z: null}}}", "layers: there is no 'z' to remove", "there are p and q"),
        ("blocks: {C: null}", "blocks: there is no 'C' to remove", "there is B"),
        ("blocks: {B: {layers: {rr: null}}}", "layers: there is no 'rr' to remove", "did you mean r?"),
    ],
)
def test_what_the_parent_does_not_have(child: str, message: str, help: str, tmp_path: Path) -> None:
    ((said, way_out),) = told(tmp_path, child)
    assert said.startswith(message)
    assert (way_out or "").startswith(help)


@pytest.mark.parametrize(
    "child",
    [
        "params: {width: 32, kernel: 3}\nlayers: {d: {op: Conv2d, out_channels: 4, kernel_size: $kernel}}",
        "params: {kernel: null}\nlayers: {d: {op: ReLU, when: $(kernel != 1)}}",
        "params: {depth: null}\nlayers: {a: {repeat: null}, pool: {layers: {q: null}}}",
    ],
)
def test_what_is_added_and_read_or_removed_is_right(child: str, tmp_path: Path) -> None:
    assert told(tmp_path, child) == []


@pytest.mark.parametrize(
    ("parent", "help"),
    [
        ("resnet19", "did you mean resnet18"),
        ("base", "base.yaml is there"),
        ("bsae.yaml", "did you mean base.yaml?"),
        ("elsewhere.yaml", "looked beside"),
        ("quite_another", "looked beside"),
    ],
)
@pytest.mark.parametrize("key", ["extends", "use"])
def test_a_file_that_is_not_there(key: str, parent: str, help: str, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "child.yaml").write_text(f"{key}: {parent}\n" + (BASE if key == "use" else ""))
    diagnostics = Diagnostics()
    assert load_plan(tmp_path / "child.yaml", diagnostics) is None
    (item,) = diagnostics
    assert (item.help or "").startswith(help if key == "extends" or "looked" not in help else ("looked", "give a path"))


def test_a_library_is_checked_as_one(tmp_path: Path) -> None:
    file = tmp_path / "blocks.yaml"
    blocks = "blocks: {B: {params: {n: int}, layers: [{op: Linear, out_features: $n}, {op: relu, from: 0}]}}\n"
    for text, codes in (
        (blocks, []),
        (blocks.replace("$n", "$m"), ["undefined-name"]),
        ("lyers: []\n" + blocks, ["unknown-key"]),
    ):
        file.write_text(text)
        diagnostics = Diagnostics()
        assert checked_plan(file, diagnostics) is None
        assert [item.code for item in diagnostics] == codes
