"""Rows 27, 29 and 32: damage, forgery and a full disk; and that nothing is lost on the way through the files."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.small_world import only, run
from zoo.errors import CheckpointError, EnvironmentFault
from zoo.events import Message
from zoo.train import DamagedCheckpointError, RunFolder, Shelf, Training, read_checkpoint
from zoo.train.checkpoint import FileSum, Manifest, verify, write_checkpoint
from zoo.train.encoding import TensorStore, decode, encode

MakeTraining = Callable[..., Training]
OF_SGD = "state.optimization.optimizers.0.state"


def a_checkpoint(path: Path, **state: Any) -> Path:
    model, training = TensorStore(), TensorStore()
    model.put("weight", torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last))
    plain = encode({"given": 1, **state}, "state", training)
    write_checkpoint(path, model=model, training=training, state=plain, epoch=1, step=7)
    return path


def reseal(path: Path, name: str, content: bytes) -> None:
    """Forges a file together with its manifest, as someone who knows the format would."""
    manifest = verify(path)
    (path / name).write_bytes(content)
    files = {**manifest.files, name: FileSum(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())}
    (path / "manifest.json").write_bytes(manifest.model_copy(update={"files": files}).render())


def finished(training: MakeTraining) -> Path:
    """The only checkpoint of a run that has ended."""
    one = training(train={"epochs": 1})
    run(one)
    assert one.folder is not None
    shutil.rmtree(one.folder.checkpoints / "best")
    return one.folder.checkpoints / "last"


def signed(data: dict[str, Any]) -> str:
    """A manifest of any content, with the sum of itself that the format asks for."""
    digest = hashlib.sha256(json.dumps(data).encode()).hexdigest()
    return json.dumps({**data, "manifest": digest}, indent=2) + "\n"


class TestEncoding:
    VALUES = {
        "numbers": {0: {"a": 1.1, "b": float("inf")}, 1: None},
        "tuple": (0.9, 0.999),
        "list": [True, "x", (1, [2])],
        "$": "a key that looks like a mark",
    }

    def test_plain_data_comes_back_with_its_types(self) -> None:
        store = TensorStore()
        back = decode(json.loads(json.dumps(encode(self.VALUES, "s", store))), store.tensors, store.strides)
        assert back == self.VALUES
        assert type(back["tuple"]) is tuple
        assert not store.tensors

    @pytest.mark.parametrize(
        "dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.bool, torch.uint8]
    )
    def test_tensors_come_back_with_their_bits_and_strides(self, dtype: torch.dtype) -> None:
        tensor = torch.randn(2, 3, 4, 5).to(dtype).to(memory_format=torch.channels_last)
        store = TensorStore()
        (back,) = decode(encode([tensor], "s", store), store.tensors, store.strides)
        assert back.equal(tensor)
        assert back.stride() == tensor.stride()
        assert back.dtype == dtype

    def test_what_would_need_a_pickle_is_refused(self) -> None:
        with pytest.raises(CheckpointError, match=r"cannot save s\.f: function"):
            encode({"f": lambda: 1}, "s", TensorStore())


class TestVerification:
    def test_a_sound_one_is_read(self, tmp_path: Path) -> None:
        checkpoint = read_checkpoint(a_checkpoint(tmp_path / "last"))
        assert checkpoint.manifest.step == 7
        assert checkpoint.model_strides == {"weight": [24, 1, 8, 2]}

    def test_every_byte_of_the_manifest_counts(self, tmp_path: Path) -> None:
        manifest = a_checkpoint(tmp_path / "last") / "manifest.json"
        sound = manifest.read_bytes()
        for place in range(len(sound)):
            for damaged in (sound[:place], sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :]):
                manifest.write_bytes(damaged)
                with pytest.raises(DamagedCheckpointError):
                    verify(manifest.parent)
        manifest.write_bytes(sound)
        verify(manifest.parent)

    @pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors", "training.json"])
    def test_flipped_bits_and_cut_ends_are_found(self, tmp_path: Path, name: str) -> None:
        path = a_checkpoint(tmp_path / "last", t=torch.ones(3)) / name
        sound = path.read_bytes()
        for place in range(0, len(sound), 7):
            path.write_bytes(sound[:place] + bytes([sound[place] ^ 4]) + sound[place + 1 :])
            with pytest.raises(DamagedCheckpointError, match=name):
                verify(path.parent)
        path.write_bytes(sound[:-1])
        with pytest.raises(DamagedCheckpointError, match=name):
            verify(path.parent)
        path.unlink()
        with pytest.raises(DamagedCheckpointError, match=name):
            verify(path.parent)

    @pytest.mark.parametrize("name", ["../canary", "/etc/passwd", "a/../../canary"])
    def test_a_manifest_that_points_outside_is_refused_by_name(self, tmp_path: Path, name: str) -> None:
        path = a_checkpoint(tmp_path / "last")
        (tmp_path / "canary").write_text("x")
        manifest = json.loads((path / "manifest.json").read_text())
        manifest["files"][name] = manifest["files"].pop("training.json")
        (path / "manifest.json").write_text(json.dumps(manifest))
        for read in (read_checkpoint, lambda path: Shelf(path.parent).newest(print)):
            with pytest.raises(CheckpointError, match="points outside") as caught:
                read(path)
            assert name in caught.value.message
            assert not isinstance(caught.value, DamagedCheckpointError)

    @pytest.mark.parametrize(
        "forged",
        [
            {"step": "x"},
            {"step": -1},
            {"epoch": None},
            {"files": []},
            {"files": {"model.safetensors": "x"}},
            {"files": {"model.safetensors": {"bytes": 1, "sha256": 2}}},
            {"files": {"a\0b": {"bytes": 1, "sha256": "0"}}},
        ],
    )
    def test_a_forged_manifest_with_a_fitting_sum_is_no_traceback(self, tmp_path: Path, forged: dict[str, Any]) -> None:
        path = a_checkpoint(tmp_path / "last")
        sound = json.loads((path / "manifest.json").read_text())
        del sound["manifest"]
        (path / "manifest.json").write_text(signed(sound))
        verify(path)  # the signature is the format's
        (path / "manifest.json").write_text(signed({**sound, **forged}))
        with pytest.raises(DamagedCheckpointError, match="is not a manifest"):
            verify(path)

    @pytest.mark.parametrize("other", [2, None, "1"])
    def test_a_checkpoint_of_another_format_is_not_taken_for_a_damaged_one(self, tmp_path: Path, other: Any) -> None:
        path = a_checkpoint(tmp_path / "last")
        sound = json.loads((path / "manifest.json").read_text())
        del sound["manifest"]
        newer = signed({**sound, "format": other, "files": ["of some other form"]})
        (path / "manifest.json").write_text(newer)
        with pytest.raises(
            CheckpointError, match=f"has format {other!r}; this version of zoo reads format 1"
        ) as caught:
            Shelf(tmp_path).newest(pytest.fail)
        assert not isinstance(caught.value, DamagedCheckpointError)
        (path / "manifest.json").write_text(newer.replace("some other form", "another form"))  # damage in such a one
        with pytest.raises(DamagedCheckpointError):
            verify(path)

    def test_a_link_is_refused(self, tmp_path: Path) -> None:
        path = a_checkpoint(tmp_path / "last")
        (path / "training.json").rename(tmp_path / "elsewhere.json")
        (path / "training.json").symlink_to(tmp_path / "elsewhere.json")
        with pytest.raises(CheckpointError, match="is a link"):
            read_checkpoint(path)

    def test_a_forged_file_with_a_fitting_sum_is_no_traceback(self, tmp_path: Path) -> None:
        for name in ("model.safetensors", "training.safetensors", "training.json"):
            path = a_checkpoint(tmp_path / name.replace(".", "_"))
            reseal(path, name, b"\xff" * 40)
            with pytest.raises(CheckpointError, match="cannot be read"):
                read_checkpoint(path)


class TestShelf:
    def test_damage_is_told_and_the_newest_that_verifies_is_taken(self, training: MakeTraining) -> None:
        first = training(train={"epochs": 4, "checkpoint": {"keep": 2}})
        run(first)
        assert first.folder is not None
        shelf = first.folder.checkpoints
        assert sorted(path.name for path in shelf.iterdir() if path.name != "best") == [
            "last",
            "step-000000012",
            "step-000000018",
        ]
        shutil.rmtree(shelf / "best")
        model = shelf / "last" / "model.safetensors"
        model.write_bytes(model.read_bytes()[:-2])
        again = training(train={"epochs": 4, "checkpoint": {"keep": 2}}, resume=True)
        events = run(again)
        texts = [message.text for message in only(events, Message)]
        assert any("damaged" in text and "last/model.safetensors" in text for text in texts)
        assert any("resumed from" in text and "step-000000018" in text for text in texts)
        assert again.model.state_dict()["0.weight"].equal(first.model.state_dict()["0.weight"])

    def test_none_that_verifies_is_exit_4(self, training: MakeTraining) -> None:
        first = training(train={"epochs": 1})
        run(first)
        assert first.folder is not None
        for manifest in first.folder.checkpoints.rglob("manifest.json"):
            manifest.write_text("{")
        with pytest.raises(CheckpointError, match=r"no checkpoint in .* verifies") as caught:
            run(training(train={"epochs": 1}, resume=True))
        assert caught.value.exit_code == 4

    def test_best_survives_a_kill_between_its_two_renames(self, tmp_path: Path) -> None:
        shelf = Shelf(tmp_path)
        best = shelf.save_best(lambda path: print(a_checkpoint(path)))
        best.rename(tmp_path / ".best.old")
        shelf.tidy()
        assert verify(best).step == 7
        assert not list(tmp_path.glob(".*"))

    def test_an_older_one_in_the_way_is_hidden_before_it_is_removed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shelf = Shelf(tmp_path, keep=1)
        for _ in range(2):
            shelf.save_last(lambda path: print(a_checkpoint(path)))
        removed: list[str] = []
        rmtree = shutil.rmtree

        def seen(path: Path, **options: Any) -> None:
            removed.append(Path(path).name)
            rmtree(path, **options)

        monkeypatch.setattr("zoo.train.shelf.shutil.rmtree", seen)
        shelf.save_last(lambda path: print(a_checkpoint(path)))  # the same step again
        assert ".step-000000007" in removed
        assert all(name.startswith(".") for name in removed)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["last", "step-000000007"]

    def test_files_are_hashed_no_oftener_than_they_have_to_be(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hashed: list[str] = []

        def counted(path: Path) -> Manifest:
            hashed.append(path.name)
            return verify(path)

        monkeypatch.setattr("zoo.train.shelf.verify", counted)
        shelf = Shelf(tmp_path, keep=1)
        for _ in range(2):
            shelf.save_last(lambda path: print(a_checkpoint(path)))
        assert (hashed, [path.name for path in tmp_path.glob("step-*")]) == ([], ["step-000000007"])
        monkeypatch.setattr("zoo.train.checkpoint.verify", counted)
        newest = shelf.newest(print)
        assert newest is not None
        assert (newest.path.name, sorted(hashed)) == ("last", ["last", "step-000000007"])

    @pytest.mark.parametrize("keep", [0, 1, 3])
    def test_keep_is_the_number_of_older_ones(self, training: MakeTraining, keep: int) -> None:
        one = training(train={"epochs": 3, "checkpoint": {"keep": keep}})
        run(one)
        assert one.folder is not None
        assert len(list(one.folder.checkpoints.glob("step-*"))) == min(keep, 2)


class TestFullDisk:
    @pytest.mark.parametrize("call", range(1, 10))
    def test_the_last_checkpoint_stays_and_there_is_no_debris(
        self, training: MakeTraining, monkeypatch: pytest.MonkeyPatch, call: int
    ) -> None:
        run(training(train={"epochs": 1}))
        again = training(train={"epochs": 2}, resume=True)
        assert again.folder is not None
        fsync, calls = os.fsync, 0

        def full(descriptor: int) -> None:
            nonlocal calls
            calls += 1
            if calls == call:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(EnvironmentFault, match="No space left") as caught:
                run(again)
        assert caught.value.exit_code == 6
        checkpoints = again.folder.checkpoints
        assert Shelf(checkpoints).newest(pytest.fail) is not None
        assert not list(checkpoints.glob(".*.tmp"))

    def test_a_real_limit(self, tmp_path: Path) -> None:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        a_checkpoint(tmp_path / "last")
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
            with pytest.raises(EnvironmentFault, match="File too large"):
                a_checkpoint(tmp_path / "next", big=torch.zeros(4096))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert [path.name for path in tmp_path.iterdir()] == ["last"]
        verify(tmp_path / "last")


def test_a_folder_without_checkpoints_has_none(folder: RunFolder) -> None:
    assert Shelf(folder.checkpoints).newest(pytest.fail) is None


def test_every_layout_comes_back_those_of_1x1_filters_too() -> None:
    """torch calls a 1x1 filter contiguous in either layout, and computes other last digits with it."""
    filters = torch.rand(8, 4, 1, 1)
    for strides in ((4, 1, 1, 1), (4, 1, 4, 4)):
        given = torch.empty_strided((8, 4, 1, 1), strides).copy_(filters)
        store = TensorStore()
        found = decode(encode(given, "filters", store), store.tensors, store.strides)
        assert found.stride() == given.stride()
        assert torch.equal(found, filters)


def test_a_dtype_among_an_optimizers_arguments_is_kept() -> None:
    store = TensorStore()
    assert decode(json.loads(json.dumps(encode({"a": torch.bfloat16}, "state", store))), {}, {}) == {
        "a": torch.bfloat16
    }
