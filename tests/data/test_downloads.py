"""Data that are not there: fetched whole from a server of our own, or told to be missing."""

from __future__ import annotations

import errno
import hashlib
import http.server
import io
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.filesize import decimal

from tests.data.data_world import Pictures, opened, section
from tests.data.test_sources import CIFAR, python_tar
from zoo import net
from zoo.data import open_dataset
from zoo.data.download import Remote
from zoo.data.sources import cifar
from zoo.errors import DataError, EnvironmentFault


def test_no_data_and_no_network(lonely: Path) -> None:
    began = time.monotonic()
    with pytest.raises(DataError) as caught:
        opened(CIFAR, lonely / "given")
    assert time.monotonic() - began < 5
    error = caught.value
    assert error.exit_code == 3
    told = "\n".join(note.message for note in error.notes)
    for place in ("given", "data", "cache/zoo/data"):
        assert str(lonely / place) in told
    assert "cifar-10-python.tar.gz" in (error.help or "")
    assert "zoo run quickstart" in (error.help or "")
    assert not list(lonely.rglob("*.partial"))


def test_a_name_server_that_hangs_is_not_waited_for(lonely: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: time.sleep(2))
    began = time.monotonic()
    with pytest.raises(DataError, match=r"no answer in 0\.2 s"):
        opened(CIFAR)
    assert time.monotonic() - began < 2


@pytest.fixture
def server(lonely: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A web server of ours in place of the official one; what lies in the folder is served."""
    served = lonely / "served"
    served.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(served))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None: ...

        def copyfile(self, source: io.BufferedIOBase, outputfile: io.BufferedIOBase) -> None:
            data = source.read()
            outputfile.write(data[: len(data) // 2] if (served / "cut").exists() else data)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setenv("ZOO_DATA_MIRROR", f"http://127.0.0.1:{running.server_port}/")
        yield served
        running.shutdown()


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch, server: Path, pictures: Pictures) -> Path:
    """A small CIFAR-10 on the server, its checksum the one expected."""
    python_tar(server, pictures)
    path = server / "cifar-10-python.tar.gz"
    known = cifar._CIFAR10_SET
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(vars(known), "remotes", (Remote(known.remotes[0].url, digest),))
    return path


def test_download_and_next_time_from_the_cache(
    remote: Path, lonely: Path, pictures: Pictures, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = opened(CIFAR)
    np.testing.assert_array_equal(dataset.train.images, pictures.train_images)
    size = decimal(remote.stat().st_size)
    target = lonely / "cache" / "zoo" / "data" / "cifar10" / remote.name
    address = f"{os.environ['ZOO_DATA_MIRROR']}{remote.name}"
    assert capsys.readouterr() == ("", f"downloading {target}, {size}, from {address}\n")
    remote.unlink()
    assert opened(CIFAR).fingerprint == dataset.fingerprint
    assert capsys.readouterr() == ("", "")
    kept = [path for path in (lonely / "cache").rglob("*") if path.is_file()]
    assert [path.name for path in kept] == ["cifar-10-python.tar.gz"]


def test_a_download_shows_how_far_it_is_on_a_terminal(remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen, terminal = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(terminal, "w", encoding="utf-8") as stderr, monkeypatch.context() as patch:
        patch.setattr("sys.stderr", stderr)
        opened(CIFAR)
        shown = os.read(screen, 1 << 16).decode()
    os.close(screen)
    assert shown.startswith("downloading ")
    assert re.search(r"(\d+\.\d)/\1 .B", shown)  # all of it has come


def test_a_quiet_download_still_says_what_comes(remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen, terminal = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(terminal, "w", encoding="utf-8") as stderr, monkeypatch.context() as patch:
        patch.setattr("sys.stderr", stderr)
        open_dataset(section(CIFAR), quiet=True)
        shown = os.read(screen, 1 << 16).decode()
    os.close(screen)
    assert re.fullmatch(r"downloading \S+, \S+ .B, from \S+\r\n", shown)  # and no bar


@pytest.mark.parametrize("fault", ["altered", "cut off", "missing"])
def test_a_bad_download_is_never_promoted(fault: str, remote: Path, lonely: Path) -> None:
    if fault == "altered":
        data = bytearray(remote.read_bytes())
        data[500] ^= 1
        remote.write_bytes(bytes(data))
    elif fault == "cut off":
        (remote.parent / "cut").touch()
    else:
        remote.unlink()
    with pytest.raises(DataError) as caught:
        opened(CIFAR)
    assert caught.value.exit_code == 3
    assert {"altered": "altered", "cut off": "cut off", "missing": "HTTP Error 404"}[fault] in caught.value.message
    assert [path for path in (lonely / "cache").rglob("*") if path.is_file()] == []


def test_a_full_disk_is_told_with_the_way_out(remote: Path, lonely: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EnvironmentFault) as caught:
        opened(CIFAR)
    assert caught.value.code == "disk"
    assert caught.value.help == "free some space, or write to another folder"
    assert [path for path in (lonely / "cache").rglob("*") if path.is_file()] == []
