"""What a checkpoint has to be for a training to take it up: whole, and this training's."""

from __future__ import annotations

import json
import pickletools
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save

from tests.train.small_world import run
from tests.train.test_checkpoint import OF_SGD, MakeTraining, finished, reseal
from zoo.errors import CheckpointError, EnvironmentFault


class TestLoading:
    def test_tensors_of_the_wrong_shape_are_named(self, training: MakeTraining) -> None:
        path = finished(training)
        tensors = load_file(path / "model.safetensors")
        tensors["8.weight"] = torch.zeros(5, 8)
        tensors["0.extra"] = tensors.pop("0.bias")
        reseal(path, "model.safetensors", save(tensors))
        with pytest.raises(CheckpointError, match="do not fit the network") as caught:
            run(training(train={"epochs": 1}, resume=True))
        assert [note.message for note in caught.value.notes] == [
            "0.bias is missing",
            "0.extra is not in the network",
            "8.weight is [5, 8], the network has [4, 8]",
        ]

    @pytest.mark.parametrize(
        ("name", "forged", "told"),
        [
            (
                f"{OF_SGD}.1.momentum_buffer",
                torch.zeros(3),
                r"0\.state\.1\.momentum_buffer is \[3\], its parameter \[8\]",
            ),
            (f"{OF_SGD}.1.momentum_buffer", torch.tensor(0.0), r"momentum_buffer is \[\], its parameter \[8\]"),
            (f"{OF_SGD}.0.momentum_buffer", torch.zeros(3), "strides"),
            ("state.random.torch", torch.zeros(5, dtype=torch.uint8), "RNG state"),
            ("state.meter.sums", torch.zeros(7, dtype=torch.float64), "size"),
        ],
    )
    def test_a_forged_tensor_of_the_state_is_told(
        self, training: MakeTraining, name: str, forged: torch.Tensor, told: str
    ) -> None:
        path = finished(training)
        tensors = load_file(path / "training.safetensors")
        assert name in tensors
        reseal(path, "training.safetensors", save({**tensors, name: forged}))
        with pytest.raises(CheckpointError, match=f"does not fit this training: .*{told}"):
            run(training(train={"epochs": 1}, resume=True))

    @pytest.mark.parametrize(
        ("key", "forged"),
        [
            ("random", {"python": 1, "numpy": 2, "torch": 3, "cuda": []}),
            ("random", {"python": [3, [1, 2], None], "numpy": [], "torch": None}),
            ("meter", {"$": "dtype", "name": "no_such"}),
            ("optimization", []),
            ("averaging", [1]),
            ("progress", {"epoch": 1, "colour": 2}),
        ],
    )
    def test_a_forged_value_of_the_state_is_told(self, training: MakeTraining, key: str, forged: Any) -> None:
        path = finished(training)
        plain = json.loads((path / "training.json").read_text())
        plain["state"][key] = forged
        reseal(path, "training.json", json.dumps(plain).encode())
        with pytest.raises(CheckpointError, match="does not fit this training"):
            run(training(train={"epochs": 1}, resume=True))

    def test_memory_that_runs_short_is_no_fault_of_the_checkpoints(
        self, training: MakeTraining, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        finished(training)

        def short(*given: Any) -> None:
            raise torch.OutOfMemoryError("out of memory")

        monkeypatch.setattr("zoo.train.state.load_tensors", short)
        with pytest.raises(EnvironmentFault, match="out of memory"):
            run(training(train={"epochs": 1}, resume=True))

    def test_the_layout_in_memory_is_restored(self, training: MakeTraining) -> None:
        first = training(train={"epochs": 1})
        run(first)
        again = training(train={"epochs": 1}, resume=True)
        again.runtime.channels_last = False
        again.model.to(memory_format=torch.contiguous_format)
        assert again.model[0].weight.is_contiguous()  # type: ignore[union-attr,operator]
        run(again)
        own, other = again.model.state_dict(), first.model.state_dict()
        assert {name: tensor.stride() for name, tensor in own.items()} == {
            name: tensor.stride() for name, tensor in other.items()
        }
        (optimizer,) = again.optimization.optimizers
        for parameter, momentum in optimizer.state.items():
            assert momentum["momentum_buffer"].stride() == parameter.stride()

    def test_no_file_holds_a_pickle(self, training: MakeTraining) -> None:
        one = training(train={"epochs": 1}, ema=True)
        run(one)
        assert one.folder is not None
        for path in one.folder.checkpoints.rglob("*"):
            if path.is_file():
                with pytest.raises(ValueError):
                    list(pickletools.genops(path.read_bytes()))
