"""The course of a training in its report: its epochs, its schedule, the rates of its groups."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.report.test_folder import changed
from zoo.optim.lr_rules import RULES
from zoo.report import charts, render


def test_a_short_run_shows_no_epoch_that_it_did_not_have(copy_of: Path) -> None:
    text = render(copy_of, ["augmentations"]).read_text(encoding="utf-8")
    assert "epoch 3" in text
    assert "epoch 4" not in text  # five were recorded
    first = (copy_of / "metrics.jsonl").read_text().splitlines()[0]
    (copy_of / "metrics.jsonl").write_text(f"{first}\n")
    assert "epoch 2" not in render(copy_of, ["augmentations"]).read_text(encoding="utf-8")


def test_images_that_come_several_times_are_shown_by_the_times_they_came(copy_of: Path) -> None:
    path = copy_of / "evidence" / "augmentations.npz"
    arrays = dict(np.load(path))
    assert np.all(arrays["epochs"] == range(1, 6))
    np.savez(path, **{key: values for key, values in arrays.items() if key != "epochs"})  # as it was recorded once
    assert "of it in epochs 1 to 3" in render(copy_of, ["augmentations"]).read_text(encoding="utf-8")
    epochs = np.tile([1, 1, 2, 3, 5], (len(arrays["epochs"]), 1))
    epochs[0, 3] = 4  # this one came once in three epochs, the others more often
    np.savez(path, **(arrays | {"epochs": epochs}))
    text = render(copy_of, ["augmentations"]).read_text(encoding="utf-8")
    assert "what the network saw of it the first 3 times that it came" in text
    assert "time 3" in text
    assert "time 4" not in text
    line = (copy_of / "metrics.jsonl").read_text().splitlines()[0]
    (copy_of / "metrics.jsonl").write_text(f"{line}\n")
    assert "the first 2 times that it came" in render(copy_of, ["augmentations"]).read_text(encoding="utf-8")


def test_the_schedule_is_as_long_as_the_training(copy_of: Path) -> None:
    steps = [{"event": "step", "step": step, "lr": 0.1 / step} for step in range(1, 30)]  # the last left no line
    (copy_of / "steps.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    assert "Over 30 steps it falls from 0.1" in render(copy_of, ["lr_schedule"]).read_text(encoding="utf-8")


def test_the_schedule_has_every_step_where_the_run_has(copy_of: Path) -> None:
    """Its peak lies between two looks, and the last steps left no line: epoch 3 ended with step 30."""
    lines = [{"event": "step", "step": step, "lr": 0.05, "lrs": [0.01, 0.04, 0.1, 0.05]} for step in (4, 8)]
    (copy_of / "steps.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = render(copy_of, ["lr_schedule"]).read_text(encoding="utf-8")
    assert "Over 30 steps it begins at 0.01, rises to 0.1 and ends at 0.006667." in text


@pytest.mark.parametrize(
    ("lrs", "said"),
    [
        ([0.1] * 4, "Over 4 steps it stays at 0.1."),
        ([0.1, 0.2, 0.3, 0.4], "Over 4 steps it rises from 0.1 to 0.4."),
        ([0.4, 0.3, 0.2, 0.1], "Over 4 steps it falls from 0.4 and ends at 0.1."),
        ([0.4, 0.1, 0.2, 0.3], "Over 4 steps it falls from 0.4 to 0.1 and ends at 0.3."),
        ([0.1], "Over 1 epoch it stays at 0.1."),
    ],
)
def test_the_course_of_the_learning_rate_is_told(lrs: list[float], said: str, copy_of: Path) -> None:
    lines = (copy_of / "metrics.jsonl").read_text().splitlines()
    (copy_of / "metrics.jsonl").write_text(json.dumps({**json.loads(lines[0]), "step": len(lrs), "lr": lrs[-1]}) + "\n")
    changed(copy_of / "result.json", steps=len(lrs))
    if len(lrs) > 1:
        (copy_of / "steps.jsonl").write_text(json.dumps({"step": len(lrs), "lr": lrs[-1], "lrs": lrs}) + "\n")
    assert said in render(copy_of, ["lr_schedule"]).read_text(encoding="utf-8")


def test_a_million_steps_and_a_lengthened_training_are_counted(copy_of: Path) -> None:
    lines = [{"event": "step", "step": 450_000 * look, "lr": 0.1} for look in range(1, 5)]
    (copy_of / "steps.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))  # the result is of 30
    assert "Over 1,800,000 steps" in render(copy_of, ["lr_schedule"]).read_text(encoding="utf-8")


def test_the_learning_rate_says_whose_it_is(copy_of: Path) -> None:
    assert "it (of" not in render(copy_of, ["lr_schedule"]).read_text(encoding="utf-8")
    changed(copy_of / "env.json", parameter_groups=["AdamW head", "AdamW"])
    text = render(copy_of, ["lr_schedule"]).read_text(encoding="utf-8")
    assert "it (of AdamW head, the first group of parameters) falls from 0.02" in text
    assert "learning rate of AdamW head</text>" in text


def groups_logged(run_dir: Path, others: dict[str, list[float]]) -> str:
    """The page of a run whose steps.jsonl has the rates of several groups, the first of them called ``SGD head``."""
    changed(run_dir / "env.json", parameter_groups=["SGD head", *others])
    line = {"event": "step", "step": 30, "lr": 0.05, "lrs": [0.01, 0.04, 0.1, 0.05], "group_lrs": others}
    (run_dir / "steps.jsonl").write_text(json.dumps(line) + "\n")
    return render(run_dir, ["lr_schedule"]).read_text(encoding="utf-8")


def test_groups_whose_rates_are_in_proportion_share_a_chart_with_its_numbers(copy_of: Path) -> None:
    text = groups_logged(copy_of, {"SGD": [0.001, 0.004, 0.01, 0.005]})
    assert "that of SGD head begins at 0.01" in text
    assert "the other groups&#39; are in proportion" in text
    assert "learning rate of SGD head</text>" in text
    assert ">SGD</th><td>begins at 0.001, rises to 0.01 and ends at 0.005</td>" in text


def test_groups_with_courses_of_their_own_are_drawn_as_shares(copy_of: Path) -> None:
    text = groups_logged(copy_of, {"SGD": [0.001, 0.004, 0.01, 0.005], "Muon": [0.24, 0.12, 0.06, 0.0]})
    assert "each of 3 groups of parameters has a course of its own" in text
    assert "SGD head and 1 more</text>" in text
    assert ">Muon</text>" in text
    assert ">Muon</th><td>falls from 0.24 and ends at 0</td>" in text


def test_every_rule_of_the_range_test_has_its_words() -> None:
    assert set(charts.RULES) == set(RULES)


def test_one_rule_was_taken(copy_of: Path) -> None:
    path = copy_of / "evidence" / "evidence.json"
    test = json.loads(path.read_text())["lr_find"]
    changed(path, lr_find={**test, "suggestions": dict.fromkeys(test["suggestions"], test["chosen"])})
    assert render(copy_of, ["lr_find"]).read_text(encoding="utf-8").count("(taken)") == 1
