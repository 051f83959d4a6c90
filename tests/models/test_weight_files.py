"""Files of weights: what is read, what is refused, what is said."""

from __future__ import annotations

import argparse
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.models.test_weights import Wrapped, equal, tiny
from zoo.errors import CheckpointError
from zoo.models import load_weights
from zoo.models.weight_files import read_weights


class Canary:
    """Runs a program when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_malicious_pickle_is_refused_and_never_runs(writer: str, tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "weights.pth"
    content = {"fc.weight": torch.zeros(1), "evil": Canary(canary)}
    if writer == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps({"evil": Canary(canary)}))
    with pytest.raises(CheckpointError) as caught:
        load_weights(tiny(), path)
    assert caught.value.exit_code == 4
    assert not canary.exists()
    os.system(f"touch {canary}")  # the control: it would have been seen
    assert canary.exists()


def test_a_safetensors_name_does_not_open_a_pickle(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    torch.save(tiny().state_dict(), path)
    with pytest.raises(CheckpointError, match="damaged"):
        read_weights(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_truncated_file_is_damaged_not_a_bug(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    save_file(tiny().state_dict(), path) if suffix == ".safetensors" else torch.save(tiny().state_dict(), path)
    whole = path.read_bytes()
    for kept in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(CheckpointError):
            read_weights(path)


@pytest.mark.parametrize(
    "content", [b"\x80\x02.", b"\x80\x02X\x05\x00", b"\x80\x02K", b"\x80\x02}(X", b"\x80\x02h\x01."]
)
def test_a_damaged_pickle_is_damaged_not_a_bug(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        read_weights(path)


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema"])
def test_an_average_comes_before_the_weights_and_is_told(key: str, tmp_path: Path) -> None:
    """As timm's and torchvision's training scripts leave them; their arguments beside them are no obstacle."""
    average, target = tiny(), tiny()
    beside = {"n_averaged": torch.tensor(3)} if key == "model_ema" else {}
    state = {**beside, **{f"module.{name}": value for name, value in average.state_dict().items()}}
    content = {"state_dict": tiny().state_dict(), key: state, "args": argparse.Namespace(lr=0.1, lists=[1])}
    torch.save(content, tmp_path / "w.pth")
    loaded = load_weights(target, tmp_path / "w.pth")
    assert f"w.pth, the averages in {key}" in loaded
    assert equal(average, target)
    assert equal(average, loaded_by_timm(tmp_path / "w.pth"))
    torch.save({**content, key: {"decay": 0.9}}, tmp_path / "w.pth")  # settings, no average
    assert "the averages" not in load_weights(target, tmp_path / "w.pth")
    assert not equal(average, target)


def loaded_by_timm(path: Path) -> nn.Module:
    from timm.models import load_checkpoint

    module = tiny()
    load_checkpoint(module, str(path), strict=False)  # torchvision's count of averages is no tensor of the network
    return module


def test_what_else_a_refused_file_holds_is_said_without_advice_to_open_it(tmp_path: Path) -> None:
    torch.save({"state_dict": tiny().state_dict(), "owner": Wrapped()}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="is refused") as caught:
        load_weights(tiny(), tmp_path / "w.pth")
    notes = [note.message for note in caught.value.notes]
    assert notes == [f"it also holds an object of {Wrapped.__module__}.Wrapped"]


def test_missing_files_and_things_that_are_no_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no weights"):
        read_weights(tmp_path / "nothing.pth")
    with pytest.raises(CheckpointError, match="no weights"):
        read_weights(tmp_path)
    torch.save([1, 2, 3], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="no state dict"):
        read_weights(tmp_path / "list.pth")
    (tmp_path / "net.yaml").write_text("layers: [ReLU]\n")
    with pytest.raises(CheckpointError, match="is no file of weights: neither safetensors nor") as caught:
        read_weights(tmp_path / "net.yaml")
    assert "weights_only" not in str(caught.value.notes)  # torch would have it opened all the same


@pytest.mark.parametrize("form", ["net", "nested", "beside random numbers", "empty average"])
def test_the_only_state_dict_of_a_training_checkpoint_is_found(form: str, tmp_path: Path) -> None:
    source, target = tiny(), tiny()
    state = source.state_dict()
    content = {
        "net": {"net": state, "acc": 94.2, "epoch": 7},  # as kuangliu's pytorch-cifar leaves it
        "nested": {"model": {"state_dict": state, "arch": "tiny"}, "optimizer": {"state": {}, "param_groups": []}},
        "beside random numbers": {"weights_of_epoch_7": state, "random": {"cpu": torch.get_rng_state()}},
        "empty average": {"model": state, "model_ema": {}},  # of a training that keeps none
    }[form]
    torch.save(content, tmp_path / "w.pth")
    loaded = load_weights(target, tmp_path / "w.pth")
    assert equal(source, target)
    said = {"net": ", those in net", "beside random numbers": ", those in weights_of_epoch_7"}
    assert loaded == f"loaded {len(state)} tensors from {tmp_path / 'w.pth'}{said.get(form, '')}"


def test_several_state_dicts_are_not_guessed_at(tmp_path: Path) -> None:
    torch.save({"student": tiny().state_dict(), "teacher": tiny().state_dict()}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="several state dicts: student and teacher"):
        load_weights(tiny(), tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ({"0.weight": torch.zeros(1), "epoch": 3, "lr": 0.1}, "it holds epoch (int) and lr (float)"),
        ({str(number): number for number in range(500)}, "6 (int), 7 (int) and 492 more"),
        ([torch.zeros(1)], "what it holds is of type list"),
        ({}, "it is empty"),
    ],
)
def test_what_stands_in_place_of_a_state_dict_is_said(content: object, note: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="holds no state dict of tensors") as caught:
        read_weights(tmp_path / "w.pth")
    assert caught.value.notes[0].message.endswith(note)


def test_a_file_that_holds_itself_comes_to_an_end(tmp_path: Path) -> None:
    content: dict[str, object] = {}
    content["model"] = content
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="no state dict of tensors"):
        read_weights(tmp_path / "w.pth")
