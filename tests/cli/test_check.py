"""`zoo check` and `zoo config`: many files, JSON, strictness, and messages of lints."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Zoo
from zoo.cli import main

SOFTMAX = """
name: net
input: [1, 8, 8]
layers:
  flatten: {op: flatten, start_dim: 1}
  fc: {op: Linear, out_features: 10}
  softmax: {op: Softmax, dim: 1}
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(SOFTMAX)
    (tmp_path / "bad.yaml").write_text(SOFTMAX.replace("Linear", "Linaer").replace("start_dim", "stort_dim"))
    return tmp_path


def test_right_files_exit_0_and_say_so(zoo: Zoo) -> None:
    outcome = zoo("check", "quickstart", "custom_resnet")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "no errors in 2 files\n")


def test_a_lint_is_a_warning_and_under_strict_an_error(files: Path, zoo: Zoo) -> None:
    lax, strict = zoo("check", "net.yaml"), zoo("check", "net.yaml", "--strict")
    assert (lax.status, strict.status) == (0, 2)
    assert "warning[" in lax.err
    assert " --> net.yaml:7:" in lax.err


def test_all_errors_of_all_files_at_once(files: Path, zoo: Zoo) -> None:
    outcome = zoo("check", "bad.yaml", "net.yaml", "missing.yaml", "--json")
    messages = json.loads(outcome.out)
    assert outcome.status == 2
    assert [m["severity"] for m in messages].count("error") == 3
    assert {m["file"] for m in messages} == {"bad.yaml", "net.yaml", None}
    for message in messages:
        assert set(message) == {"severity", "code", "message", "file", "line", "column", "notes", "help"}


def test_set_is_laid_over_each_recipe_before_it_is_checked(files: Path, zoo: Zoo) -> None:
    adam = "model: {architecture: tiny_resnet}\ndata: {source: digits}\ntrain: {epochs: 1}\noptimizer: {name: Adam}\n"
    Path("adam.yaml").write_text(adam)
    Path("sgd.yaml").write_text(adam.replace("Adam", "SGD"))
    assert zoo("check", "adam.yaml", "--set", "optimizer.betas=[0.9, 0.99]").status == 0
    outcome = zoo(
        "check", "adam.yaml", "sgd.yaml", "--set", "train.epochs=x", "--set", "optimizer.betas=[0.9, 0.99]", "--json"
    )
    told = {item["code"]: item["notes"][0]["message"] for item in json.loads(outcome.out)}
    assert outcome.status == 2
    assert told == {"wrong-type": "in adam.yaml and sgd.yaml", "unknown-key": "in sgd.yaml"}


def test_weights_that_set_names_and_are_not_there_are_placed_at_the_option(files: Path, zoo: Zoo) -> None:
    (files / "net.pth").touch()
    recipe = Path("recipe.yaml")
    assert zoo("cp", "quickstart", str(recipe)).status == 0
    recipe.write_text(recipe.read_text().replace("tiny_resnet", "tiny_resnet, weights: net.pth"))
    assert zoo("check", "recipe.yaml").status == 0
    outcome = zoo("check", "recipe.yaml", "--set", "model.weights=other.pth")
    assert outcome.err.startswith(
        "error[no-weights]: there are no weights at other.pth\n --> --set model.weights:1:1\n"
    )


def test_set_is_for_recipes(files: Path, zoo: Zoo) -> None:
    outcome = zoo("check", "bad.yaml", "quickstart", "--set", "train.epochs=2")
    assert outcome.status == 2
    assert outcome.err.startswith("error[usage]: --set is for recipes, and bad.yaml is an architecture\n   = help: ")
    assert "--set model.PARAM=VALUE" in outcome.err
    assert "no op 'Linaer'" in outcome.err  # what else is wrong is told as ever


def test_golden_messages(files: Path, zoo: Zoo, golden) -> None:  # type: ignore[no-untyped-def]  # a fixture
    golden("check_bad.txt", zoo("check", "bad.yaml").err)


def test_a_failing_check_of_config_prints_nothing_on_stdout(files: Path, zoo: Zoo) -> None:
    Path("r.yaml").write_text("model: {architecture: bad.yaml}\ndata: {source: digits}\ntrain: {epochs: 1}\n")
    outcome = zoo("config", "r.yaml")
    assert (outcome.status, outcome.out) == (2, "")
    assert "optimizer is missing" in outcome.err


def test_config_in_json_has_values_and_origins(zoo: Zoo) -> None:
    found = json.loads(zoo("config", "quickstart", "--set", "train.epochs=2", "--json").out)
    assert found["recipe"]["train"]["epochs"] == 2
    assert found["origins"]["train.epochs"] == "--set train.epochs"
    assert found["origins"]["train.accumulate"] == "default"
    assert found["origins"]["data.batch_size"].endswith("quickstart.yaml:9:36")


def test_the_printed_config_is_a_recipe(files: Path, zoo: Zoo) -> None:
    text = zoo("config", "quickstart").out
    Path("printed.yaml").write_text(text)
    assert main(["check", "printed.yaml", "--quiet"]) == 0


def test_cp_copies_and_never_overwrites(files: Path, zoo: Zoo) -> None:
    assert zoo("cp", "custom_resnet", "mine.yaml").out == "mine.yaml\n"
    assert zoo("cp", "recipes/quickstart", ".").out == "quickstart.yaml\n"
    assert zoo("cp", "custom_resnet", "mine.yaml").status == 2
    assert "did you mean" in zoo("cp", "costum_resnet", "x.yaml").err
    assert zoo("check", "mine.yaml", "quickstart.yaml").status == 0


@pytest.mark.parametrize(
    "kind",
    ["architectures", "recipes", "ops", "initialisers", "sources", "transforms", "losses", "optimizers", "schedules"],
)
def test_ls_lists_every_kind(zoo: Zoo, kind: str) -> None:
    rows = json.loads(zoo("ls", kind, "--json").out)
    assert rows
    assert all({"name", "doc"} <= set(row) <= {"name", "doc", "arguments", "batched"} for row in rows)
    assert all(("batched" in row) == (kind == "transforms") for row in rows)
    assert [row for row in rows if row["doc"].endswith("et al.")] == []  # a sentence goes on behind it
    assert [row for row in rows if re.search(r"`|:math:|\\|:$", row["doc"])] == []  # marks of reST and LaTeX


def test_ls_of_a_kind_there_is_not(zoo: Zoo) -> None:
    assert "did you mean ops" in zoo("ls", "opps").err
