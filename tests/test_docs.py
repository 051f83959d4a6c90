"""Examples are programs: every command, every YAML block and every Python block in README and docs runs."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from jsonschema_rs import Draft202012Validator
from PIL import Image

from zoo.assemble.editor_schema import json_schema
from zoo.cli import main
from zoo.data import sources, transforms
from zoo.data.settings import DataSettings
from zoo.diagnostics import Diagnostics
from zoo.document import plain, read_text
from zoo.layers import ops
from zoo.schema.recipe import Recipe, is_recipe

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CUSTOM_RESNET = ROOT / "zoo/architectures/custom_resnet.yaml"
SHORT = ("--set", "train.max_steps=3", "--set", "train.checkpoint.every_epochs=100")


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Page and text of each fenced block of a language."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for number, match in enumerate(re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)):
            yield f"{page.stem}-{number}", textwrap.dedent(match[1])


LIBRARIES = [text for _, text in blocks("yaml") if re.match(r"# \w+\.yaml\nblocks:", text)]


def commands(text: str) -> list[list[str]]:
    """The zoo commands of a block, their comments dropped."""
    lines = (line for line in text.splitlines() if line.startswith("zoo "))
    return [shlex.split(line, comments=True)[1:] for line in lines]


def as_run_here(command: list[str]) -> list[str]:
    """The command as it stands, but a training takes three steps, and a data set that may not be here is not read."""
    if command[0] != "run" or "--dry-run" in command:
        return command
    if "s8_custom_resnet" in command[1]:
        return [
            *command,
            *SHORT,
            "--set",
            "data={source: synthetic, batch_size: 8}",
            "--set",
            "model.width=8",
            "--set",
            "schedule=null",
            "--set",
            "optimizer.lr=0.01",
        ]
    return [*command, *SHORT]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a fresh checkout, with one short run in it."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "recipes").symlink_to(ROOT / "recipes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "quickstart", "--quiet", *SHORT]) == 0
    return folder


@pytest.fixture
def workspace(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(checkout, tmp_path, symlinks=True, dirs_exist_ok=True)


@pytest.mark.slow
@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in blocks("sh") if commands(text)])
def test_every_command_shown_runs(text: str, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands(text):
        status = main(as_run_here(command))
        assert status == 0, (command, capsys.readouterr().err)


@pytest.mark.slow
def test_the_way_to_own_images_and_an_own_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's section, command for command; the training takes three steps."""
    monkeypatch.chdir(tmp_path)
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Your own images")[1].split("\n## ")[0]
    recipe = re.search(r"^```yaml\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert recipe is not None
    Path("my.yaml").write_text(recipe[1], encoding="utf-8")
    for number, (split, name) in enumerate(itertools.product(("train", "test"), ("cat", "dog"))):
        folder = Path("photos", split, name)
        folder.mkdir(parents=True)
        for image in range(4):
            Image.new("RGB", (40, 48), (60 * number, 60 * image, 9)).save(folder / f"{image}.jpg")
    Image.new("RGB", (40, 48)).save("some.jpg")
    lines = re.findall(r"zoo [^&\n]*", section)
    assert [line.split()[1] for line in lines] == ["cp", "check", "run", "run", "predict"]
    for line in lines:
        command = shlex.split(re.split(r"\s{2,}", line)[0])[1:]
        assert main([*command, *(SHORT if command[0] == "run" else ())]) == 0, line


STEADY = ("summary", "draw", "eject", "export", "diff", "check", "ls")  # they print what their arguments say


def printed() -> Iterator[tuple[str, list[str], str]]:
    """Page, command and text of each output that is shown right behind a block whose first command is a steady one."""
    pattern = re.compile(r"^```sh\n((?:zoo [^\n]*\n)+)```\n\n```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
    for page in PAGES:
        for match in pattern.finditer(page.read_text(encoding="utf-8")):
            command = commands(match[1])[0]
            if command[0] in STEADY:
                yield f"{page.stem}-{'-'.join(command)}", command, match[2]


@pytest.mark.parametrize(
    ("command", "shown"), [pytest.param(command, shown, id=name) for name, command, shown in printed()]
)
def test_the_output_shown_is_what_comes(
    command: list[str], shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if command[-1].endswith(".onnx") and torch.__version__ < "2.13":
        pytest.skip("tiny_resnet's adaptive_max_pool2d has no ONNX function before PyTorch 2.13")
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    assert main(command) == 0
    said = capsys.readouterr()
    lines = iter([line.rstrip() for line in f"{said.out}\n{said.err}".splitlines()])
    for line in shown.splitlines():
        assert line == "…" or line in lines, line  # in this order: `in` goes on where it stopped


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in blocks("yaml")])
def test_every_yaml_block_is_right(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = read_text(text, Diagnostics())
    assert document is not None
    if "layers" in document and "ConvPoolBnRelu" in text:
        pytest.skip("the README shows a shipped file in short: test_the_readme_shows_the_shipped_file compares them")
    if "layers" not in document and "extends" not in document and "blocks" in document:
        pytest.skip("a library is checked by the blocks that use it")
    for library in LIBRARIES:
        (tmp_path / library.partition("\n")[0].removeprefix("# ")).write_text(library, encoding="utf-8")
    (tmp_path / "my_net.yaml").write_text(CUSTOM_RESNET.read_text(encoding="utf-8"), encoding="utf-8")
    if "distillation:" in text:
        pytest.skip("its teacher has to be trained: test_the_student_shown_learns_from_the_teacher_shown does it")
    path = tmp_path / "shown.yaml"
    path.write_text(text, encoding="utf-8")
    assert main(["check", "--strict", str(path)]) == 0, capsys.readouterr().err
    assert is_recipe(document.keys) == ("model" in document)


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in blocks("yaml")])
def test_every_yaml_block_fits_the_schema_for_editors(text: str) -> None:
    document = read_text(text, Diagnostics())
    assert document is not None
    schema = editor_schema("recipe" if is_recipe(document.keys) else "architecture")
    assert [error.message[:200] for error in schema.iter_errors(plain(document))] == []


def test_the_student_shown_learns_from_the_teacher_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = [text for _, text in blocks("yaml") if re.search("^name: (big|small)$", text, re.MULTILINE)]
    for name, text in zip(("big", "small"), shown, strict=True):
        Path(f"{name}.yaml").write_text(text, encoding="utf-8")
        assert main(["check", "--strict", f"{name}.yaml"]) == 0
        assert main(["run", f"{name}.yaml", *SHORT, "--set", "reports=[]", "--quiet"]) == 0
    teacher = json.loads(Path("runs/small/0001/env.json").read_text(encoding="utf-8"))["teacher"]
    assert teacher["run"] == str(tmp_path / "runs/big/0001")


@cache
def editor_schema(kind: str) -> Draft202012Validator:
    return Draft202012Validator(json_schema(kind))


def recipe_rows() -> Iterator[tuple[str, str]]:
    """Section and table row of each key that a recipe may have, as the models say."""
    import typing

    from pydantic import BaseModel
    from pydantic_core import PydanticUndefined

    def rows(name: str, model: type[BaseModel]) -> Iterator[tuple[str, str]]:
        for key, field in model.model_fields.items():
            nested = [part for part in (field.annotation, *typing.get_args(field.annotation)) if is_section(part)]
            default = field.default
            if field.is_required():
                text = "must be there"
            elif default is None or default is PydanticUndefined:
                text = "none" if default is None else "as below"
            else:
                text = f"`{default:.6g}`" if isinstance(default, float) else f"`{json.dumps(default)}`"
            if not name:
                text = {"reports": "all of them", "name": "the file's name"}.get(key, text)
            yield name, f"| `{key}` | {text} | {field.description} |"
            for part in nested:
                yield from rows(f"{name}.{key}" if name else key, part)

    def is_section(part: object) -> bool:
        return isinstance(part, type) and issubclass(part, BaseModel)

    yield from rows("", Recipe)
    yield from rows("data", DataSettings)


def test_the_recipe_page_has_every_key_with_its_default() -> None:
    page = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    assert [row for _, row in recipe_rows() if row not in page] == []


def test_the_recipe_page_names_every_transform_with_a_batched_form() -> None:
    page = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    shown = page[page.index("## How images are transformed") : page.index("## Optimizers")]
    batched = {name for name in transforms if transforms[name].batched or transforms[name].own}
    assert {name for name in batched if not re.search(rf"`{name}\b", shown)} == set()


def test_the_readme_shows_the_shipped_file() -> None:
    shown = next(text for name, text in blocks("yaml") if name.startswith("README"))
    shipped = CUSTOM_RESNET.read_text(encoding="utf-8")
    for line in shown[shown.index("layers:\n  prep") :].splitlines():
        assert line in shipped


USERS = {  # of the plugins that are shown
    "op": "input: [3, 8, 8]\nlayers:\n  scale: {op: Scale, start: 2.0}\n",
    "source": "model: {architecture: tiny_resnet, classes: 2}\ndata: {source: stripes, count: 40}\n"
    "optimizer: {name: SGD, lr: 0.1}\ntrain: {epochs: 1}\nreports: []\n",
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in blocks("python")])
def test_every_python_block_runs(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "@zoo." not in text:
        exec(compile(text, "<docs>", "exec"), {})
        return
    monkeypatch.setattr("zoo.assemble.plugins._files", [])  # no other test's commands shall name the plugin
    kind = "op" if "@zoo.op" in text else "source"
    plugin, user = tmp_path / f"my_{kind}.py", tmp_path / "user.yaml"
    plugin.write_text(text, encoding="utf-8")
    user.write_text(USERS[kind], encoding="utf-8")
    with ops.temporarily(), sources.temporarily():
        command = "summary" if kind == "op" else "run"
        where = [] if command == "summary" else ["--quiet", "--run-dir", str(tmp_path / "run")]
        assert main([command, str(user), "--plugin", str(plugin), *where]) == 0


def test_the_pages_link_to_pages_that_are_there() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_pages_name_every_command() -> None:
    from zoo.cli.app import app

    text = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    names = [command.name for command in app.registered_commands]
    assert [name for name in names if f"`zoo {name}" not in text] == []


@pytest.mark.parametrize("page", ["README.md", "docs/language.md"])
def test_the_error_shown_is_the_one_that_comes(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = re.search(r"^```text\n(error.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert shown is not None
    shipped = CUSTOM_RESNET.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    Path("my_net.yaml").write_text(shipped.replace("from: [layer1, res1]", "from: [layer1, prep]"), encoding="utf-8")
    assert main(["check", "my_net.yaml"]) == 2
    assert capsys.readouterr().err.startswith(shown[1])


def test_the_test_command_of_the_readme_is_the_one_that_ci_calls() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    pattern = re.search(r"s/\^\\\((.*)\\\)\$/", script)
    assert pattern is not None
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(re.findall(f"^{pattern[1]}$", readme, re.MULTILINE)) == 1
