"""What `zoo check` says of recipes with one thing wrong, word for word."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import CheckGolden
from zoo.assemble.check import check_file
from zoo.diagnostics import count_line, render

MODEL = "model: {architecture: tiny_resnet, classes: 10}"
DATA = "data: {source: digits, batch_size: 32}"
REST = "optimizer: {name: SGD, lr: 0.1}\ntrain: {epochs: 1}\n"


def recipe(model: str = MODEL, data: str = DATA, more: str = "") -> str:
    return f"{model}\n{data}\n{more}\n{REST}" if more else f"{model}\n{data}\n{REST}"


def statistics(said: str, model: str = MODEL) -> str:
    return recipe(model).replace("epochs: 1", f"epochs: 1, freeze_statistics: {said}")


def frozen(match: str, weights: str = "nope.pth") -> str:
    """A recipe of which a part is frozen for good."""
    groups = f"lr: 0.1, groups: [{{match: {match}, freeze: true}}]"
    return recipe(MODEL.replace("10", f"10, weights: {weights}")).replace("lr: 0.1", groups)


def twice(said: str, model: str = MODEL) -> str:
    return recipe(model).replace("epochs: 1", f"epochs: 1, activation_checkpointing: {said}")


CASES = {
    "foreign_name": recipe("model: {timm: resnet81}"),
    "foreign_keyword": recipe("model: {timm: resnet18, in_chans: 1, drop_blok_rate: 0.1}"),
    "foreign_values": recipe("model: {timm: vit_tiny_patch16_224, img_size: a, drop_rate: 3, in_chans: 1}"),
    "foreign_value_of_its_own": recipe("model: {timm: resnet18, in_chans: 1, global_pool: sum}"),
    "foreign_weights": recipe("model: {torchvision: resnet18, weight: pretrained, num_classes: -3}"),
    "foreign_pretrained": recipe("model: {timm: resnet18, in_chans: 1, pretrained: true}"),
    "foreign_classes": recipe("model: {timm: resnet18, in_chans: 1, num_classes: 3}"),
    "foreign_channels": recipe("model: {timm: resnet18}"),
    "cam_method": recipe(more="explain: {method: gradcamm, layer: layer1}"),
    "cam_layer": recipe("model: {architecture: net.yaml}", more="explain: {layer: convv}"),
    "cam_layer_too_small": recipe("model: {architecture: net.yaml}", more="explain: {layer: pool}"),
    "cam_layer_without_a_map": recipe("model: {architecture: net.yaml}", more="explain: {layer: fc}"),
    "class_count": recipe(MODEL.replace("10", "3")),
    "class_count_of_images_of_unknown_size": recipe(
        MODEL.replace("10", "3"), more="transforms: {eval: [{SmallestMaxSize: {max_size: 12}}, Normalize]}"
    ),
    "backend_that_cannot_be": recipe(more="transforms: {backend: batched, train: [CLAHE, Normalize]}"),
    "loss_of_other_classes": recipe(more="loss: {weight: [1, 2]}"),
    "loss_of_mixed_labels": recipe(more="loss: {name: MultiMarginLoss}\ntransforms: {train: [MixUp, Normalize]}"),
    "loss_that_takes_no_classes": recipe(more="loss: {name: BCEWithLogitsLoss}"),
    "loss_of_another_power": recipe(more="loss: {name: MultiMarginLoss, p: 3}"),
    "loss_of_two_reductions": recipe(more="loss: {name: BinaryCrossEntropy, reduction: sum, sum_classes: true}"),
    "loss_of_too_few_weights": recipe(more="loss: {name: BinaryCrossEntropy, weight: null, pos_weight: [2]}"),
    "loss_and_sampling_balanced": recipe(
        data=DATA.replace("32", "32, sampling: sqrt"), more="loss: {weight: balanced}"
    ),
    "loss_weighted_and_sampling_balanced": recipe(
        data=DATA.replace("32", "32, sampling: balanced"), more=f"loss: {{weight: [2{', 1' * 9}]}}"
    ),
    "loss_weighted_alike_and_sampling_balanced": recipe(
        data=DATA.replace("32", "32, sampling: balanced"), more=f"loss: {{weight: [2{', 2' * 9}]}}"
    ),
    "repeats_that_batches_cannot_hold": recipe(data=DATA.replace("32", "32, repeats: 17")),
    "repeats_that_tear_at_a_batchs_end": recipe(data=DATA.replace("32", "32, repeats: 3")),
    "sampling_by_no_name": recipe(data=DATA.replace("32", "32, sampling: balancd, repeats: 0")),
    "folds_beside_validation": recipe(data=DATA.replace("32", "32, validation: 0.1, folds: 5, fold: 5")),
    "fold_of_no_folds": recipe(data=DATA.replace("32", "32, fold: 1")),
    "folds_in_the_words_of_others": recipe(data=DATA.replace("32", "32, n_splits: 5, folds: 1")),
    "stopping_by_what_is_not_held_out": recipe().replace("epochs: 1", "epochs: 9, early_stopping: {patience: 3}"),
    "stopping_that_never_comes": recipe(
        data="data: {source: digits, validation: 0.2}", more="eval: {every: 2}"
    ).replace("epochs: 1", "epochs: 9.5, early_stopping: {patience: 4}"),
    "weights_that_are_not_there": recipe(MODEL.replace("10", "10, weights: nope.pth")),
    "several_inputs": recipe("model: {architecture: inputs.yaml}"),
    "several_outputs": recipe("model: {architecture: outputs.yaml}"),
    "several_exits": recipe("model: {architecture: exits.yaml, classes: 10}"),
    "several_pieces": recipe("model: {architecture: pieces.yaml}"),
    "several_heads": recipe("model: {architecture: heads.yaml}"),
    "several_heads_logits_last": recipe("model: {architecture: turned.yaml}"),
    "auxiliary_unknown": recipe("model: {architecture: heads.yaml}", more="loss: {auxiliary: {earlly: 0.3}}"),
    "auxiliary_of_all": recipe("model: {architecture: heads.yaml}", more="loss: {auxiliary: {early: 1, logits: 1}}"),
    "auxiliary_of_too_few": recipe("model: {architecture: three.yaml}", more="loss: {auxiliary: {early: 1}}"),
    "auxiliary_of_a_list": recipe("model: {architecture: exits.yaml}", more="loss: {auxiliary: {early: 0.3}}"),
    "auxiliary_of_one_tensor": recipe(more="loss: {auxiliary: {aux: 0.3}}"),
    "auxiliary_of_a_foreign_model": recipe(
        "model: {timm: resnet18, in_chans: 1}", more="loss: {auxiliary: {aux: 0.3}}"
    ),
    "auxiliary_of_another_size": recipe("model: {architecture: outputs.yaml}", more="loss: {auxiliary: {map: 0.3}}"),
    "auxiliary_below_zero": recipe("model: {architecture: heads.yaml}", more="loss: {auxiliary: {early: -0.3}}"),
    "auxiliary_mistyped": recipe("model: {architecture: heads.yaml}", more="loss: {auxilary: {early: 0.3}}"),
    "auxiliary_of_other_classes": recipe(
        "model: {architecture: heads.yaml, classes: 7}", more="loss: {auxiliary: {early: 0.3}}"
    ),
    "teacher_that_is_not_there": recipe(more="loss: {distillation: {teacher: nowhere}}"),
    "teacher_that_is_no_run": recipe(more="loss: {distillation: {teacher: timm:resnet18}}"),
    "teacher_without_measure": recipe(
        more="loss: {distillation: {techer: big, temperature: 0, weight: 1.5, kind: softer, alpha: 1}}"
    ),
    "teacher_below_train": recipe().replace("epochs: 1", "epochs: 1, distillation: {teacher: big}"),
    "teacher_hard_and_warm": recipe(more="loss: {distillation: {teacher: big, kind: hard, temperature: 2}}"),
    "teacher_hard_at_the_default": recipe(more="loss: {distillation: {teacher: big, kind: hard, temperature: 4}}"),
    "teacher_as_a_network": recipe(
        more="loss: {distillation: {teacher: {architecture: resnet18, weights: r.pth}, timm: resnet18, weights: r.pth}}"
    ),
    "teacher_by_name_alone": recipe(more="loss: {distillation: big}"),
    "statistics_that_move_under_frozen_norms": frozen("[prep, layer1]"),
    "statistics_of_a_new_network": statistics("true"),
    "statistics_of_a_network_without": statistics(
        "true", "model: {timm: vit_tiny_patch16_224, in_chans: 1, img_size: 8}"
    ),
    "statistics_unmatched": statistics("{match: [prepp, layer1, fc, nothing.at.all]}"),
    "statistics_of_nothing": statistics("{match: []}"),
    "statistics_by_kind": statistics("{kind: norm}"),
    "statistics_by_text": statistics("layer1"),
    "statistics_in_the_words_of_others": statistics("false, norm_eval: true, freeze_bn: true, layer_decay: 0.75"),
    "checkpointing_unmatched": twice("{match: [layer7, fc.weight, layer1]}"),
    "checkpointing_of_nothing": twice("{match: []}"),
    "checkpointing_by_text": twice("layer1"),
    "checkpointing_of_layers": twice("{match: [prep.conv, fc]}"),
    "checkpointing_without_blocks": twice("true", "model: {architecture: net.yaml}"),
    "checkpointing_of_what_is_not_called": twice("{match: '*.out_proj'}", "model: {torchvision: vit_b_32}").replace(
        "digits", "synthetic, shape: [3, 224, 224]"
    ),
    "checkpointing_of_what_writes_over": twice("{match: main}", "model: {architecture: inplace.yaml}"),
    "checkpointing_in_the_words_of_others": twice("false, grad_checkpointing: true"),
    "graph_pretrained": recipe(MODEL.replace("10", "10, weights: pretrained")),
    "weights_of_nobody": recipe(MODEL.replace("10", "10, weights: ~nosuchuser/w.pth")),
    "shares_in_per_cent": recipe(data=DATA.replace("32", "32, validation: 20"), more="target: {test_accuracy: 90}"),
    "nothing_as_in_python": recipe(data=DATA.replace("32", "32, validation: None")),
    "averaged_with_true": recipe().replace("epochs: 1", "epochs: 1, ema: true"),
    "params_to_be_worked_out": recipe(MODEL.replace("10", "10, width: 2 * 8")),
    "crop": recipe(more="transforms: {train: [{RandomCrop: {height: 12, width: 9}}, Normalize]}"),
    "crop_inside": recipe(
        more="transforms: {eval: [{OneOf: {transforms: [{CenterCrop: {height: 9, width: 9}}], p: 1}}, Normalize]}"
    ),
    "crop_by_corners": recipe(more="transforms: {train: [{Crop: {x_max: 9, y_max: 9}}, Normalize]}"),
    "random_tests": recipe(
        more="transforms: {eval: [{HorizontalFlip: {p: 1}}, VerticalFlip, {RandomCrop: {height: 6, width: 6}}, "
        "{OneOf: {transforms: [{ToGray: {p: 1}}, {InvertImg: {p: 1}}], p: 1}}, Normalize]}"
    ),
    "tests_without_normalize": recipe(more="transforms: {train: [HorizontalFlip, Normalize], eval: []}"),
    "training_without_normalize": recipe(more="transforms: {train: [HorizontalFlip]}"),
    "every_room_at_once": recipe(
        "model: {architecture: tiny_resnet, classes: 10, widht: 8}",
        DATA.replace("digits", "digitz"),
        "transforms: {train: [Normalise]}\nreports: [curvs]\nblah: 3\nschedule: {name: OneCycleLR, max_lr: fnd}",
    ),
    "every_room_beside_an_expression": recipe(
        DATA.replace("data", "model").replace("source: digits", "architecture: tiny_resnet, width: $(2 *)"),
        DATA.replace("32", "0"),
        "loss: {name: CrossEntropy}",
    ),
    "params_that_do_not_fit": recipe("model: {architecture: tiny_resnet, classes: 0, width: -3}"),
    "params_of_another_type": recipe("model: {architecture: tiny_resnet, classes: ten, width: 2.5}"),
    "null_params": recipe("model:\n  architecture: tiny_resnet\n  width:"),
    "names_for_sections": "model: tiny_resnet\ndata: digits\noptimizer: Adam\nschedule: OneCycle\ntrain: {epochs: 1}\n",
    "names_of_other_libraries": "model: {name: resnet18}\ndata: {type: CIFAR10}\noptimizer: sgd\nschedule: cosine\n"
    "loss: {_target_: torch.nn.CrossEntropyLoss, label_smoothing: 0.1}\ntrain: {epochs: 1, amp: true}\n"
    "transforms: {train: [{type: HorizontalFlip, p: 0.5}, {_target_: albumentations.RandomCrop, height: 8, width: 8}]}",
    "names_that_are_like_none": "model: {_target_: timm.create_model, model_name: resnet18}\ndata: {type: ImageNet}\n"
    "optimizer: xyz\nschedule: warmup\nloss: {type: focal}\ntrain: {epochs: 1}\n",
    "modules_of_other_libraries": recipe("model: {_target_: torchvision.models.resnet34}"),
    "a_foreign_model_named_twice": recipe("model: {timm: resnet18, name: resnet18, library: timm}"),
    "optimizers_of_other_libraries": recipe().replace("name: SGD, lr: 0.1", "_target_: torch.optim.SGD, lr: 0.1"),
    "a_tuple_in_flow_style": recipe().replace("SGD, lr: 0.1", "AdamW, betas: (0.9, 0.99), momentm: 1"),
    "unwritten_expressions": recipe(MODEL, DATA.replace("32", "4 * 8")).replace("0.1", "0.1 * 2"),
    "two_averages": recipe().replace("{epochs: 1}", "{epochs: 4, ema: {decay: 0.9}, swa: {start_epoch: 2}}"),
    "views_of_one_row": recipe(
        "model: {architecture: row.yaml}",
        more="eval: {tta: flip_translate}\ntransforms: {eval: [{Resize: {height: 1, width: 8}}, Normalize]}",
    ),
    "window_on_small_images": recipe(
        "model: {architecture: net.yaml}", more="transforms: {eval: [{Resize: {height: 4, width: 4}}, Normalize]}"
    ),
}
NET = """
input: [1, 8, 8]
layers:
  conv: {op: Conv2d, out_channels: 4, kernel_size: 5}
  pool: {op: AdaptiveAvgPool2d, output_size: 1}
  flatten: {op: flatten, start_dim: 1}
  fc: {op: Linear, out_features: 10}
"""
ROW = NET.replace("[1, 8, 8]", "[1, 1, 8]").replace("kernel_size: 5", "kernel_size: 1")
EXITS = NET.replace("s: 10", "s: $classes").replace("layers:", "params: {classes: 10}\nlayers:")
EXITS += "  early: {op: Linear, from: flatten, out_features: $classes}\n"
SEVERAL = {
    "inplace": """
input: [1, 8, 8]
layers:
  conv: {op: Conv2d, out_channels: 4, kernel_size: 1}
  main:
    - {op: SiLU, inplace: true}
    - {op: Conv2d, out_channels: 4, kernel_size: 1}
  flatten: {op: flatten, start_dim: 1}
  fc: {op: Linear, out_features: 10}
""",
    "inputs": NET.replace("[1, 8, 8]", "{image: [1, 8, 8], table: [5]}")
    .replace("conv: {", "conv: {from: image, ")
    .replace("fc: {", "both: {op: cat, from: [flatten, table], dim: 1}\n  fc: {"),
    "outputs": NET + "output: {map: pool, logits: fc}\n",
    "exits": EXITS + "output: [fc, early]\n",
    "heads": EXITS + "output: {logits: fc, early: early}\n",
    "turned": EXITS + "output: {early: early, logits: fc}\n",
    "three": EXITS + "output: {logits: fc, early: early, map: pool}\n",
    "pieces": NET + "  pieces: {op: chunk, chunks: 2, dim: 1}\n",
}

MAP = """
input: [1, 8, 8]
blocks:
  ConvBn:
    layers: [{op: Conv2d, out_channels: 8, kernel_size: 3}, BatchNorm2d, ReLU]
layers:
  body: {op: ConvBn, repeat: 2}
  other: ConvBn
  fc: {op: Linear, out_features: 16}
  kept: {op: permute, dims: [0, 2, 3, 1], from: body}
  behind: {op: Linear, out_features: 2}
output: [fc, other, behind]
"""
PARAMS = """
input: [1, 8, 8]
params: {channels: 8, nothing: null}
layers:
  conv: {op: Conv2d, out_channels: channels * 2, kernel_size: 3}
  conv2: {op: Conv2d, out_channels: channels, kernel_size: 3}
  conv3: {op: Conv2d, out_channels: $nothing, kernel_size: $(nothing + 1)}
  flatten: flatten
  fc: {op: Linear, out_features: 2}
"""


def messages(name: str) -> str:
    found = check_file(name)
    return "\n\n".join([*map(render, found), count_line(found)]) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_messages(name: str, golden: CheckGolden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(NET)
    Path("row.yaml").write_text(ROW)
    for network, text in SEVERAL.items():
        Path(f"{network}.yaml").write_text(text)
    Path("recipe.yaml").write_text(CASES[name])
    golden(f"{name}.txt", messages("recipe.yaml"))


@pytest.mark.parametrize(("name", "text"), [("lints_once_a_place", MAP), ("bare_params", PARAMS)])
def test_messages_about_architectures(
    name: str, text: str, golden: CheckGolden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(text)
    golden(f"{name}.txt", messages("net.yaml"))


def test_what_the_files_decide_is_not_guessed(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    crop = "transforms: {train: [{RandomCrop: {height: 500, width: 500}}, Normalize]}"
    file.write_text(recipe(MODEL, DATA.replace("digits", "image_folder"), crop))
    assert not len(check_file(str(file)))
    file.write_text(recipe(MODEL, DATA, crop))
    assert [item.code for item in check_file(str(file)).errors] == ["image-size"]


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        (frozen("[prep, layer1]"), True),
        (frozen("'[!f]*'"), True),
        (frozen("layer1"), False),  # what is in front of it trains
        (frozen("'*.norm'"), False),
        (frozen("[prep, layer1]").replace("freeze: true", "freeze: {until: 0.5}"), False),
        (frozen("[prep, layer1]").replace("epochs: 1", "epochs: 1, freeze_statistics: false"), False),
        (frozen("[prep, layer1]").replace("epochs: 1", "epochs: 1, freeze_statistics: true"), False),
        (frozen("[prep, layer1]").replace(", weights: nope.pth", ""), False),
    ],
)
def test_statistics_that_move_are_told_where_nothing_in_front_of_them_trains(
    text: str, is_told: bool, tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    assert ("moving-statistics" in [item.code for item in check_file(str(tmp_path / "recipe.yaml"))]) == is_told
