"""A disk that is full, a folder that is gone; files whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from zoo.cli.failures import as_zoo_error
from zoo.disk import disk_faults, draft_of, read_mapping, write_atomically
from zoo.errors import EnvironmentFault


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    write_atomically(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFault, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_text_is_utf_8_and_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    write_atomically(tmp_path / "text", "§\r\n")
    write_atomically(tmp_path / "bytes", b"\x00\xff\r\n")
    assert (tmp_path / "text").read_bytes() == b"\xc2\xa7\r\n"
    assert (tmp_path / "bytes").read_bytes() == b"\x00\xff\r\n"


def test_a_refusal_names_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "net.svg"
    with pytest.raises(EnvironmentFault) as caught:
        write_atomically(path, "x")
    assert caught.value.message == f"cannot write {path}: No such file or directory"
    with pytest.raises(EnvironmentFault) as caught, disk_faults(tmp_path):
        (draft_of(tmp_path / "last") / "model.safetensors").touch()
    assert caught.value.message == f"cannot write {tmp_path}/last/model.safetensors: No such file or directory"
    with pytest.raises(EnvironmentFault, match=r"/\.1\.tmp: No such file"), disk_faults(tmp_path):
        (tmp_path / "gone" / ".1.tmp").touch()  # no draft of ours


def test_a_refusal_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"gone/file: No such file") as caught, disk_faults(tmp_path):
        (tmp_path / "gone" / "file").touch()
    with pytest.raises(EnvironmentFault, match=rf"^cannot write {tmp_path}: Is a directory"):
        write_atomically(tmp_path, "")  # not its draft
    assert (caught.value.code, caught.value.exit_code) == ("disk", 6)


@pytest.mark.parametrize(
    ("number", "help"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EACCES, "who may read and write"),
        (errno.EEXIST, "a file stands where a folder"),
        (errno.ENOTDIR, "a part of the path is a file"),
        (errno.EISDIR, "a folder stands where a file"),
    ],
)
def test_the_advice_is_that_of_the_refusal(number: int, help: str, tmp_path: Path) -> None:
    refusal = OSError(number, os.strerror(number), "there")
    with pytest.raises(EnvironmentFault) as caught, disk_faults(tmp_path):
        raise refusal
    assert help in (caught.value.help or "")
    assert as_zoo_error(refusal).help == caught.value.help  # the command line's for what no one else caught


def test_a_refusal_without_a_known_reason_has_a_way_out_too(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault) as caught, disk_faults(tmp_path):
        raise OSError("no reason")
    assert caught.value.help == "write to another folder"


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"[1]", b"{", b"[" * 100_000, b"null"])
def test_a_damaged_mapping_is_an_empty_one(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "env.json").write_bytes(content)
    assert read_mapping(tmp_path / "env.json") == {}


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "env.json")
    assert read_mapping(tmp_path / "env.json") == {}
