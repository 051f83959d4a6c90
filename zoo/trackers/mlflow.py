"""A run in MLflow; the only file that imports mlflow. Floor 0."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any

from zoo.trackers.tracker import Ending, Figures, Say, TrackedRun, leaves

MOST_LETTERS = 500  # of a param's value; servers of before 2.10 take no more
MOST_KEY_LETTERS = 250
MOST_PARAMS, MOST_METRICS = 100, 1000  # in one call
_STATUS: dict[Ending, str] = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
# A client of MLflow tries for minutes; these are for each call, unless the environment has its own.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}


def has_mlflow() -> bool:
    """Whether the package is installed, and what a database takes where the run goes to one."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    needs_database = not uri or re.match(r"(sqlite|postgresql|mysql|mssql)\b", uri)
    packages = ("mlflow", *(("sqlalchemy", "alembic") if needs_database else ()))
    return all(find_spec(package) is not None for package in packages)


class MLflow:
    """Writes to a run of MLFLOW_TRACKING_URI, or of where MLflow itself keeps runs: ``mlflow.db`` in this folder."""

    def __init__(self) -> None:
        self._client: Any = None
        self._run = ""

    def begin(self, run: TrackedRun, say: Say) -> str:
        """Opens the run, under the experiment of the recipe's name unless the environment names another."""
        for name, value in _PATIENCE.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        with _alone_in_this_folder():
            self._client = MlflowClient()  # makes a database where there is none
        found = self._kept(run.kept) if run.kept is not None else None
        if found is None:
            tags = {"mlflow.source.name": "zoo", "mlflow.source.type": "LOCAL", "zoo.run_folder": run.folder}
            found = self._client.create_run(self._experiment(run.recipe), run_name=run.name, tags=tags)
        else:
            self._client.update_run(run.kept, status="RUNNING")
        self._run = found.info.run_id
        self._write_params(run, dict(found.data.params))
        say(_where(self._client.tracking_uri, found.info), "info")
        return self._run

    def _kept(self, run: str) -> Any:
        """The run of an earlier session; None where this store has none, or has thrown it away."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.get_run(run)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return found if found.info.lifecycle_stage == "active" else None

    def _experiment(self, recipe: str) -> str:
        from mlflow.exceptions import MlflowException

        if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return given
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or recipe
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(self._client.create_experiment(name))
        except MlflowException:  # another run has made it just now, or there is a reason, which this tells
            found = self._client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    def _write_params(self, run: TrackedRun, before: dict[str, str]) -> None:
        """A param for each value of the recipe. MLflow lets none change: what a resume changes becomes a tag."""
        from mlflow.entities import Param, RunTag

        values = {key_of(path): text_of(value) for path, value in leaves(run.config, ".")}
        new = [Param(key, value) for key, value in values.items() if key not in before]
        for some in batched_of(new, MOST_PARAMS):
            self._client.log_batch(self._run, params=some)
        changed = [RunTag(key, value) for key, value in values.items() if before.get(key, value) != value]
        if changed:
            self._client.log_batch(self._run, tags=changed)

    def write(self, lines: Sequence[Figures]) -> None:
        """Writes all lines in as few calls as MLflow allows."""
        from mlflow.entities import Metric

        metrics = [
            Metric(key_of(name), value, int(1000 * line.at), line.step)
            for line in lines
            for name, value in line.values.items()
        ]
        for some in batched_of(metrics, MOST_METRICS):
            self._client.log_batch(self._run, metrics=some)

    def finish(self, ending: Ending, figures: Figures) -> None:
        """Writes the outcome as metrics of the last step, and the status."""
        if figures.values:
            self.write([figures])
        self._client.set_terminated(self._run, _STATUS[ending])


def batched_of(items: Sequence[Any], most: int) -> Iterable[list[Any]]:
    """The items in lists of so many at most."""
    return (list(items[start : start + most]) for start in range(0, len(items), most))


def key_of(name: str) -> str:
    """A name as MLflow takes it for a param or a metric: it may be read as a path, so no part is empty or dots."""
    parts = re.sub(r"[^\w\-. :/]", "_", name).split("/")
    return "/".join(part if part.strip(".") else "_" for part in parts)[:MOST_KEY_LETTERS]


def text_of(value: Any) -> str:
    """A param's value: text as it is, anything else as JSON."""
    return (value if isinstance(value, str) else json.dumps(value))[:MOST_LETTERS]


def _where(uri: str, info: Any) -> str:
    """Where people find the run."""
    if uri.startswith(("http://", "https://")):
        page = uri.partition("?")[0].rstrip("/")
        return f"the run is at {page}/#/experiments/{info.experiment_id}/runs/{info.run_id}"
    return f"the run is {info.run_id} in {uri}"


@contextmanager
def _alone_in_this_folder() -> Iterator[None]:
    """Waits for others that do the same: of two runs that make ``mlflow.db`` at once, one would fail."""
    folder = os.open(".", os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
