"""Recipes with `train.progressive_resizing`: what the check says of them, word for word, and whole runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.conftest import CheckGolden
from zoo.assemble.benching import bench_recipe_engine
from zoo.assemble.check import check_file
from zoo.assemble.dry_run import dry_run
from zoo.assemble.find_lr import find_learning_rate
from zoo.assemble.options import RunOptions
from zoo.assemble.run import run_recipe
from zoo.assemble.trained import evaluate_run, open_run
from zoo.data.progressive import resized
from zoo.diagnostics import count_line, render
from zoo.errors import ConfigError, raise_if_errors
from zoo.optim.range_test import lr_range_test
from zoo.train import evaluate, read_checkpoint

FOLDED = "epochs: {epochs}\n  progressive_resizing: {{epochs: {at}, sizes: {sizes}{more}}}"


def recipe(
    model: str = "{architecture: tiny_resnet, classes: 10, width: 4}", at: str = "[0, 2]", sizes: str = "[4, 8]",
    more: str = ", multiple_of: 2", epochs: int = 3, data: str = "{source: digits, batch_size: 256}",
) -> str:  # fmt: skip
    return (
        f"name: grows\nmodel: {model}\ndata: {data}\noptimizer: {{name: SGD, lr: 0.05, momentum: 0.9}}\ntrain:\n"
        "  precision: fp32\n  " + FOLDED.format(epochs=epochs, at=at, sizes=sizes, more=more) + "\nreports: []\n"
    )


def colour(side: int) -> str:
    return f"{{source: synthetic, shape: [3, {side}, {side}], classes: 10, train: 64, test: 32, batch_size: 32}}"


NETS = {
    "flat.yaml": "name: flat\ninput: [1, 8, 8]\nlayers:\n  conv: {op: Conv2d, out_channels: 4, kernel_size: 3}\n"
    "  flat: Flatten\n  fc: {op: Linear, out_features: 10}\n",
    "pool.yaml": "name: pool\ninput: [1, 8, 8]\nblocks:\n  head:\n    layers:\n"
    "      pool: {op: AvgPool2d, kernel_size: 6}\n"
    "      flat: Flatten\n      fc: {op: Linear, out_features: 10}\n"
    "layers:\n  conv: {op: Conv2d, out_channels: 4, kernel_size: 3, padding: 1}\n  head: head\n",
    "kernel.yaml": "name: kernel\ninput: [1, 8, 8]\nlayers:\n"
    "  conv: {op: Conv2d, out_channels: 4, kernel_size: 3, padding: 1}\n"
    '  pool: {op: AvgPool2d, kernel_size: "$(conv.height)"}\n  flat: Flatten\n  fc: {op: Linear, out_features: 10}\n',
    "places.yaml": "name: places\ninput: [1, 8, 8]\nlayers:\n  conv: {op: Conv2d, out_channels: 4, kernel_size: 1}\n"
    '  places: {op: Parameter, shape: [1, 4, "$(conv.height)", "$(conv.width)"]}\n'
    "  sum: {op: add, from: [conv, places]}\n  mean: {op: AdaptiveAvgPool2d, output_size: 1}\n  flat: Flatten\n"
    "  fc: {op: Linear, out_features: 10}\n",
    "gives.yaml": "name: gives\ninput: [1, 8, 8]\nlayers:\n  conv: {op: Conv2d, out_channels: 10, kernel_size: 4}\n"
    "  pool: {op: MaxPool2d, kernel_size: 3, stride: 3}\n  flat: Flatten\n",
}

CASES = {
    "growing": recipe(),
    "growing_larger_than_the_images": recipe(sizes="[4, 16]"),
    "growing_by_no_multiple": recipe(sizes="[5, 8]", more=""),
    "growing_never": recipe(sizes="[8, 8]"),
    "growing_beyond_the_end": recipe(at="[0, 30]"),
    "growing_corners_apart": recipe(sizes="[4, 6, 8]"),
    "growing_corners_in_no_order": recipe(at="[2, 0]"),
    "growing_values": recipe(sizes="[0, big]", at="[-1, 2]", more=", multiple_of: 0, sizs: 3"),
    "growing_is_a_number": recipe().replace("{epochs: [0, 2], sizes: [4, 8], multiple_of: 2}", "4"),
    "growing_in_the_words_of_others": recipe().replace("train:\n", "train:\n  min_res: 4\n  progressive_resize: 4\n"),
    "growing_custom_resnet": recipe("{architecture: custom_resnet}", sizes="[16, 32]", data=colour(32)),
    "growing_flattened": recipe("{architecture: flat.yaml}"),
    "growing_pool_in_a_block": recipe("{architecture: pool.yaml}"),
    "growing_pool_of_the_whole_map": recipe("{architecture: kernel.yaml}"),
    "growing_other_outputs": recipe(
        "{architecture: gives.yaml}", sizes="[8, 16]", data=colour(16).replace("shape: [3", "shape: [1")
    ),
    "growing_positions": recipe("{architecture: places.yaml}"),
    "growing_vit": recipe("{timm: vit_tiny_patch16_224, img_size: 64}", sizes="[32, 64]", data=colour(64)),
    "growing_vit_of_any_size": recipe(
        "{timm: vit_tiny_patch16_224, img_size: 64, dynamic_img_size: true}",
        sizes="[32, 64]",
        more=", multiple_of: 16",
        data=colour(64),
    ),
    "growing_torchvision_vit": recipe("{torchvision: vit_b_16, image_size: 64}", sizes="[32, 64]", data=colour(64)),
    "growing_torchvision": recipe("{torchvision: resnet18}", sizes="[32, 64]", data=colour(64)),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    for name, text in NETS.items():
        Path(name).write_text(text)
    Path("grows.yaml").write_text(recipe())
    return tmp_path


@pytest.mark.parametrize("name", CASES)
def test_messages(name: str, golden: CheckGolden) -> None:
    Path("recipe.yaml").write_text(CASES[name])
    found = list(check_file("recipe.yaml"))
    golden(f"{name}.txt", "\n\n".join([*map(render, found), count_line(found)]) + "\n")


def run(*sets: str, notes: list[str] | None = None, **options: Any) -> dict[str, Any]:
    took = notes if notes is not None else []
    return run_recipe("grows.yaml", RunOptions(sets=sets, quiet=True, **options), raise_if_errors, took.append)


def weights(result: dict[str, Any]) -> dict[str, Tensor]:
    return read_checkpoint(Path(result["run_dir"]) / "checkpoints" / "last").model


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_grows_is_tested_at_full_size_and_goes_on_bit_for_bit() -> None:
    whole = run()
    lines = [json.loads(line) for line in Path(whole["run_dir"], "metrics.jsonl").read_text().splitlines()]
    assert [line["image_size"] for line in lines] == [[4, 4], [6, 6], [8, 8]]
    part = run("train.max_steps=9")
    with pytest.raises(ConfigError, match=r"train\.progressive_resizing\.sizes\.?0? is .*the run in .* has"):
        run("train.max_steps=9", "train.progressive_resizing.sizes=[6, 8]", run_dir=Path(part["run_dir"]), resume=True)
    with pytest.raises(ConfigError, match=r"train\.progressive_resizing"):
        run("train.max_steps=9", "train.progressive_resizing=null", run_dir=Path(part["run_dir"]), resume=True)
    short = run(epochs=2)
    longer = run(run_dir=Path(short["run_dir"]), resume=True, epochs=3)
    assert same(weights(longer), weights(whole))
    assert not same(weights(run("train.progressive_resizing=null")), weights(whole))  # control
    assert evaluate_run(whole["run_dir"])["loss"] == pytest.approx(whole["test"]["loss"])
    environment = json.loads(Path(whole["run_dir"], "env.json").read_text())
    assert "4 x 4 in epoch 1, 6 x 6 in epoch 2, 8 x 8 in epoch 3" in json.dumps(environment)


def test_batches_of_both_backends_are_resized_alike() -> None:
    losses = [run(f"transforms.backend={backend}")["train"]["loss"] for backend in ("batched", "albumentations")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_images_whose_size_only_their_files_know_are_judged_once_they_are_open() -> None:
    for split in ("train", "test"):
        for number in range(8):
            path = Path("photos", split, "ab"[number % 2], f"{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (24, 16), (number * 20, 40, 60)).save(path)
    data = "{source: image_folder, path: photos, batch_size: 4}"
    net = "{architecture: tiny_resnet, classes: 2, width: 4}"
    Path("grows.yaml").write_text(recipe(net, sizes="[8, 16]", more="", data=data))
    result, notes = run(), []
    lines = [json.loads(line) for line in Path(result["run_dir"], "metrics.jsonl").read_text().splitlines()]
    assert [line["image_size"] for line in lines] == [[8, 12], [12, 20], [16, 24]]  # 12 x 18 rounded
    assert not check_file("grows.yaml").errors
    with pytest.raises(ConfigError, match="32 would enlarge them"):
        run("train.progressive_resizing.sizes=[8, 32]")
    run("train.progressive_resizing.epochs=[0, 20]", notes=notes)
    assert [note.split(":")[0] for note in notes if "the last epoch trains on" in note] == ["warning"]
    fixed = "{timm: vit_tiny_patch16_224, img_size: [16, 24], patch_size: 8}"
    Path("grows.yaml").write_text(recipe(fixed, data=data, sizes="[8, 16]", more=""))
    with pytest.raises(ConfigError, match="vit_tiny_patch16_224 cannot take images of 8 x 12: Input"):
        run()


def test_what_the_check_told_is_not_told_again_by_the_run() -> None:
    run("train.progressive_resizing.epochs=[0, 20]", "train.max_steps=1", notes=(notes := []))
    assert not [note for note in notes if "last epoch" in note]


def test_a_batch_norm_over_one_pixel_of_one_image_is_found_before_the_training() -> None:
    Path("one.yaml").write_text(
        "name: one\ninput: [1, 8, 8]\nlayers:\n  conv: {op: Conv2d, out_channels: 4, kernel_size: 4, stride: 4}\n"
        "  bn: BatchNorm2d\n  pool: {op: AdaptiveAvgPool2d, output_size: 1}\n  flat: Flatten\n"
        "  fc: {op: Linear, out_features: 10}\n"
    )
    Path("grows.yaml").write_text(recipe("{architecture: one.yaml}", data="{source: digits, batch_size: 479}"))
    with pytest.raises(ConfigError, match="too few for a batch norm"):  # 1,438 images
        run()
    assert run("train.progressive_resizing=null", "train.epochs=1")["epochs"] == 1


def test_the_range_test_is_at_the_first_size_and_is_kept_under_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def watched(model: nn.Module, *arguments: Any, **keywords: Any) -> Any:
        handle = model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[-1]))
        try:
            return lr_range_test(model, *arguments, **keywords)
        finally:
            handle.remove()

    def find(*sets: str) -> tuple[float, bool, set[int]]:
        seen.clear()
        options = RunOptions(sets=("optimizer.lr={find: {steps: 20}}", *sets), quiet=True)
        found = find_learning_rate("grows.yaml", options, raise_if_errors, notes.append).found
        return found.lr, found.is_new, set(seen)

    monkeypatch.setattr("zoo.assemble.max_lr.lr_range_test", watched)
    notes: list[str] = []
    assert find()[1:] == (True, {4})  # 20 steps are more than three epochs: the size stays
    assert any("of 4 x 4 as in the first epoch" in note for note in notes)
    assert find()[1:] == (False, set())
    assert find("train.progressive_resizing.sizes=[4, 6]", "train.epochs=9")[1:] == (False, set())
    assert find("train.progressive_resizing.sizes=[6, 8]")[1:] == (True, {6})
    assert find("train.progressive_resizing=null")[1:] == (True, {8})


def test_a_dry_run_times_each_size_and_adds_them_up(monkeypatch: pytest.MonkeyPatch) -> None:
    options, notes = RunOptions(quiet=True), []
    monkeypatch.setattr(
        "zoo.assemble.dry_run._steps", lambda training, stepper, helped, size=None: (float(size[0]), size[0] / 100)
    )
    found = dry_run("grows.yaml", options, raise_if_errors, notes.append)
    assert [(cost.image_size, cost.steps) for cost in found.sizes] == [((4, 4), 6), ((6, 6), 6), ((8, 8), 6)]
    assert found.loss == 4.0  # the first step's
    assert found.step_seconds == pytest.approx(0.06)
    assert found.total_seconds == pytest.approx(18 * 0.06 + found.evaluation_seconds)
    assert "\na step    4 x 4 0.040 s, 6 x 6 0.060 s, 8 x 8 0.080 s; above is the mean\n" in found.as_text()
    assert found.as_data()["sizes"][0] == {"image_size": (4, 4), "steps": 6, "seconds": 0.04}


def test_a_dry_run_takes_its_steps_at_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("zoo.train.step.resized", lambda images, size: asked.append(size) or resized(images, size))
    dry_run("grows.yaml", RunOptions(quiet=True), raise_if_errors, lambda text: None)
    assert asked == [(4, 4)] * 2 + [(6, 6)] * 2 + [(8, 8)] * 2


def test_the_bench_stays_at_the_first_size_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[int] = set()
    forward = nn.Conv2d.forward

    def watched(conv: nn.Conv2d, images: Tensor) -> Tensor:
        if conv.in_channels == 1 and images.device.type != "meta" and conv.training:
            seen.add(images.shape[-1])
        return forward(conv, images)

    monkeypatch.setattr(nn.Conv2d, "forward", watched)
    found = bench_recipe_engine("grows.yaml", RunOptions(quiet=True, epochs=40), raise_if_errors)
    assert seen == {4}
    assert found.image_size == (4, 4)
    assert "images resized to 4 x 4 as in the first epoch" in found.as_text()
    assert found.as_data()["image_size"] == [4, 4]
    full = bench_recipe_engine("grows.yaml", RunOptions(sets=("train.progressive_resizing=null",)), raise_if_errors)
    assert full.flops_per_image > 2 * found.flops_per_image
    assert full.as_data()["image_size"] is None
    assert "resized" not in full.as_text()


def test_the_test_knows_nothing_of_it() -> None:
    """A finished run's network, asked by hand at full size, gives the figures that the run gives."""
    result = run("eval.tta=flip")
    base = open_run(result["run_dir"], device="cpu", data_dir=None).base
    found = evaluate(base.module, base.test, base.loss, runtime=base.runtime, tta="flip")
    assert found.accuracy_tta == result["test"]["accuracy_tta"]
