"""First weights from files: how they fit, and what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from zoo.diagnostics import Diagnostics
from zoo.document import read_text
from zoo.errors import CheckpointError
from zoo.graph import compile_plan
from zoo.models import load_plan, load_weights


def tiny(classes: int = 10) -> nn.Module:
    params = read_text(f"classes: {classes}", Diagnostics())
    plan = load_plan("tiny_resnet", Diagnostics(), params)
    assert plan is not None
    return compile_plan(plan)


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


@pytest.mark.parametrize("form", ["safetensors", "pickle", "wrapped", "folder"])
def test_weights_come_back_from_every_form(form: str, tmp_path: Path) -> None:
    source, target = tiny(), tiny()
    state = source.state_dict()
    path = tmp_path / "weights.pth"
    if form == "pickle":
        torch.save(state, path)
    elif form == "wrapped":  # a training checkpoint of a model in DataParallel
        torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    else:
        path = tmp_path / "model.safetensors"
        save_file(state, path)
    assert not equal(source, target)
    loaded = load_weights(target, tmp_path if form == "folder" else path)
    assert equal(source, target)
    assert loaded == f"loaded {len(state)} tensors from {tmp_path if form == 'folder' else path}"


def test_loading_keeps_the_modules_memory_layout(tmp_path: Path) -> None:
    source, target = tiny(), tiny().to(memory_format=torch.channels_last)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    strides = target.prep.conv.weight.stride()
    load_weights(target, tmp_path / "w.safetensors")
    assert equal(source, target)
    assert target.prep.conv.weight.stride() == strides != source.prep.conv.weight.stride()


class Wrapped(nn.Module):
    """A network with a layer called `module`, and no other."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Linear(3, 2)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "net."])
@pytest.mark.parametrize("kind", [Wrapped, tiny])
def test_the_names_of_wrappers_are_taken_off_those_of_layers_are_not(prefix: str, kind: Any, tmp_path: Path) -> None:
    source, target = kind(), kind()
    save_file({prefix + name: value for name, value in source.state_dict().items()}, tmp_path / "w.safetensors")
    load_weights(target, tmp_path / "w.safetensors")
    assert equal(source, target)


def test_a_part_of_a_larger_model_is_found_by_its_names(tmp_path: Path) -> None:
    """As self-supervised training leaves an encoder without its head, beside a projector."""
    source, target = tiny(), tiny()
    head = target.fc.weight.detach().clone()
    encoder = {f"encoder_q.{name}": value for name, value in source.state_dict().items() if not name.startswith("fc.")}
    save_file({**encoder, "projector.weight": torch.zeros(2, 2)}, tmp_path / "w.safetensors")
    loaded = load_weights(target, tmp_path / "w.safetensors", may_lack_head=True)
    assert loaded.endswith("w.safetensors, those below encoder_q; fc is new: it is not in the file")
    assert torch.equal(target.fc.weight, head)
    assert torch.equal(target.prep.conv.weight, source.prep.conv.weight)
    with pytest.raises(CheckpointError, match="2 tensors missing"):  # whoever wants to test it needs all of it
        load_weights(target, tmp_path / "w.safetensors")
    save_file({**encoder, "encoder_q.more": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="0 tensors missing, 1 not in this network"):
        load_weights(target, tmp_path / "w.safetensors", may_lack_head=True)


def test_a_network_that_is_there_twice_is_not_guessed_at(tmp_path: Path) -> None:
    state = tiny().state_dict()
    twice = {f"{start}.{name}": value.clone() for start in ("student", "teacher") for name, value in state.items()}
    save_file(twice, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="several times: below student and teacher"):
        load_weights(tiny(), tmp_path / "w.safetensors")


def test_files_without_counts_of_batches_are_read(tmp_path: Path) -> None:
    source, target = tiny(), tiny()
    state = {name: value for name, value in source.state_dict().items() if "num_batches" not in name}
    assert len(state) < len(source.state_dict())
    save_file(state, tmp_path / "w.safetensors")
    loaded = load_weights(target, tmp_path / "w.safetensors")
    assert equal(source, target)
    assert f"loaded {len(state)} tensors" in loaded


def test_another_number_of_classes_leaves_the_head_new_and_says_so(tmp_path: Path) -> None:
    source, target = tiny(10), tiny(4)
    head = [parameter.detach().clone() for parameter in (target.fc.weight, target.fc.bias)]
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    loaded = load_weights(target, tmp_path / "w.safetensors")
    assert "fc is new: 4 classes here, 10 in the file" in loaded
    assert torch.equal(target.fc.weight, head[0])
    assert torch.equal(target.fc.bias, head[1])
    assert torch.equal(target.prep.conv.weight, source.prep.conv.weight)


def test_shapes_that_differ_elsewhere_are_named(tmp_path: Path) -> None:
    state = tiny().state_dict()
    state["prep.conv.weight"] = torch.zeros(32, 1, 5, 5)
    save_file(state, tmp_path / "w.safetensors")
    target = tiny()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_weights(target, tmp_path / "w.safetensors")
    assert any("prep.conv.weight: [32, 1, 3, 3] here, [32, 1, 5, 5] in the file" in str(n) for n in caught.value.notes)
    assert all(torch.equal(before[name], tensor) for name, tensor in target.state_dict().items())


def test_a_count_of_the_last_layer_that_is_a_list_is_no_number_of_classes(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    state = network.state_dict() | {"1.num_batches_tracked": torch.zeros(1, dtype=torch.int64)}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="1 tensor of another shape"):
        load_weights(network, tmp_path / "w.pth")


def test_names_that_do_not_match_are_named_with_the_nearest(tmp_path: Path) -> None:
    state = tiny().state_dict()
    state["fc.weights"] = state.pop("fc.weight")
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_weights(tiny(), tmp_path / "w.safetensors")
    notes = " ".join(map(str, caught.value.notes))
    assert "missing: fc.weight" in notes
    assert "nearest to fc.weight: fc.weights" in notes


def test_of_many_places_the_first_are_named(tmp_path: Path) -> None:
    state = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).state_dict()
    torch.save({f"l{number}.{name}": value for number in range(500) for name, value in state.items()}, tmp_path / "w")
    with pytest.raises(CheckpointError, match=r"below l0, l1, l2, l3, l4, l5, l6, l7 and 492 more "):
        load_weights(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), tmp_path / "w")


KINDS = {
    "of whole numbers": (lambda weight: weight.to(torch.int8), "torch.int8", ""),
    "complex": (lambda weight: weight.to(torch.complex64), "torch.complex64", ""),
    "quantized": (
        lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
        "torch.qint8",
        ".dequantize()",
    ),
    "sparse": (lambda weight: weight.to_sparse(), "sparse, torch.sparse_coo", ".to_dense()"),
    "nested": (lambda weight: torch.nested.nested_tensor([weight]), "nested", ""),
    "without values": (lambda weight: weight.to("meta"), "no values", "on the meta device"),
}


@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor", "ignore:.*nested")
@pytest.mark.parametrize("kind", KINDS)
def test_tensors_of_another_kind_are_refused(kind: str, tmp_path: Path) -> None:
    make, said, way_out = KINDS[kind]
    source, target = tiny(), tiny()
    before = {name: value.clone() for name, value in target.state_dict().items()}
    torch.save({**source.state_dict(), "fc.weight": make(source.state_dict()["fc.weight"])}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="1 tensor of another kind") as caught:
        load_weights(target, tmp_path / "w.pth")
    assert [note.message for note in caught.value.notes] == [f"fc.weight: {said}"]
    assert way_out in (caught.value.help or "")
    assert bool(way_out) is bool(caught.value.help)
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_floating_point_numbers_of_any_width_are_taken(dtype: torch.dtype, tmp_path: Path) -> None:
    source, target = tiny(), tiny()
    state = {
        name: value.to(dtype) if value.is_floating_point() else value for name, value in source.state_dict().items()
    }
    torch.save(state, tmp_path / "w.pth")
    load_weights(target, tmp_path / "w.pth")
    assert target.fc.weight.dtype == torch.float32
    assert torch.equal(target.fc.weight, state["fc.weight"].float())
