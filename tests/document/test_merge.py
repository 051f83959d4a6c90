"""``extends``: what wins, what stays, and where each value came from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.document.places import node_at
from zoo.diagnostics import Diagnostics
from zoo.document import Mapping, Node, load, merge, plain, read_text


def written(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path / "child.yaml"


def test_mappings_merge_lists_are_replaced_null_removes(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        grand="a: {x: 1, y: 2}\nl: [1, 2]\nz: 0",
        parent="extends: grand.yaml\na: {y: 3}\nz: null",
        child="extends: parent.yaml\nl: [9]\na: {w: 4}",
    )
    diagnostics = Diagnostics()
    node = load(path, diagnostics)
    assert node is not None
    assert plain(node) == {"a": {"x": 1, "y": 3, "w": 4}, "l": [9]}
    files = {key: Path(node_at(node, ["a", key])[1].file).stem for key in "xyw"}
    assert files == {"x": "grand", "y": "parent", "w": "child"}


@pytest.mark.parametrize(
    ("files", "code", "notes"),
    [
        ({"child": "extends: a.yaml", "a": "extends: child.yaml"}, "extends-loop", 2),
        ({"child": "extends: child.yaml"}, "extends-loop", 1),
        ({"child": "extends: a.yaml", "a": "extends: none.yaml"}, "no-such-parent", 1),
        ({"child": "extends: [a.yaml]"}, "bad-extends", 0),
    ],
)
def test_loops_and_missing_parents_show_the_chain(tmp_path: Path, files: dict[str, str], code: str, notes: int) -> None:
    diagnostics = Diagnostics()
    assert load(written(tmp_path, **files), diagnostics) is None
    (item,) = diagnostics
    assert item.code == code
    assert len(item.notes) == notes


def test_a_chain_of_extends_has_an_end(tmp_path: Path) -> None:
    files = {f"f{number}": f"extends: f{number + 1}.yaml\nn{number}: 1" for number in range(1200)}
    (tmp_path / "f1200.yaml").write_text("a: 1")
    written(tmp_path, **files)
    diagnostics = Diagnostics()
    assert load(tmp_path / "f0.yaml", diagnostics) is None
    (item,) = diagnostics
    assert (item.code, item.message) == ("too-deep", "more than 64 files extend one another")
    assert str(item.span) == f"{tmp_path / 'f63.yaml'}:1:10"
    assert [str(note.span) for note in item.notes] == [f"{tmp_path / 'f0.yaml'}:1:10"]
    node = load(tmp_path / "f1137.yaml", diagnostics)  # 63 files extend the last
    assert node is not None
    assert len(node) == 64


_KEYS = st.sampled_from("abc")
_TREES = st.recursive(st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=2),
                      lambda inner: st.dictionaries(_KEYS, inner, max_size=3), max_leaves=8)  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.dictionaries(_KEYS, _TREES, min_size=1), st.dictionaries(_KEYS, _TREES, min_size=1))
def test_no_merge_loses_a_line_number(base: dict[str, object], over: dict[str, object]) -> None:
    """Values of the one file say line 1 of base, those of the other line 1 of over; nothing else appears."""
    one = read_text(repr(base), Diagnostics(), name="base")
    two = read_text(repr(over), Diagnostics(), name="over")
    assert one is not None
    assert two is not None
    merged = merge(one, two)
    for path, leaf in leaves(merged):
        source = two if leaf.span.file == "over" else one
        assert node_at(source, path)[0] == leaf
    for path, leaf in leaves(two):
        assert node_at(merged, path)[0] == leaf


def leaves(node: Node, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Node]]:
    if isinstance(node, Mapping) and len(node):
        return [found for entry in node for found in leaves(entry.value, (*path, entry.key))]
    return [] if isinstance(node, Mapping) else [(path, node)]
