"""What env.json says of git: zoo's own checkout apart from the user's repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from zoo.assemble import environment as module
from zoo.assemble.environment import environment


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's repository, the working folder, with a file that belongs to it and one that only lies there."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "mine.py").touch()
    git(tmp_path, "add", "mine.py")
    git(tmp_path, "commit", "--quiet", "--message", "First")
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "environment.py").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def facts() -> dict[str, object]:
    return environment(device=torch.device("cpu"), seed=0, fingerprint="")


def test_the_users_commit_is_not_zoos(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "__file__", str(repository / "site-packages" / "environment.py"))
    commit = git(repository, "rev-parse", "HEAD")
    assert (facts()["git"], facts()["git_of_working_folder"]) == (None, {"commit": commit, "dirty": False})


def test_a_checkouts_commit_is(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "__file__", str(repository / "mine.py"))
    commit = git(repository, "rev-parse", "HEAD")
    assert (facts()["git"], facts()["git_of_working_folder"]) == ({"commit": commit, "dirty": False}, None)
