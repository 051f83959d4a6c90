"""Runs in MLflow, real ones, read back with its client."""

from __future__ import annotations

import json
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.trackers.conftest import Zoo
from tests.trackers.processes import closed_port, deaf_server, ended, is_training, training, until
from zoo.trackers.mlflow import has_mlflow, key_of, text_of

if find_spec("mlflow") is None:
    pytest.skip("mlflow is not installed", allow_module_level=True)

TRACKED = ("--set", "tracking.mlflow=true")
RUN = Path("runs/tiny/0001")


@pytest.fixture
def store(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of files, which takes no database."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri := (recipe.parent / "store").as_uri())
    return uri


def client(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri)


def runs_of(uri: str, experiment: str = "tiny") -> Any:
    found = client(uri).get_experiment_by_name(experiment)
    return client(uri).search_runs([found.experiment_id])


def the_run(uri: str, experiment: str = "tiny") -> Any:
    """The only run of an experiment."""
    (run,) = runs_of(uri, experiment)
    return run


def test_a_run_stands_in_mlflow_with_its_recipe_its_figures_and_its_outcome(recipe: Path, store: str, zoo: Zoo) -> None:
    outcome = zoo("run", recipe, *TRACKED, "--json")
    assert outcome.status == 0, outcome.err
    result = json.loads(outcome.out)  # nothing else is on stdout
    run = the_run(store)
    assert f"MLflow: the run is {run.info.run_id} in file://" in outcome.err
    assert json.loads((RUN / "trackers.json").read_text()) == {"mlflow": run.info.run_id}
    assert (run.info.run_name, run.info.status) == ("tiny/0001", "FINISHED")
    params = {"optimizer.lr": "0.1", "schedule.max_lr": "0.2", "train.grad_clip": "null", "tracking.mlflow": "true"}
    assert params.items() <= run.data.params.items()
    assert run.data.metrics["result/test/accuracy"] == result["test"]["accuracy"]
    assert run.data.tags["zoo.run_folder"] == str(RUN)
    lines = [json.loads(line) for line in (RUN / "steps.jsonl").read_text().splitlines()]
    for name, key in (("step/loss", "loss"), ("lr", "lr")):
        history = client(store).get_metric_history(run.info.run_id, name)
        assert [(metric.step, metric.value) for metric in history] == [(line["step"], line[key]) for line in lines]
    (tested,) = client(store).get_metric_history(run.info.run_id, "test/accuracy")
    assert (tested.step, tested.value) == (result["steps"], result["test"]["accuracy"])


def test_a_resumed_run_is_the_same_run(recipe: Path, store: str, zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    assert zoo("run", recipe, *TRACKED).status == 0
    first = the_run(store, "mine")
    outcome = zoo("run", recipe, *TRACKED, "--resume", "--epochs", "2")
    assert outcome.status == 0, outcome.err
    run = the_run(store, "mine")
    assert run.info.run_id == first.info.run_id
    assert run.info.status == "FINISHED"
    history = client(store).get_metric_history(run.info.run_id, "train/loss")
    lines = [json.loads(line) for line in (RUN / "metrics.jsonl").read_text().splitlines()]
    written = [(line["step"], line["train"]["loss"]) for line in lines]
    assert [(metric.step, metric.value) for metric in history] == written
    assert len(history) == 2
    assert (run.data.params["train.epochs"], run.data.tags["train.epochs"]) == ("1", "2")  # params never change


def test_a_run_that_the_store_has_no_more_begins_there_anew(recipe: Path, store: str, zoo: Zoo) -> None:
    assert zoo("run", recipe, *TRACKED).status == 0
    first = the_run(store)
    client(store).delete_run(first.info.run_id)
    assert zoo("run", recipe, *TRACKED, "--resume", "--epochs", "2").status == 0
    assert the_run(store).info.run_id != first.info.run_id


def test_a_run_that_diverges_is_marked_as_failed(recipe: Path, store: str, zoo: Zoo) -> None:
    assert zoo("run", recipe, *TRACKED, "--set", "schedule=null", "--set", "optimizer.lr=1e30").status == 5
    assert the_run(store).info.status == "FAILED"


@pytest.mark.skipif(find_spec("sqlalchemy") is None, reason="sqlalchemy is not installed")
@pytest.mark.slow
def test_without_an_address_a_run_goes_where_mlflow_keeps_its_own(recipe: Path, zoo: Zoo) -> None:
    outcome = zoo("run", recipe, *TRACKED)
    assert outcome.status == 0, outcome.err
    run = the_run(uri := f"sqlite:///{recipe.parent}/mlflow.db")
    assert f"MLflow: the run is {run.info.run_id} in {uri}" in outcome.err
    assert run.info.status == "FINISHED"
    assert client(uri).get_metric_history(run.info.run_id, "test/loss")


@pytest.mark.skipif(find_spec("sqlalchemy") is None, reason="sqlalchemy is not installed")
@pytest.mark.slow
def test_a_store_that_is_being_made_is_not_broken_by_a_stop_or_by_another_run(recipe: Path) -> None:
    with training(recipe, *TRACKED) as one, training(recipe, *TRACKED) as other:
        until(lambda: Path("mlflow.db").exists())
        code, seconds, said = ended(one, signal.SIGTERM)
        assert code == 143, said
        assert seconds < 20, said
        runs = [RUN, RUN.with_name("0002")]
        until(lambda: any((run / "trackers.json").is_file() for run in runs), 60)
        assert "the training goes on without it" not in ended(other, signal.SIGTERM)[2]
    until(lambda: [run.info.status for run in runs_of(f"sqlite:///{recipe.parent}/mlflow.db")] == ["KILLED"] * 2)


def test_an_address_that_is_none_costs_a_line(recipe: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://[bad")
    outcome = zoo("run", recipe, *TRACKED, "--quiet")
    assert outcome.status == 0
    assert "warning: MLflow: " in outcome.err


def test_a_server_that_is_not_there_costs_a_line(recipe: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", closed_port().replace("//", "//me:secret@"))
    outcome = zoo("run", recipe, *TRACKED, "--quiet")
    assert outcome.status == 0
    assert "secret" not in outcome.err
    (line,) = (line for line in outcome.err.splitlines() if "MLflow" in line)
    assert line.startswith("warning: MLflow: MlflowException: API request to ")
    assert line.endswith("the training goes on without it")
    assert (RUN / "result.json").is_file()


@pytest.mark.slow
def test_a_run_that_is_stopped_is_marked_as_killed(recipe: Path, store: str) -> None:
    with training(recipe, *TRACKED) as process:
        until(lambda: is_training(RUN) and (RUN / "trackers.json").is_file())
        code, seconds, said = ended(process, signal.SIGTERM)
    assert code == 143, said
    assert seconds < 20, said
    until(lambda: the_run(store).info.status == "KILLED")


@pytest.mark.slow
def test_a_run_that_dies_is_marked_as_killed(recipe: Path, store: str) -> None:
    with training(recipe, *TRACKED) as process:
        until(lambda: is_training(RUN) and (RUN / "trackers.json").is_file())
        assert the_run(store).info.status == "RUNNING"
        assert ended(process, signal.SIGKILL)[0] == -signal.SIGKILL
        until(lambda: the_run(store).info.status == "KILLED", 20)


@pytest.mark.slow
def test_nobody_waits_for_a_server_that_does_not_answer(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with deaf_server() as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with training(recipe, *TRACKED) as process:
            until(lambda: is_training(RUN))
            code, seconds, said = ended(process, signal.SIGTERM)
    assert code == 143
    assert seconds < 20
    assert "warning: MLflow: the run is not closed yet" in said


def test_a_database_is_needed_by_none_but_a_store_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    assert not has_mlflow()
    for uri in ("http://127.0.0.1:1", "databricks", "file:///store", "http://[bad"):  # servers have their own database
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert has_mlflow()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+psycopg://host/db")
    assert not has_mlflow()


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("lr/optimizer.0 *.bias", "lr/optimizer.0 _.bias"),
        ("a//../b", "a/_/_/b"),
        ("ä{1}", "ä_1_"),
        ("x" * 300, "x" * 250),
    ],
)
def test_any_name_becomes_one_that_mlflow_takes(name: str, key: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    assert key_of(name) == key
    _validate_metric_name(key_of(name))


def test_values_of_params_are_short_and_plain() -> None:
    assert [text_of(value) for value in (None, True, 0.1, [1, 2], "a")] == ["null", "true", "0.1", "[1, 2]", "a"]
    assert len(text_of("long" * 500)) == 500
