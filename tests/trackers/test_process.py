"""A tracker's process beside the one that trains: what it cannot write for a while, and how it ends."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.trackers.processes import are_alive, until
from zoo.trackers import CLOSING_SECONDS, Ending, Figures, Told, TrackedRun, TrackerProcess
from zoo.trackers.serving import Scribe, without_secrets
from zoo.trackers.tracker import Say


def test_what_cannot_be_written_for_a_while_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("mlflow") is None:
        pytest.skip("mlflow is not installed")
    store, away = tmp_path / "store", tmp_path / "away"
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.as_uri())
    told: list[Told] = []
    tracker = TrackerProcess("mlflow", "MLflow")
    tracker.begin(TrackedRun("tiny", "tiny/0001", str(tmp_path)))
    until(lambda: told.extend(tracker.heard()) or any(each.run for each in told))
    store.rename(away)
    store.write_text("a file is in its place")
    tracker.write(Figures(1, {"step/loss": 3.0}))
    until(lambda: told.extend(tracker.heard()) or any(each.level == "warning" for each in told))
    tracker.write(Figures(2, {"step/loss": 2.0}))
    time.sleep(0.5)
    store.unlink()
    away.rename(store)
    tracker.write(Figures(3, {"step/loss": 1.0}))
    tracker.finish("finished", Figures(3, {}))
    until(lambda: told.extend(tracker.heard()) or tracker.is_closed)
    (warning,) = (each.text for each in told if each.level == "warning")
    assert warning.endswith("the training goes on, and what is missing is tried again")
    (history,) = store.glob("*/*/metrics/step/loss")
    assert [line.split()[1:] for line in history.read_text().splitlines()] == [["3.0", "1"], ["2.0", "2"], ["1.0", "3"]]


def test_writing_never_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a pipe holds goes to a process that is still importing its library, and is then let go of."""
    monkeypatch.chdir(tmp_path)
    tracker = TrackerProcess("wandb", "W&B")
    tracker.begin(TrackedRun("tiny", "tiny/0001", str(tmp_path)))
    begun = time.monotonic()
    for step in range(3000):
        tracker.write(Figures(step, {"step/loss": 1.0, "x" * 100: 2.0}))
    assert time.monotonic() - begun < 5
    assert tracker._process is not None
    process = {tracker._process.pid}
    tracker.let_go()
    tracker.let_go()  # a second time is nothing
    until(lambda: not are_alive(process), CLOSING_SECONDS + 20)


def test_one_whose_library_is_missing_says_so_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "__init__.py").write_text("raise ImportError('broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    tracker = TrackerProcess("wandb", "W&B")
    tracker.begin(TrackedRun("tiny", "tiny/0001", str(tmp_path)))
    assert tracker._process is not None
    children = {tracker._process.pid}
    told: list[Told] = []
    until(lambda: told.extend(tracker.heard()) or told)
    assert told == [Told("ImportError: broken; the training goes on without it", "warning")]
    until(lambda: not are_alive(children))
    for step in range(100):
        tracker.write(Figures(step, {"step/loss": 1.0}))
    tracker.finish("finished", Figures(100, {}))
    # Its first thread is gone when `are_alive` says so; its end of the pipe closes with the last of them.
    told.clear()
    until(lambda: told.extend(tracker.heard()) or tracker.is_closed)
    assert told == []
    assert not tracker._unsent  # what nobody will ever read is not kept
    tracker.let_go()


def test_one_that_is_killed_is_told_of_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tracker = TrackerProcess("wandb", "W&B")
    tracker.begin(TrackedRun("tiny", "tiny/0001", str(tmp_path)))
    assert tracker._process is not None
    tracker._process.kill()
    told: list[Told] = []
    until(lambda: told.extend(tracker.heard()) or told)
    assert told == [Told("its process was ended by SIGKILL; the training goes on without it", "warning")]
    assert list(tracker.heard()) == []


class Noting:
    """A backend that notes what it is handed."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def begin(self, run: TrackedRun, say: Say) -> str:
        return "id"

    def write(self, lines: Sequence[Figures]) -> None:
        self.calls += [(line.step, line.values) for line in lines]

    def finish(self, ending: Ending, figures: Figures) -> None:
        self.calls.append((ending, figures.values))


def test_what_a_training_sent_before_it_ended_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [
        {"begin": {"recipe": "tiny", "name": "tiny/0001", "folder": "."}},
        *({"figures": {"step": step, "values": {"loss": 1.0}, "at": 0.0}} for step in range(120)),
        {"ending": "finished", "figures": {"step": 120, "values": {"result": 1.0}, "at": 0.0}},
    ]
    (reads, writes), (hears, tells) = os.pipe(), os.pipe()
    os.write(writes, b"".join(json.dumps(message).encode() + b"\n" for message in messages))
    parents = iter([1, 2])
    monkeypatch.setattr(os, "getppid", lambda: next(parents, 2))  # the parent ends at once, its worker holds the pipe
    Scribe(noting := Noting(), reads, tells).serve()
    assert noting.calls == [*((step, {"loss": 1.0}) for step in range(120)), ("finished", {"result": 1.0})]
    assert os.read(hears, 1000) == b'{"run": "id"}\n'
    for end in (reads, writes, hears, tells):
        os.close(end)


def test_what_a_process_says_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pa55word")
    monkeypatch.setenv("WANDB_API_KEY", "")
    said = without_secrets("to http://me:secret@host:1/api?token=abc failed: pa55word is wrong; ftp://u:p@q@h, a@b")
    assert said == "to http://***@host:1/api?*** failed: *** is wrong; ftp://***@h, a@b"


def test_nothing_in_the_working_folder_is_taken_for_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)  # which may mean it
    for name in ("zoo", "json", "wandb"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not meant')")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    tracker = TrackerProcess("wandb", "W&B")
    tracker.begin(TrackedRun("tiny", "tiny/0001", str(tmp_path)))
    told: list[Told] = []
    until(lambda: told.extend(tracker.heard()) or told)
    assert told[0] == Told("nothing is kept, as W&B's settings say")
    tracker.let_go()
