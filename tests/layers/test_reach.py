"""Pretrained weights without a network, with a cache, and from a mirror; the servers are real ones on this machine."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from zoo.errors import EnvironmentFault
from zoo.layers.foreign import build_foreign

NAME, REPOSITORY, COMMIT = "test_resnet", "timm/test_resnet.r160_in1k", "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    torch.manual_seed(7)
    save_file(build_foreign("timm", NAME).state_dict(), path)
    return path


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of Hugging Face's, and torch.hub's."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "hub"


@pytest.fixture
def silence() -> Iterator[str]:
    """The address of a server that takes a call and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def ask_at(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``HF_ENDPOINT`` does, which the client reads once, when it is imported."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.mark.slow
def test_a_hub_that_does_not_answer_is_told_within_seconds(
    hub: Path, silence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_at(silence, monkeypatch)
    before = time.perf_counter()
    with pytest.raises(EnvironmentFault, match=r"cannot be reached, and the cache at .* has none"):
        build_foreign("timm", NAME, pretrained=True)
    assert time.perf_counter() - before < 15  # the client's own six attempts a file take minutes
    from huggingface_hub import constants

    assert not constants.HF_HUB_OFFLINE


@pytest.mark.parametrize("offline", [False, True])
def test_a_cached_file_is_loaded_without_a_network(
    hub: Path, weights: Path, silence: str, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    ask_at(silence, monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    folder = hub / f"models--{REPOSITORY.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    (folder / "snapshots" / COMMIT / "model.safetensors").write_bytes(weights.read_bytes())
    assert_loaded(weights)
    assert offline is constants.HF_HUB_OFFLINE


def test_a_mirror_is_asked(hub: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = weights.read_bytes()

    class Mirror(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            found = self.path == f"/{REPOSITORY}/resolve/main/model.safetensors"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(content) if found else 0))
            if found:
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ask_at(f"http://127.0.0.1:{server.server_port}", monkeypatch)
        assert_loaded(weights)
        server.shutdown()


def test_torchvision_says_so_too(hub: Path, silence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo.layers.reach import require_reach

    with pytest.raises(OSError, match="cannot be reached"):
        require_reach(f"{silence}/resnet18-f37072fd.pth")
    cached = Path(torch.hub.get_dir()) / "checkpoints" / "resnet18-f37072fd.pth"
    cached.parent.mkdir(parents=True)
    cached.touch()
    require_reach(f"{silence}/resnet18-f37072fd.pth")


def assert_loaded(weights: Path) -> None:
    from safetensors.torch import load_file

    expected, found = load_file(weights), build_foreign("timm", NAME, pretrained=True).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    control = build_foreign("timm", NAME).state_dict()  # fresh weights are others
    assert not all(torch.equal(control[name], tensor) for name, tensor in expected.items())
