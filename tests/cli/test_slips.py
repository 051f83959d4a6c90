"""Slips that people make on their first day: each message points at them and tells the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Zoo
from tests.cli.test_startup import imported

NET = """
input: [1, 8, 8]
layers:
  conv: {op: Conv2d, out_channels: 4, kernel_size: 3}
  flatten: {op: flatten, start_dim: 1}
  fc: {op: Linear, out_features: 10}
"""


@pytest.mark.parametrize(
    ("right", "wrong", "place", "help"),
    [
        ("op: Conv2d", "op:Conv2d", "4:10", "a colon wants a space behind it: op: Conv2d"),
        ("  flatten:", "\tflatten:", "5:1", "YAML allows no tab in an indentation: use spaces"),
        ("  flatten:", "   flatten:", "5:4", "the first in column 3, this one in column 4"),
        ("kernel_size: 3}", "kernel_size: 3", "5:10", "the bracket opened in line 4 may not be closed"),
        ("conv: {op:", "conv {op:", "4:33", "is a colon missing behind a key"),
        ("out_features: 10", "out_features:", "6:32", "no value stands behind the colon"),
        ("out_features: 10", "out_features: $(5 * 2", "6:34", "close its parentheses"),
    ],
)
def test_slips_in_yaml(right: str, wrong: str, place: str, help: str, tmp_path: Path, zoo: Zoo) -> None:
    file = tmp_path / "net.yaml"
    file.write_text(NET)
    assert zoo("check", file).status == 0
    file.write_text(NET.replace(right, wrong, 1))
    outcome = zoo("check", file)
    assert outcome.status == 2
    assert f"net.yaml:{place}\n" in outcome.err
    assert help in outcome.err


@pytest.mark.parametrize(
    ("wrong", "help"),
    [
        ("{op: Conv2d, out_channels: 4, kernel_size: 3}", None),
        ('"Conv2d(1, 4, 3)"', "arguments go by name: {op: Conv2d, out_channels: …, kernel_size: …}"),
        ('"nn.Conv2d(1, 4, 3)"', "arguments go by name: {op: Conv2d, out_channels: …, kernel_size: …}"),
        ("nn.ReLU()", "write ReLU"),
    ],
)
def test_layers_as_python_calls_them(wrong: str, help: str | None, tmp_path: Path, zoo: Zoo) -> None:
    file = tmp_path / "net.yaml"
    file.write_text(NET.replace("{op: Conv2d, out_channels: 4, kernel_size: 3}", wrong))
    outcome = zoo("check", file)
    assert outcome.status == (2 if help else 0)
    assert help is None or f"= help: {help}\n" in outcome.err


def test_a_param_in_quotes_is_no_number(tmp_path: Path, zoo: Zoo) -> None:
    file = tmp_path / "net.yaml"
    file.write_text(NET.replace("out_channels: 4", "out_channels: $(width * 2)") + 'params: {width: "4"}\n')
    assert "= help: in quotes 4 is a text, without them a number\n" in zoo("check", file).err
    file.write_text(NET.replace("out_channels: 4", "out_channels: $(width * 2)") + "params: {width: wide}\n")
    assert "in quotes" not in zoo("check", file).err


@pytest.mark.parametrize(
    ("wrong", "help"),
    [
        ("${width}", "a param is read without braces: $width"),
        ('"${width}"', "the param is read as $width"),
        ("2 * $width", "write $(2 * width)"),
        ("$width*2", "write $(width*2)"),
        ("layer$width", "write $$ for a dollar sign"),
        ("runs/$width", "write $$ for a dollar sign"),
    ],
)
def test_params_as_other_languages_write_them(wrong: str, help: str, tmp_path: Path, zoo: Zoo) -> None:
    file = tmp_path / "net.yaml"
    file.write_text(NET.replace("out_channels: 4", f"out_channels: {wrong}") + "params: {width: 4}\n")
    outcome = zoo("check", file)
    assert outcome.status == 2
    assert f"= help: {help}\n" in outcome.err


@pytest.mark.parametrize(
    ("line", "help"),
    [
        ("epochs: 3", "did you mean train.epochs?"),
        ("batch_size: 3", "did you mean data.batch_size?"),
        ("lr: 3", "did you mean optimizer.lr?"),
        ("scheduler: x", "did you mean schedule?"),
        ("target: 0.9", "write target: {test_accuracy: 0.9}"),
        ("target: {test_accuracy: high}", None),  # wrong inside the section: its form is right
    ],
)
def test_keys_that_stand_outside_their_section(line: str, help: str | None, recipe: Path, zoo: Zoo) -> None:
    recipe.write_text(f"{recipe.read_text()}\n{line}\n")
    outcome = zoo("check", recipe)
    assert outcome.status == 2
    assert f"= help: {help}\n" in outcome.err if help else "write target" not in outcome.err


@pytest.mark.parametrize(
    ("written", "help"),
    [
        ("Resize: 8", "arguments go by name: `- Resize: {height: …, width: …}`"),
        ("{HorizontalFlip: null, p: 1}", "what follows `- HorizontalFlip:` is indented under its name"),
        ("{HorizontalFlip: {}, VerticalFlip: {}}", "begin each with `- `"),
        ("Cutout", "did you mean CoarseDropout?"),
        ("RandomCrop(8)", "arguments go by name: `- RandomCrop: {height: …, width: …}`"),
    ],
)
def test_transforms_as_other_libraries_write_them(written: str, help: str, recipe: Path, zoo: Zoo) -> None:
    outcome = zoo("run", recipe, "--dry-run", "--set", f"transforms.train=[{written}]")
    assert outcome.status == 2
    assert f"= help: {help}" in outcome.err


@pytest.mark.parametrize(
    ("change", "help"),
    [
        ("train.swa=true", "write {start_epoch: …}"),
        ("train.ema=true", "{} takes its defaults"),
        ("train.ema=0.999", "write {decay: 0.999}"),
        ("train.early_stopping=3", "write {patience: 3}"),
        ("train.checkpoint=", "train.checkpoint=null takes away what is there"),
        ("train={epochs: 1, checkpoint: }", "what belongs to it stands below it, indented"),
        ("tracking=tensorboard", "write {tensorboard: true}"),
        ("transforms={train: Normalize}", "write [Normalize]"),
        ("transforms.train=Normalize", "write [Normalize]"),
        ("transforms=Normalize", "write transforms: {train: […], eval: […]}"),
        ("data.batch_size=[64]", "without brackets: 64"),
        ("optimizer.momentum=90%", "a share is written 0.9"),
        ("optimizer.momentum=0,9", "a number has a decimal point: 0.9"),
        ("optimizer={name: SGD, lr: 0,1}", "a number has a decimal point: lr: 0.1"),
        ("train.max_steps=10_000", "without underscores: 10000"),
        ("train.epochs=5 epochs", "the number alone: 5"),
        ("train.checkpoint.every_minutes=10m", "the number alone: 10"),
        ("train.grad_clip=none", "nothing is written null"),
        ("train.precision=float16", "did you mean fp16?"),
        ("train.precision=bf16-mixed", "did you mean bf16?"),
        ("optimizer.lr='1e-3'", "without quotes: 1e-3"),
        ("optimizer.groups=[{match: 'cf.*', lr: 1}]", "did you mean fc"),
        ("optimizer.groups=[{match: classifier, lr: 1}]", "there are prep,"),
    ],
)
def test_values_on_the_first_day(change: str, help: str, recipe: Path, zoo: Zoo) -> None:
    outcome = zoo("run", recipe, "--dry-run", "--set", change)
    assert outcome.status == 2
    assert f"= help: {help}" in outcome.err


@pytest.mark.parametrize(
    ("change", "help"),
    [
        ("train.patience=3", "did you mean early_stopping.patience?"),
        ("train.decay=0.9", "did you mean ema.decay or lookahead.decay?"),
        ("train.max_epochs=3", "did you mean epochs?"),
        ("data.val_split=0.1", "did you mean validation?"),
        ("data.aug_repeats=3", "did you mean repeats?"),
        ("data.ra_sampler=true", "did you mean repeats?"),
        ("data.sampler=balanced", "did you mean sampling?"),
        ("data.class_balanced=true", "did you mean sampling?"),
        ("data.weighted_sampler=true", "did you mean sampling?"),
        ("train.resize_schedule={}", "write progressive_resizing: {epochs: [0, 10], sizes: [16, 32]}"),
        ("data.image_size=32", "transforms give images their size: Resize: {height: …, width: …}"),
        ("optimizer.learning_rate=0.1", "did you mean lr?"),
        ("schedule={name: StepLR, step_size: 1, warmup_epochs: 5}", "OneCycleLR warms up to peak_epoch; before any"),
    ],
)
def test_keys_of_other_libraries_and_of_the_section_inside(change: str, help: str, recipe: Path, zoo: Zoo) -> None:
    outcome = zoo("check", recipe, "--set", change)
    assert outcome.status == 2
    assert "error[unknown-key]: " in outcome.err
    assert f"= help: {help}" in outcome.err


def test_a_section_without_anything_below_it_is_to_be_indented(recipe: Path, zoo: Zoo) -> None:
    recipe.write_text(
        recipe.read_text().replace("optimizer: {name: SGD, lr: 0.1, momentum: 0.9}", "optimizer:\nlr: 0.1")
    )
    outcome = zoo("check", recipe)
    assert outcome.status == 2
    assert "= help: what belongs to it stands below it, indented" in outcome.err


def test_a_number_in_a_key_s_place_is_no_decimal_comma_without_a_number_before_it(recipe: Path, zoo: Zoo) -> None:
    assert "decimal point" not in zoo("check", recipe, "--set", "optimizer={name: SGD, 1}").err


def test_a_foreign_model_takes_its_classes_from_the_data(recipe: Path, zoo: Zoo) -> None:
    text = recipe.read_text()
    recipe.write_text(text.replace("architecture: tiny_resnet, classes: 10, width: 8", "timm: resnet18, classes: 10"))
    outcome = zoo("check", recipe)
    assert outcome.status == 2
    assert "tiny.yaml:3:25\n" in outcome.err
    assert "call it num_classes" in outcome.err
    recipe.write_text(text.replace("architecture: tiny_resnet, classes: 10, width: 8", "timm: resnet18, in_chans: 1"))
    assert zoo("check", recipe).status == 0


def test_an_unknown_optimizer_is_told_in_a_process_that_has_no_compiler_yet(recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace("name: SGD", "name: SDG"))
    found = imported("check", str(recipe), status=2, said="did you mean SGD")
    assert "timm" in found  # which has optimizers too: it is asked last, with the compiler's stand-ins in place


def test_a_drawing_for_markdown_is_a_block_of_it(tmp_path: Path, zoo: Zoo) -> None:
    assert zoo("draw", "tiny_resnet", "-o", tmp_path / "net.md").status == 0
    assert zoo("draw", "tiny_resnet", "-o", tmp_path / "net.mmd").status == 0
    plain = (tmp_path / "net.mmd").read_text(encoding="utf-8")
    assert plain.startswith("flowchart TB\n")
    assert (tmp_path / "net.md").read_text(encoding="utf-8") == f"```mermaid\n{plain}```\n"


def test_what_is_not_one_of_the_forms_of_a_drawing_is_not_written(tmp_path: Path, zoo: Zoo) -> None:
    outcome = zoo("draw", "tiny_resnet", "-o", tmp_path / "net.png")
    assert outcome.status == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["eject", "draw"])
def test_a_folders_name_is_not_that_of_a_file(tmp_path: Path, zoo: Zoo, command: str) -> None:
    outcome = zoo(command, "tiny_resnet", "-o", f"{tmp_path}/nowhere/")
    assert outcome.status == 2
    assert "nowhere/ is a folder's name" in outcome.err
    assert f"{tmp_path} is a folder: what is written is a file" in zoo(command, "tiny_resnet", "-o", tmp_path).err
    assert not list(tmp_path.iterdir())


def test_config_asks_every_room_too(recipe: Path, zoo: Zoo) -> None:
    recipe.write_text(recipe.read_text().replace("SGD", "SDG").replace("reports: []", "reports: [curvs]"))
    outcome = zoo("config", recipe)
    assert outcome.status == 2
    assert "there is no optimizer 'SDG'" in outcome.err
    assert "did you mean curves?" in outcome.err


def test_a_name_set_where_a_section_stands_shows_where_it_goes(recipe: Path, zoo: Zoo) -> None:
    outcome = zoo("config", recipe, "--set", "optimizer=Adam", "--set", "data=digits")
    assert "help: --set 'optimizer={name: Adam}'\n" in outcome.err
    assert "help: --set data.source=digits\n" in outcome.err
    assert zoo("config", recipe, "--set", "data.source=digits").status == 0


@pytest.mark.parametrize("option", ["--set", "extends"])
def test_keys_that_another_optimizer_left_behind_say_so(tmp_path: Path, recipe: Path, zoo: Zoo, option: str) -> None:
    if option == "--set":
        outcome = zoo("check", recipe, "--set", "optimizer.name=Adam")
        assert "the optimizer is Adam here, the key is from another (--set optimizer.name:1:1)\n" in outcome.err
        assert "help: --set 'optimizer={name: Adam}' replaces the whole\n" in outcome.err
        assert zoo("check", recipe, "--set", "optimizer={name: Adam}").status == 0
        assert "from another" not in zoo("check", recipe, "--set", "optimizer={name: Adam, momentum: 0.9}").err
    else:
        child = tmp_path / "child.yaml"
        child.write_text(f"extends: {recipe}\noptimizer: {{name: Adam}}\n")
        outcome = zoo("check", child)
        assert "child.yaml:2:19)\n" in outcome.err
        assert "help: momentum: null leaves it out\n" in outcome.err
        child.write_text(f"extends: {recipe}\noptimizer: {{name: Adam, momentum: null}}\n")
        assert zoo("check", child).status == 0
        child.write_text(f"extends: {recipe}\noptimizer: {{betas: [0.9, 0.99]}}\n")  # the control: a key of its own
        assert "from another" not in zoo("check", child).err
    assert outcome.status == 2


@pytest.mark.parametrize("path", ["model", "model.architecture", "data.source", "optimizer.name", "train.epochs"])
def test_what_an_option_took_away_names_the_option(path: str, recipe: Path, zoo: Zoo) -> None:
    outcome = zoo("check", recipe, "--set", f"{path}=null")
    assert outcome.status == 2
    assert f"= note: --set {path}=null took it away\n" in outcome.err
    assert "took it away" not in zoo("check", recipe, "--set", f"{path}=null", "--set", f"{path}=3").err


def test_a_missing_argument_is_one_line(zoo: Zoo) -> None:
    outcome = zoo("bench")
    assert outcome.status == 2
    assert "Choose from: transforms, engine\n" in outcome.err
    assert "\t" not in outcome.err


def test_cp_makes_no_folders(tmp_path: Path, zoo: Zoo) -> None:
    outcome = zoo("cp", "tiny_resnet", tmp_path / "nope" / "x.yaml")
    assert (outcome.status, list(tmp_path.iterdir())) == (2, [])
    assert "there is no folder" in outcome.err
    assert zoo("cp", "tiny_resnet", tmp_path / "x.yaml").status == 0


def test_cp_into_a_folder_that_is_not_there_writes_no_file_of_its_name(tmp_path: Path, zoo: Zoo) -> None:
    outcome = zoo("cp", "tiny_resnet", f"{tmp_path}/nope/")
    assert (outcome.status, list(tmp_path.iterdir())) == (2, [])
    assert "there is no folder" in outcome.err
    assert "make it first; without the slash it is the name of a file" in outcome.err
    (tmp_path / "nope").mkdir()
    assert zoo("cp", "tiny_resnet", f"{tmp_path}/nope/").out == f"{tmp_path}/nope/tiny_resnet.yaml\n"
    outcome = zoo("cp", "tiny_resnet", f"{tmp_path}/nope/tiny_resnet.yaml/")
    assert (outcome.status, "is a file" in outcome.err) == (2, True)


def test_seeds_are_read_in_a_dry_run_too(recipe: Path, zoo: Zoo) -> None:
    assert zoo("run", recipe, "--dry-run", "--seeds", "a,b").status == 2


def test_the_class_count_names_the_param_that_sets_it(recipe: Path, zoo: Zoo) -> None:
    recipe.write_text(recipe.read_text().replace("classes: 10, ", "").replace("digits", "synthetic, classes: 3"))
    outcome = zoo("run", recipe, "--dry-run")
    assert outcome.status == 3
    assert "help: set model.classes to 3" in outcome.err


def test_a_default_in_a_difference_has_no_place(recipe: Path, zoo: Zoo) -> None:
    other = recipe.with_name("other.yaml")
    other.write_text(recipe.read_text().replace("momentum: 0.9", "momentum: 0.9, dampening: 0.1"))
    out = zoo("diff", recipe, other).out
    assert "(default)" in out
    assert "default:1:1" not in out


def test_an_architecture_where_a_recipe_is_due_is_one_message(tmp_path: Path, zoo: Zoo) -> None:
    file = tmp_path / "net.yaml"
    file.write_text(NET.replace("out_features: 10", "out_features: $classes") + "params: {classes: 10}\n")
    for command in ("config", "run", "find-lr"):
        outcome = zoo(command, file)
        assert outcome.status == 2
        assert "net.yaml is an architecture; a recipe is due here" in outcome.err
        assert outcome.err.endswith("\n1 error\n")


def test_a_bare_call_is_one_short_message(zoo: Zoo) -> None:
    outcome = zoo()
    assert outcome.status == 2
    assert "a command is missing: zoo run quickstart" in outcome.err
    assert len(outcome.err.splitlines()) == 2


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("train", "run"),
        ("test", "eval"),
        ("runs", "ls runs"),
        ("quickstart", "run quickstart"),
        ("a.yaml", "run a.yaml"),
    ],
)
def test_commands_as_others_call_them(word: str, meant: str, zoo: Zoo) -> None:
    outcome = zoo(word, "my.yaml")
    assert outcome.status == 2
    assert outcome.err == f"error[usage]: no such command '{word}'\n   = help: did you mean zoo {meant}?\n"


def test_a_command_that_nobody_knows(zoo: Zoo) -> None:
    assert zoo("flurb").err == "error[usage]: no such command 'flurb'\n   = help: see zoo --help\n"
    assert "Did you mean 'summary'?" in zoo("summry").err


@pytest.mark.parametrize("beside", [("--seeds", "0,1"), ("--resume",)])
def test_what_a_dry_run_would_ignore_is_refused(beside: tuple[str, ...], recipe: Path, zoo: Zoo) -> None:
    outcome = zoo("run", recipe, "--dry-run", *beside)
    assert (outcome.status, outcome.out) == (2, "")
    assert f"leave {beside[0]} out" in outcome.err


@pytest.mark.parametrize("name", ["best/resnet18", "recipes/best/resnet18", "recipes/quickstart", "quickstart"])
def test_what_ls_prints_can_be_copied(name: str, tmp_path: Path, zoo: Zoo) -> None:
    assert zoo("cp", name, tmp_path / "mine.yaml").status == 0
    assert "optimizer:" in (tmp_path / "mine.yaml").read_text()
    assert zoo("cp", f"worst/{name}", tmp_path / "other.yaml").status == 2


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("check",), 2),
        (("run",), 2),
        (("summary",), 2),
        (("diff", "quickstart"), 2),
        (("check", "--plugin"), 2),
        (("eval",), 4),
    ],
)
def test_what_cannot_be_a_path_is_no_file(command: tuple[str, ...], status: int, zoo: Zoo) -> None:
    for impossible in ("a" * 300, "a\0b"):
        outcome = zoo(*command, impossible)
        assert outcome.status == status, outcome.err
        assert "too long" not in outcome.err


@pytest.mark.parametrize(
    ("key", "code"), [("architecture", "no-such-architecture"), ("weights", "no-weights"), ("use", "no-such-library")]
)
def test_what_cannot_be_a_path_is_no_file_in_a_file_either(key: str, code: str, tmp_path: Path, zoo: Zoo) -> None:
    file, impossible = tmp_path / "mine.yaml", "a" * 300
    if key == "use":
        file.write_text(f"use: {impossible}\n{NET}")
        assert f"error[{code}]" in zoo("check", file).err
        return
    file.write_text(f"extends: quickstart\nmodel: {{{key}: {impossible}}}\n")
    outcome = zoo("run", file, "--dry-run")
    assert f"[{code}]" in outcome.err, outcome.err
