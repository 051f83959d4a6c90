from __future__ import annotations

import json
import pickle
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from zoo import layout
from zoo.errors import CheckpointError
from zoo.report import render
from zoo.report.about import FILES, command_to_repeat, reproduce
from zoo.report.classes import ClassRow, class_accuracy, confusion_chart
from zoo.report.evidence import begin, read_arrays, write_arrays, write_json
from zoo.report.folder import read_run, siblings
from zoo.report.headline import headline
from zoo.report.rates import top_level
from zoo.report.theme import PAPER, _styled


def test_only_the_reports_asked_for_are_made(copy_of: Path) -> None:
    text = render(copy_of, ["lr_schedule", "class_accuracy"]).read_text(encoding="utf-8")
    assert 'id="lr_schedule"' in text
    assert 'id="class_accuracy"' in text
    assert 'id="confusion"' not in text
    assert {path.name for path in (copy_of / "figures").iterdir()} == {
        "lr_schedule.png", "class_accuracy.png", "class_accuracy.txt"
    }  # fmt: skip


def test_no_reports_leave_the_result_and_the_recipe(copy_of: Path) -> None:
    text = render(copy_of, []).read_text(encoding="utf-8")
    assert not list((copy_of / "figures").iterdir())
    assert 'id="recipe"' in text
    assert "target of 50 %: met" in text


def test_a_missed_target_says_by_how_much(copy_of: Path) -> None:
    result = json.loads((copy_of / "result.json").read_text())
    result["target"] = {"test_accuracy": result["test"]["accuracy"] + 0.015, "test_accuracy_tta": 0.9, "met": False}
    (copy_of / "result.json").write_text(json.dumps(result))
    text = render(copy_of, []).read_text(encoding="utf-8")
    assert "missed by 1.50 points" in text
    assert "target of 90 % with test-time augmentation: not measured" in text
    assert ": met" not in text


def test_a_target_missed_by_next_to_nothing_is_not_missed_by_zero(copy_of: Path) -> None:
    changed(copy_of / "result.json", target={"test_accuracy": 0.5, "met": False}, test={"accuracy": 0.5 - 2e-5})
    assert "missed by 0.002 points" in render(copy_of, []).read_text(encoding="utf-8")


def test_a_recording_cut_short_gives_a_page_without_it(copy_of: Path) -> None:
    (copy_of / "evidence" / "evidence.json").unlink()
    text = render(copy_of).read_text(encoding="utf-8")
    assert 'id="curves"' in text
    assert 'id="confusion"' not in text


def test_evidence_of_a_shorter_training_is_not_shown(copy_of: Path) -> None:
    assert read_run(copy_of).predictions is not None
    changed(copy_of / "result.json", steps=60, epochs=6)
    run = read_run(copy_of)
    assert (run.evidence, run.predictions, run.mistakes) == ({}, None, None)
    render(copy_of)


def test_a_broken_sibling_is_passed_over(copy_of: Path) -> None:
    run = copy_of.rename(copy_of.with_name("0003"))
    odd = {"0002": '{"te', "0004": '{"test": 3}', "0005": '{"test": {"accuracy": "high"}}', "0006": '{"epochs": []}'}
    for name, text in {"0001": '{"test": null, "epochs": 1}', **odd}.items():
        (run.parent / name).mkdir()
        (run.parent / name / "report.html").touch()
        (run.parent / name / "result.json").write_text(text)
    assert [sibling.name for sibling in siblings(run)] == ["0001"]


def changed(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_dollar_signs_are_no_formulas(copy_of: Path) -> None:
    names = ["$\\frac$", "a$", "$b$c", "$_^$", *"efghij"]
    data = json.loads((copy_of / "evidence" / "evidence.json").read_text())
    changed(copy_of / "evidence" / "evidence.json", classes=names, ids=["$\\x$.png" for _ in data["ids"]])
    (copy_of / "resolved.yaml").write_text("name: x\ndoc: costs 5 $$ a run\n")
    text = render(copy_of).read_text(encoding="utf-8")
    assert names[0] in text
    assert "costs 5 $ a run" in text


@pytest.mark.parametrize("doc", ["yes", "2026-02-30", "1_000"])
def test_what_yaml_1_1_takes_for_another_value_is_a_doc(doc: str, copy_of: Path) -> None:
    (copy_of / "resolved.yaml").write_text(f"name: {doc}\ndoc: {doc}\n")
    assert headline(read_run(copy_of)).doc == doc


@pytest.mark.parametrize("text", ["", "a: [", "- a", "name: x", "doc: null"])
def test_a_recipe_that_says_nothing_of_itself_has_no_doc(text: str, copy_of: Path) -> None:
    (copy_of / "resolved.yaml").write_text(text)
    (copy_of / "recipe.yaml").write_text(text)
    assert headline(read_run(copy_of)).doc == ""


def test_long_class_names_leave_the_charts_their_room(copy_of: Path) -> None:
    rows = [ClassRow(f"{number} of a rather long-winded kind of " + 20 * "bird ", 1, 2, ()) for number in range(3)]
    draws = [class_accuracy(rows), confusion_chart(np.eye(3, dtype=np.int64), [row.name for row in rows])]
    for draw in draws:
        with _styled(PAPER):
            figure = draw(PAPER)
            FigureCanvasAgg(figure).draw()
        (axes,) = figure.axes
        assert axes.get_position().width > 0.3
        assert [label.get_text() for label in axes.get_yticklabels()][2] == "2 of a rather l…rd bird"


@pytest.mark.parametrize(("count", "named"), [(1000, 1000), (1001, 501), (5000, 1000)])
def test_very_many_classes_are_no_taller_than_can_be_drawn(count: int, named: int) -> None:
    figure = class_accuracy([ClassRow(f"class {number}", 1, 2, ()) for number in range(count)])(PAPER)
    assert figure.get_size_inches()[1] * 200 < 2**16
    (axes,) = figure.axes
    assert len(axes.texts) == len(axes.get_yticks()) == named
    assert len(axes.patches) == count


def test_a_class_without_images_has_no_accuracy(copy_of: Path) -> None:
    axes = class_accuracy([ClassRow("a", 0, 4, ()), ClassRow("b", 0, 0, ())])(PAPER).axes[0]
    assert [text.get_text() for text in axes.texts] == ["0.0", "no images"]


def test_an_unfinished_run_has_a_page_too(copy_of: Path) -> None:
    (copy_of / "result.json").unlink()
    with (copy_of / "metrics.jsonl").open("a") as file:
        file.write('{"event": "epoch", "epo')  # killed while writing
    text = render(copy_of, ["curves"]).read_text(encoding="utf-8")
    assert "unfinished: 3 epochs so far" in text


def test_a_longer_training_under_way_is_not_said_to_have_met_the_target(copy_of: Path) -> None:
    line = json.loads((copy_of / "metrics.jsonl").read_text().splitlines()[-1])
    with (copy_of / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({**line, "epoch": 4, "step": 40}) + "\n")
    text = render(copy_of, []).read_text(encoding="utf-8")
    assert "unfinished: 4 epochs so far; the result is that of 3" in text
    assert ": met" not in text


@pytest.mark.parametrize("split", ["test", "validation"])
def test_the_best_accuracy_says_of_which_split_it_is(split: str, copy_of: Path) -> None:
    lines = [json.loads(text) for text in (copy_of / "metrics.jsonl").read_text().splitlines()]
    lines = [{**line, "validation": line["test"] if split == "validation" else None} for line in lines]
    (copy_of / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    tiles = {tile.label for tile in headline(read_run(copy_of)).tiles}
    assert {label for label in tiles if label.startswith("best")} == {f"best {split} accuracy"}


def test_an_early_stop_stands_beside_the_epochs(copy_of: Path) -> None:
    result = json.loads((copy_of / "result.json").read_text())
    (copy_of / "result.json").write_text(json.dumps({**result, "stopped_early": True}))
    (note,) = [tile.note for tile in headline(read_run(copy_of)).tiles if tile.label == "epochs"]
    assert note.endswith(", stopped early")


def test_the_way_back_of_an_installed_zoo_checks_nothing_out(copy_of: Path) -> None:
    path = copy_of / "env.json"
    facts = {**json.loads(path.read_text()), "git": None, "plugins": ["/home/me/my ops.py"]}
    path.write_text(json.dumps({**facts, "git_of_working_folder": {"commit": "fed321", "dirty": False}}))
    section = reproduce(read_run(copy_of))
    assert "git checkout" not in section.data["commands"]
    assert "pip install torch==" in section.data["commands"]
    assert "resolved.yaml --plugin '/home/me/my ops.py' " in section.data["commands"]


def test_what_repeats_a_run_has_the_options_it_was_given(copy_of: Path) -> None:
    changed(copy_of / "env.json", options={"device": "cuda:1", "devices": 2, "data_dir": "my data"})
    run = read_run(copy_of)
    where = "--device cuda:1 --devices 2 --data-dir 'my data'"
    assert command_to_repeat(run) == f"zoo run runs/digits_run/0002/resolved.yaml {where}"
    assert "zoo eval runs/digits_run/0002 --device cuda:1 --data-dir 'my data' " in reproduce(run).data["commands"]


@pytest.mark.parametrize(
    ("algorithms", "said"),
    [
        (None, "the same numbers"),
        ("deterministic (asked for)", "the same numbers"),
        ("fastest (timed)", "alike, not the"),
    ],
)
def test_a_gpus_figures_are_promised_to_be_alike_alone(algorithms: str | None, said: str, copy_of: Path) -> None:
    changed(copy_of / "env.json", choices={} if algorithms is None else {"algorithms": algorithms})
    assert said in (reproduce(read_run(copy_of)).lead or "")


def test_a_run_without_evidence_shows_what_there_is(copy_of: Path) -> None:
    for path in (copy_of / "evidence").iterdir():
        path.unlink()
    text = render(copy_of).read_text(encoding="utf-8")
    assert 'id="curves"' in text
    assert 'id="gradcam"' not in text


def test_a_remark_stands_in_place_of_a_report(copy_of: Path) -> None:
    path = copy_of / "evidence" / "evidence.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "remarks": {"gradcam": "no layer has a map"}}))
    text = render(copy_of, ["gradcam"]).read_text(encoding="utf-8")
    assert "Not made: no layer has a map." in text


def test_a_section_that_cannot_be_drawn_costs_no_other(copy_of: Path) -> None:
    path = copy_of / "evidence" / "evidence.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "lr_find": {"lrs": [0.1]}}))
    told: list[str] = []
    text = render(copy_of, note=told.append).read_text(encoding="utf-8")
    assert told == ["no lr_find in the report: KeyError: 'losses'"]
    assert "Not drawn: KeyError: &#39;losses&#39;." in text
    assert "learning rate</text>" in text


def test_another_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no run folder"):
        render(tmp_path)


@pytest.mark.parametrize("name", ["result.json", "evidence/evidence.json", "evidence/predictions.npz", "metrics.jsonl"])
def test_broken_files_are_named(copy_of: Path, name: str) -> None:
    content = (copy_of / name).read_bytes()
    (copy_of / name).write_bytes(b"\x00{" + content[: len(content) // 2] + b"\n{}\n")
    with pytest.raises(CheckpointError, match=Path(name).name.replace(".", r"\.")):
        render(copy_of)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("metrics.jsonl", b"\xff\n{}\n", r"metrics\.jsonl:1 is no JSON"),
        ("metrics.jsonl", b"{}\n[1]\n", r"metrics\.jsonl:2 is no mapping"),
        ("result.json", b"3", r"result\.json is no mapping"),
        ("result.json", b'{"train": {"accuracy": 0.5, "loss": null}}', "run is damaged"),
        ("result.json", b'{"test": 3}', "run is damaged"),
        ("result.json", b'{"seconds": {"total": 1e999}}', "run is damaged"),
        ("checkpoints/last/manifest.json", b'{"files": [1]}', "run is damaged"),
        ("env.json", b'{"options": 3}', "run is damaged"),
        ("evidence/evidence.json", b'{"reports": 7}', "run is damaged"),
        ("evidence/evidence.json", b"[" * 100_000, r"evidence\.json cannot be read"),
    ],
)
def test_odd_files_are_the_run_folders_fault(copy_of: Path, name: str, content: bytes, said: str) -> None:
    (copy_of / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=said):
        render(copy_of)


def test_a_line_cut_off_within_a_letter_is_dropped(copy_of: Path) -> None:
    with (copy_of / "metrics.jsonl").open("ab") as file:
        file.write('{"é'.encode()[:-1])
    assert len(read_run(copy_of).epochs) == 3


def test_a_pickle_among_the_evidence_is_refused(copy_of: Path) -> None:
    canary = copy_of / "canary"

    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return (canary.touch, ())

    np.savez(copy_of / "evidence" / "mistakes.npz", indices=np.array([Attack()], dtype=object))
    with pytest.raises(CheckpointError, match=r"mistakes\.npz"):
        render(copy_of)
    assert not canary.exists()
    pickle.loads(pickle.dumps(Attack()))  # the control: the attack works where pickles are read
    assert canary.exists()


def test_arrays_with_a_flipped_bit_are_broken_wherever_it_is(tmp_path: Path) -> None:
    """zipfile, zlib and NumPy each have words of their own for it; a checksum misses none in the data."""
    begin(tmp_path)
    write_arrays(tmp_path, "some", {"a": np.random.default_rng(0).random(20)})
    path = tmp_path / "evidence" / "some.npz"
    whole, kinds = path.read_bytes(), set()
    for place in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            read_arrays(tmp_path, "some")
        except CheckpointError as error:
            kinds.add(type(error.__cause__))
    assert {zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError} <= kinds


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6, dtype=np.int64).reshape(2, 3), "b": np.zeros((0, 4), np.uint8)}
    begin(tmp_path)
    write_arrays(tmp_path, "some", arrays)
    found = read_arrays(tmp_path, "some")
    assert found is not None
    for key, array in arrays.items():
        assert found[key].dtype == array.dtype
        np.testing.assert_array_equal(found[key], array)
    assert [path.name for path in (tmp_path / "evidence").iterdir()] == ["some.npz"]
    assert read_arrays(tmp_path, "other") is None


def test_validation_curves_are_read(copy_of: Path) -> None:
    from zoo.report.charts import points

    lines = [json.loads(line) for line in (copy_of / "metrics.jsonl").read_text().splitlines()]
    lines[1]["test"] = None  # not tested in that epoch
    lines[2]["validation"] = {"loss": 1.0, "accuracy": 0.5}
    (copy_of / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = read_run(copy_of)
    assert points(run, "test", "loss")[0] == [1, 3]
    assert points(run, "validation", "accuracy") == ([3], [0.5])
    render(copy_of, ["curves"])


def test_a_hundred_classes_and_large_images_fit_the_page(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 100, 2000)
    predictions = np.where(random.random(2000) < 0.7, labels, random.integers(0, 100, 2000))
    confidence = random.random(2000).astype(np.float32)
    columns = {
        "labels": labels,
        "predictions": predictions,
        "confidence": confidence,
        "true_confidence": 1 - confidence,
    }
    begin(tmp_path)
    write_arrays(tmp_path, "predictions", columns)
    wrong = np.flatnonzero(labels != predictions)[:4]
    images = random.integers(0, 255, (4, 224, 300, 3), dtype=np.uint8)
    shown = {key: column[wrong] for key, column in columns.items()}
    write_arrays(tmp_path, "mistakes", {"indices": wrong, "images": images, **shown})
    reports = ["class_accuracy", "confusion", "misclassified"]
    classes, ids = [f"class {number}" for number in range(100)], [f"val/IMG_{index}.JPEG" for index in wrong]
    write_json(tmp_path, {"reports": reports, "classes": classes, "ids": ids, "remarks": {}})
    (tmp_path / "result.json").write_text("{}")
    text = render(tmp_path).read_text(encoding="utf-8")
    assert len(text) < 3_000_000
    assert "Confusion matrix of 100 classes" in text
    assert text.count('id="mistake-') == 4
    assert "data:image/jpeg" in text


def test_one_map_is_shown_where_the_method_knows_no_class(copy_of: Path) -> None:
    maps = read_arrays(copy_of, "cams")
    assert maps is not None
    write_arrays(copy_of, "cams", {"predicted": maps["predicted"]})
    data = json.loads((copy_of / "evidence" / "evidence.json").read_text())
    data["gradcam"]["method"] = "eigencam"
    write_json(copy_of, data)
    text = render(copy_of, ["gradcam"]).read_text(encoding="utf-8")
    assert "Eigencam knows no class" in text
    assert text.count("for any class</span>") == len(maps["predicted"])


def test_the_recipe_of_the_learning_rate_stands_beside_it() -> None:
    text = "a: 1\noptimizer:\n  name: SGD\n# note\nb: {c: 2}\nschedule: null\n"
    assert top_level(text, ("optimizer", "schedule")) == "optimizer:\n  name: SGD\nschedule: null"


def test_the_page_knows_every_file_of_a_run() -> None:
    names = {value for name, value in vars(layout).items() if name.isupper() and isinstance(value, str)}
    inside = {layout.LAST, layout.BEST, layout.MANIFEST, layout.EVIDENCE_DATA}  # in folders that the page names
    assert set(FILES) == names - inside
