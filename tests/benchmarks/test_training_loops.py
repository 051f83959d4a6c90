"""The five loops do the same training, so that what differs is how fast; and zoo's peers know nothing of zoo."""

from __future__ import annotations

import ast
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from loops import FORMS
from loops.loaders import ByAlbumentations, Resident
from loops.recipe import LR, Length, augment_of, make_task
from loops.relay import Relay
from loops.task import Augment, Task
from loops.timm_loop import loader_of
from training_loops import main, rows

from zoo.data import TransformSpec
from zoo.errors import UsageError

LOOPS = Path(__file__).parent / "loops"
TINY = ("model.width=4", "data.batch_size=12")
WITH_ZOO = ("recipe.py", "zoo_fit.py")


def task_of(turns: int = 2, *, augmented: bool = False) -> Task:
    """An epoch is one batch: in whatever order a form takes the images, it sees the same ones at every step.

    In fp32, for the originals' form knows nothing else.
    """
    sets = (*TINY, "train.precision=fp32")
    return make_task("quickstart", Length(1, turns), sets=sets, threads=1, augmented=augmented)[0]


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("path", sorted(LOOPS.glob("*.py")), ids=lambda path: path.name)
def test_only_zoos_own_form_imports_zoo(path: Path) -> None:
    reached = imported(path)
    knows = any(name.split(".")[0] == "zoo" or name in ("loops.recipe", "loops.zoo_fit") for name in reached)
    assert knows == (path.name in WITH_ZOO)


def trained(task: Task, names: list[str]) -> dict[str, list[float]]:
    """Every form's losses after the first turn, as it reports them."""
    with Relay(task, names) as relay:
        for _ in range(task.turns - 1):
            relay.round()
        skipped = [runner.skipped for runner in relay.runners if runner.skipped]
        if skipped:
            pytest.skip("; ".join(skipped))
        return {runner.name: [turn.loss for turn in runner.turns] for runner in relay.runners}


@pytest.mark.slow
def test_all_forms_take_the_same_steps() -> None:
    """Losses at equal steps agree: equal weights and images, equal loss, optimizer, decay and schedule."""
    pytest.importorskip("lightning")
    losses = trained(task_of(turns=4), list(FORMS))
    assert list(losses) == list(FORMS)
    for name in FORMS:
        assert losses[name] == pytest.approx(losses["hand"], rel=2e-5), name


@pytest.mark.slow
def test_another_learning_rate_shows_in_the_losses() -> None:
    """The control: what the test above compares is fine enough to see a tenth less of the rate."""
    task = task_of(turns=4)
    name, arguments = task.optimizer
    slower = dataclasses.replace(task, optimizer=(name, {**arguments, "lr": 0.9 * LR}))
    losses, others = (trained(each, ["hand"])["hand"] for each in (task, slower))
    assert others != pytest.approx(losses, rel=2e-5)


def test_unaugmented_batches_are_the_same_images_to_every_form() -> None:
    task = task_of()
    by_hand = Resident(task)._render(torch.arange(len(task.labels)))
    per_sample = torch.stack([ByAlbumentations(task)[index][0] for index in range(len(task.labels))])
    torch.testing.assert_close(by_hand, per_sample, rtol=0, atol=1e-5)
    loader = loader_of(task)
    raw = torch.stack([torch.as_tensor(loader.dataset[index][0]) for index in range(len(task.labels))])
    torch.testing.assert_close((raw - loader.mean[0]) / loader.std[0], by_hand, rtol=0, atol=1e-5)


def test_the_hand_loops_transforms_cut_mirror_and_cover() -> None:
    """Each image is one of the crops of its padded original, mirrored or not, under one black square."""
    task = dataclasses.replace(task_of(), augment=Augment(pad=1, flip=0.5, hole=3), mean=(0.0,), std=(1 / 255,))
    torch.manual_seed(1)
    resident = Resident(task)
    mirrored = 0
    for index, image in enumerate(resident._render(torch.arange(len(task.labels)))[:, 0]):
        padded = torch.nn.functional.pad(torch.from_numpy(task.images[index, :, :, 0]).float(), (1, 1, 1, 1))
        crops = {(top, left): padded[top : top + 8, left : left + 8] for top in range(3) for left in range(3)}
        fits = [is_covered(image, crop.flip(1) if flip else crop) for crop in crops.values() for flip in (False, True)]
        assert any(fits)
        mirrored += not any(is_covered(image, crop) for crop in crops.values())
    assert 0 < mirrored < len(task.labels)


def is_covered(image: torch.Tensor, crop: torch.Tensor) -> bool:
    """Whether ``image`` is ``crop`` but for a black square of 3 x 3 pixels."""
    differs = (image != crop).nonzero()
    if not len(differs):
        return True
    (top, left), (bottom, right) = differs.amin(0).tolist(), differs.amax(0).tolist()
    return max(bottom - top, right - left) < 3 and bool((image[differs[:, 0], differs[:, 1]] == 0).all())


def test_a_recipes_transforms_become_the_numbers_of_all_forms() -> None:
    task, _ = make_task("s8_custom_resnet", Length(1, 1), sets=("model.width=2", "data.batch_size=4"))
    assert task.augment == Augment(pad=4, flip=0.5, hole=8)
    assert task.images.shape == (4, 32, 32, 3)


def test_a_transform_that_not_all_forms_have_is_refused() -> None:
    with pytest.raises(UsageError, match="ShiftScaleRotate"):
        augment_of([TransformSpec("ShiftScaleRotate", {})], {"input": (3, 32, 32)})
    with pytest.raises(UsageError, match="CoarseDropout"):
        augment_of([TransformSpec("CoarseDropout", {"p": 0.5})], {"input": (3, 32, 32)})


@pytest.mark.slow
def test_the_program_prints_a_row_for_every_form(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = "--recipe quickstart --set model.width=4 --set data.batch_size=8 --steps 1 --rounds 1"
    clock = "--clock cpu --device cpu --threads 1"
    monkeypatch.setattr(
        "sys.argv", ["training_loops.py", *arguments.split(), *clock.split(), "--forms", "hand,zoo", "--json"]
    )
    main()
    found = json.loads(capsys.readouterr().out)
    hand, zoo = found["forms"]
    assert [hand["form"], zoo["form"]] == ["hand", "zoo"]
    assert zoo["of_hand"]["median"] == pytest.approx(zoo["images_per_second"] / hand["images_per_second"])
    assert hand["of_originals"] is None


def test_ratios_are_of_the_same_round() -> None:
    """Rounds of 1 s and 10 s on a machine that slows down: medians of rates would mix them, ratios do not."""
    from loops.relay import Runner
    from loops.turns import Turn

    slow = {"hand": (1.0, 10.0, 100.0), "zoo": (2.0, 20.0, 200.0)}
    runners = [
        Runner(name, None, None, [Turn(seconds, 0.0, 1.0, 0) for seconds in times])  # type: ignore[arg-type]
        for name, times in slow.items()
    ]
    hand, zoo = rows(runners, task_of(), 1, 1.0)
    assert hand.of_hand is not None
    assert zoo.of_hand is not None
    assert (hand.of_hand.median, zoo.of_hand.median, zoo.of_hand.least) == (1.0, 0.5, 0.5)
