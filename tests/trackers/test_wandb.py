"""Runs in W&B, offline but real: the records that it wrote are read back."""

from __future__ import annotations

import json
import signal
import struct
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.trackers.conftest import Zoo
from tests.trackers.processes import (
    are_alive,
    below,
    closed_port,
    deaf_server,
    ended,
    is_training,
    training,
    until,
)
from zoo.trackers import CLOSING_SECONDS

if find_spec("wandb") is None:
    pytest.skip("wandb is not installed", allow_module_level=True)

TRACKED = ("--set", "tracking.wandb=true")
RUN = Path("runs/tiny/0001")
KEY = "0" * 40  # has the form of a key; nobody's


def blocks(data: bytes) -> Iterator[bytes]:
    """The records of a .wandb file: LevelDB's log format behind 7 bytes of W&B's own."""
    at, part = 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:  # padding
            at += left
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        part += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield part
            part = b""


def records(file: Path, kind: str) -> list[Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    found = (Record.FromString(block) for block in blocks(file.read_bytes()))
    return [getattr(record, kind) for record in found if record.WhichOneof("record_type") == kind]


def values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def offline_files(folder: Path = RUN) -> list[Path]:
    return sorted(folder.glob("wandb/offline-run-*/*.wandb"))


def test_where_nobody_is_logged_in_a_run_is_kept_offline(recipe: Path, zoo: Zoo) -> None:
    outcome = zoo("run", recipe, *TRACKED, "--json")
    assert outcome.status == 0, outcome.err
    result = json.loads(outcome.out)  # nothing else is on stdout
    (file,) = offline_files()
    assert f"W&B: offline (nobody is logged in); `wandb sync {file.parent}` uploads the run" in outcome.err
    assert "wandb: " not in outcome.err
    (run,) = records(file, "run")
    assert (run.project, run.display_name) == ("zoo", "tiny/0001")
    assert json.loads((RUN / "trackers.json").read_text()) == {"wandb": run.run_id}
    config = {}
    for each in records(file, "config"):
        config |= values(each.update)
    assert config["optimizer"]["lr"] == 0.1
    assert config["train"]["grad_clip"] is None
    history = [values(each.item) for each in records(file, "history")]
    lines = [json.loads(line) for line in (RUN / "steps.jsonl").read_text().splitlines()]
    found = [(each["_step"], each["step/loss"], each["lr"]) for each in history if "step/loss" in each]
    assert found == [(line["step"], line["loss"], line["lr"]) for line in lines]
    assert [(each["_step"], each["test/accuracy"]) for each in history if "test/accuracy" in each] == [
        (result["steps"], result["test"]["accuracy"])
    ]
    summary: dict[str, Any] = {}
    for each in records(file, "summary"):
        summary |= values(each.update)
    assert summary["result/test/accuracy"] == result["test"]["accuracy"]
    assert [each.exit_code for each in records(file, "exit")] == [0]


def test_a_resumed_run_is_the_same_run(recipe: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    assert zoo("run", recipe, *TRACKED).status == 0
    outcome = zoo("run", recipe, *TRACKED, "--resume", "--epochs", "2")
    assert outcome.status == 0, outcome.err
    assert "W&B: offline (as W&B's settings say)" in outcome.err
    files = offline_files()
    ran = [run for file in files for run in records(file, "run")]
    assert len(files) == 2
    assert len({run.run_id for run in ran}) == 1
    assert {run.project for run in ran} == {"mine"}
    steps = [[values(each.item)["_step"] for each in records(file, "history")] for file in files]
    assert max(steps[0]) < min(steps[1])


def test_it_can_be_switched_off(recipe: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    outcome = zoo("run", recipe, *TRACKED)
    assert outcome.status == 0
    assert "W&B: nothing is kept, as W&B's settings say" in outcome.err
    assert offline_files() == []


def test_a_run_goes_offline_where_its_server_is_not_there(
    recipe: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "2")
    monkeypatch.setenv("WANDB_BASE_URL", closed_port())
    outcome = zoo("run", recipe, *TRACKED)
    assert outcome.status == 0
    assert "W&B: offline (CommError: " in outcome.err
    assert KEY not in outcome.err
    (file,) = offline_files()
    assert [each.exit_code for each in records(file, "exit")] == [0]


def test_where_it_has_to_be_online_a_server_that_is_not_there_costs_a_line(
    recipe: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    outcome = zoo("run", recipe, *TRACKED, "--quiet")
    assert outcome.status == 0
    (line,) = (line for line in outcome.err.splitlines() if "W&B" in line)
    assert line.startswith("warning: W&B: UsageError: No API key configured")
    assert line.endswith("; the training goes on without it")
    assert (RUN / "result.json").is_file()


@pytest.mark.slow
def test_a_run_that_is_stopped_is_closed_as_such(recipe: Path) -> None:
    with training(recipe, *TRACKED) as process:
        until(lambda: is_training(RUN) and (RUN / "trackers.json").is_file())
        code, seconds, said = ended(process, signal.SIGINT)
    assert code == 130, said
    assert seconds < 20, said
    (file,) = offline_files()
    until(lambda: [each.exit_code for each in records(file, "exit")] == [255])


@pytest.mark.slow
def test_a_run_that_dies_leaves_no_process_behind(recipe: Path) -> None:
    if not Path("/proc").is_dir():
        pytest.skip("the processes are looked for in /proc")
    with training(recipe, *TRACKED) as process:
        until(lambda: is_training(RUN) and (RUN / "trackers.json").is_file())
        children = below(process.pid)
        assert len(children) >= 2  # the one that writes, and W&B's own
        process.send_signal(signal.SIGKILL)
        until(lambda: not are_alive(children), 20)
    (file,) = offline_files()
    assert [each.exit_code for each in records(file, "exit")] == [255]


@pytest.mark.slow
def test_nobody_waits_for_a_server_that_does_not_answer(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with deaf_server() as address:
        monkeypatch.setenv("WANDB_BASE_URL", address)
        with training(recipe, *TRACKED) as process:
            until(lambda: is_training(RUN))
            children = below(process.pid)
            code, seconds, said = ended(process, signal.SIGTERM)
            assert code == 143
            assert seconds < 20
            assert "warning: W&B: the run is not closed yet" in said
            until(lambda: not are_alive(children), CLOSING_SECONDS + 20)
