"""What trackers are handed, and that none of them costs a training. TensorBoard's files are read back."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from zoo.cli.ranks import GRACE_SECONDS
from zoo.errors import StoppedBySignal
from zoo.events import EpochFinished, Event, Message, StepLogged, TrainingStarted
from zoo.trackers import Figures, Told, TrackedRun, Tracker, leaves
from zoo.train import RunFolder, TensorBoardFiles, Trackers, tracking
from zoo.train.tracking import kept_ids, outcome_figures

EPOCH = EpochFinished(1, 20, {"loss": 1.0, "accuracy": 0.6}, 0.05, 2.0, 900.0, test={"loss": 0.9, "accuracy": 0.7})


def started(step: int) -> TrainingStarted:
    return TrainingStarted(1.0, 20, 20, step, "cpu", "fp32")


def logged(step: int, loss: float) -> StepLogged:
    return StepLogged(1, step, 20, loss, 0.5, 0.1, 1000.0, 1.0, 1.0, group_lrs={"bias": (0.2, 0.3)})


def tracked(folder: Path, *trackers: Tracker, said: list[Event] | None = None) -> Trackers:
    run = TrackedRun("tiny", "tiny/0001", str(folder))
    return Trackers(trackers, run, RunFolder(folder), (said if said is not None else []).append)


class Recording(Tracker):
    """A tracker that notes what it is told, and fails where it is told to."""

    key, title = "recording", "Recording"

    def __init__(self, fails: str = "", told: tuple[Told, ...] = ()) -> None:
        self.calls: list[tuple[object, ...]] = []
        self._fails, self._told = fails, told

    def _call(self, name: str, *arguments: object) -> None:
        self.calls.append((name, *arguments))
        if name == self._fails:
            raise OSError(28, "No space left on device")

    def begin(self, run: TrackedRun) -> None:
        self._call("begin", run.start_step, run.kept)

    def write(self, figures: Figures) -> None:
        self._call("write", figures.step, figures.values)

    def finish(self, ending: str, figures: Figures) -> None:
        self._call("finish", ending, figures.step, figures.values)

    def heard(self) -> Iterator[Told]:
        told, self._told = self._told, ()
        return iter(told)

    def let_go(self) -> None:
        self.calls.append(("let go",))


def test_scalars_go_by_names_that_all_trackers_share(tmp_path: Path) -> None:
    recording = Recording()
    with tracked(tmp_path, recording) as trackers:
        for event in (started(0), logged(10, 1.5), EPOCH):
            trackers(event)
        test = {"accuracy": 0.7, "per_class": {"cat": 1.0}}
        trackers.finish({"test": test, "target": {"met": True}, "device": "cpu"})
    assert recording.calls == [
        ("begin", 0, None),
        ("write", 10, {"step/loss": 1.5, "step/accuracy": 0.5, "lr": 0.1, "lr/bias": 0.3}),
        (
            "write",
            20,
            {
                "train/loss": 1.0,
                "train/accuracy": 0.6,
                "test/loss": 0.9,
                "test/accuracy": 0.7,
                "images_per_second": 900.0,
            },
        ),
        ("finish", "finished", 20, {"result/test/accuracy": 0.7, "result/target/met": 1.0}),
        ("let go",),
    ]


@pytest.mark.parametrize("fails", ["begin", "write", "finish"])
def test_one_that_fails_is_told_of_once_and_let_go(fails: str, tmp_path: Path) -> None:
    failing, other, said = Recording(fails), Recording(), []
    with tracked(tmp_path, failing, other, said=said) as trackers:
        for event in (started(0), logged(10, 1.5), logged(20, 1.25)):
            trackers(event)
        trackers.finish({})
    assert [call[0] for call in other.calls] == ["begin", "write", "write", "finish", "let go"]
    assert [call[0] for call in failing.calls].count(fails) == 1
    assert failing.calls[-1] == ("let go",)
    text = "Recording: OSError: [Errno 28] No space left on device; the training goes on without it"
    assert said == [Message("warning", text)]


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (StoppedBySignal("stopped by SIGTERM", signal_number=15), "stopped"),
        (KeyboardInterrupt(), "stopped"),
        (ValueError("a bug"), "failed"),
    ],
)
def test_it_is_said_how_a_run_ended(error: BaseException, ending: str, tmp_path: Path) -> None:
    recording = Recording()
    trackers = tracked(tmp_path, recording)
    trackers(started(0))
    trackers(logged(10, 1.5))
    with pytest.raises(type(error)), trackers:
        raise error
    assert recording.calls[-2] == ("finish", ending, 10, {})


class Slow(Recording):
    """A tracker that takes its time to close a run; a signal may come meanwhile."""

    def __init__(self, seconds: float, number: signal.Signals | None = None) -> None:
        super().__init__()
        self._until = time.monotonic() + seconds
        self._number = number

    @property
    def is_closed(self) -> bool:
        if self._number is not None:
            number, self._number = self._number, None
            signal.raise_signal(number)
        return time.monotonic() > self._until


@pytest.mark.parametrize("first", ["slow", "quick"])
def test_all_are_waited_for_at_once_and_each_is_judged_by_itself(
    first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_SECONDS", {"finished": 0.5})
    slow, quick, said = Slow(60), Slow(0.2), []
    with tracked(tmp_path, *((slow, quick) if first == "slow" else (quick, slow)), said=said) as trackers:
        trackers(started(0))
        trackers.finish({})
    (warning,) = said
    assert isinstance(warning, Message)
    assert "the run is not closed yet" in warning.text
    assert slow.calls[-1] == quick.calls[-1] == ("let go",)


def test_a_signal_ends_the_waiting_and_is_passed_on(tmp_path: Path) -> None:
    slow, said = Slow(60, signal.SIGINT), []
    begun = time.monotonic()
    trackers = tracked(tmp_path, slow, said=said)
    trackers(started(0))
    trackers.finish({})
    with pytest.raises(KeyboardInterrupt), trackers:
        pass
    assert time.monotonic() - begun < 10
    assert slow.calls[-2:] == [("finish", "finished", 0, {}), ("let go",)]
    (warning,) = said
    assert isinstance(warning, Message)
    assert "the run is not closed yet" in warning.text


def test_a_rank_does_not_wait_until_it_is_taken_to_hang() -> None:
    assert tracking._SECONDS["failed"] < GRACE_SECONDS


def test_ids_that_cannot_be_kept_cost_a_line(tmp_path: Path) -> None:
    (tmp_path / "trackers.json").mkdir()
    told, said = Recording(told=(Told(run="abc"),)), []
    with tracked(tmp_path, told, said=said) as trackers:
        trackers(started(0))
        trackers(logged(10, 1.5))
        trackers.finish({})
    (warning,) = said
    assert isinstance(warning, Message)
    assert warning.text.endswith("a resume will begin another run there")
    assert [call[0] for call in told.calls] == ["begin", "write", "finish", "let go"]


def test_a_run_keeps_the_ids_that_it_has_elsewhere(tmp_path: Path) -> None:
    said: list[Event] = []
    with tracked(tmp_path, Recording(told=(Told(run="abc"), Told("it is there"))), said=said) as trackers:
        trackers(started(0))
        trackers.finish({})
    assert kept_ids(tmp_path) == {"recording": "abc"}
    assert said == [Message("info", "Recording: it is there")]
    again = Recording()
    with tracked(tmp_path, again) as trackers:
        trackers(started(5))
        trackers.finish({})
    assert again.calls[0] == ("begin", 5, "abc")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"wandb": 3}', "\xff", "[" * 100_000], ids=["empty", "list", "number", "no text", "deep"]
)
def test_a_damaged_file_of_ids_keeps_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "trackers.json").write_text(text, encoding="latin-1")
    assert kept_ids(tmp_path) == {}


def test_leaves_of_nested_data() -> None:
    data = {"a": {"b": [1, 2], "c": []}, "d": [{"e": None}, "f"], "g": {}}
    found = [("a.b", [1, 2]), ("a.c", []), ("d.0.e", None), ("d.1", "f"), ("g", {})]
    assert list(leaves(data, ".")) == found
    assert outcome_figures({"a": None, "b": {"c": 2}}) == {"result/b/c": 2.0}


# ── TensorBoard ──────────────────────────────────────────────────────────────────────────────────────────────────


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder / "tensorboard")).Reload()
    return [(event.step, pytest.approx(event.value)) for event in events.Scalars(name)]


def write_files(folder: Path, *events: Event) -> None:
    pytest.importorskip("tensorboard")
    with tracked(folder, TensorBoardFiles()) as trackers:
        for event in events:
            trackers(event)
        trackers.finish({})


def test_scalars_stand_against_steps(tmp_path: Path) -> None:
    write_files(tmp_path, started(0), logged(10, 1.5), EPOCH)
    assert scalars(tmp_path, "step/loss") == [(10, 1.5)]
    assert scalars(tmp_path, "lr") == [(10, 0.1)]
    assert scalars(tmp_path, "test/accuracy") == [(20, 0.7)]


def test_a_resume_purges_what_lies_beyond_its_checkpoint(tmp_path: Path) -> None:
    write_files(tmp_path, started(0), logged(5, 2.0), logged(10, 1.5))
    write_files(tmp_path, started(5), logged(10, 1.25))
    assert scalars(tmp_path, "step/loss") == [(5, 2.0), (10, 1.25)]


def test_a_resume_from_the_beginning_purges_everything(tmp_path: Path) -> None:
    for loss in (2.0, 1.5):
        write_files(tmp_path, started(0), logged(5, loss))
    assert scalars(tmp_path, "step/loss") == [(5, 1.5)]


def test_a_folder_that_cannot_be_written_costs_no_training(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "tensorboard").write_text("a file is in its place")
    said: list[Event] = []
    with tracked(tmp_path, TensorBoardFiles(), said=said) as trackers:
        trackers(started(0))
        trackers(logged(5, 2.0))
        trackers.finish({})
    assert len(said) == 1
    assert json.dumps(str(said[0])).count("the training goes on without it") == 1
