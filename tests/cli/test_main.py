"""Exit codes, streams, and no traceback ever."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import typer

import zoo as package
from tests.cli.conftest import Zoo
from zoo.cli import main
from zoo.cli.failures import as_zoo_error, report
from zoo.errors import DataError, EnvironmentFault, StoppedBySignal

COMMANDS = (
    *("run", "summary", "explain", "find-lr", "report", "eval", "predict", "check", "config", "ls", "cp"),
    *("eject", "draw", "diff", "schema", "bench"),
)


def test_version(zoo: Zoo) -> None:
    assert zoo("--version").out == f"zoo {package.__version__}\n"


def test_a_checkout_that_is_not_installed_says_so() -> None:
    """A Python without zoo's packages: `-S` leaves site-packages out."""
    root = str(Path(package.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-S", "-m", "zoo", "ls"], cwd=root, env={"PYTHONPATH": ""}, capture_output=True, text=True
    )
    assert done.returncode == 6
    assert done.stderr == (
        f"error[not-installed]: typer is not installed for {sys.executable}\n"
        "   = help: pip install . in zoo's checkout, or activate the environment that has it\n"
    )


def test_a_module_of_ours_that_is_missing_is_a_bug() -> None:
    assert as_zoo_error(ModuleNotFoundError("No module named 'zoo.nope'", name="zoo.nope")).exit_code == 1


def cpu_seconds_of_help() -> tuple[float, str]:
    code = "import sys, zoo.cli; status = zoo.cli.main(['--help']); assert not {'torch', 'rich'} & set(sys.modules)"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def test_help_is_quick_imports_no_torch_and_names_every_command() -> None:
    # Processor time, the best of three: on an idle machine that is the wall clock's, on a busy one it still counts.
    found = [cpu_seconds_of_help() for _ in range(3)]
    assert min(seconds for seconds, _ in found) < 0.3
    for name in ("run", "summary", "explain", "find-lr", "report", "eval", "predict", "check", "config", "ls", "cp"):
        assert f"\n  {name} " in found[0][1]
    for name in ("eject", "draw", "diff", "schema", "bench"):
        assert f"\n  {name} " in found[0][1]


def test_every_command_has_help(zoo: Zoo) -> None:
    for command in COMMANDS:
        outcome = zoo(command, "--help")
        assert outcome.status == 0
        assert "--plugin" in outcome.out
        assert "--strict" in outcome.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_is_due_in_words_and_no_python_types(zoo: Zoo, command: str) -> None:
    text = zoo(command, "--help").out
    assert not re.search(r"[<>](?!=)|\[\[|\.\.\.\}", text)
    assert not re.search(r"\{[^|{}]*\}", text.splitlines()[0]), "braces are for choices"


@pytest.mark.parametrize(
    "arguments",
    [("run",), ("nonsense",), ("run", "quickstart", "--no-such"), ("run", "no_such_recipe"), ("config", "x", "--set")],
)
def test_a_wrong_call_exits_2_in_words(zoo: Zoo, arguments: tuple[str, ...]) -> None:
    outcome = zoo(*arguments)
    assert outcome.status == 2
    assert outcome.err.startswith("error[")
    assert outcome.out == ""


def test_a_wrong_call_in_json(zoo: Zoo) -> None:
    outcome = zoo("run", "no_such_recipe", "--json")
    (message,) = json.loads(outcome.out)
    assert (outcome.status, message["severity"], message["code"]) == (2, "error", "no-such-recipe")
    assert set(message) == {"severity", "code", "message", "file", "line", "column", "notes", "help"}


def test_an_unknown_recipe_is_answered_with_those_there_are_once(zoo: Zoo) -> None:
    assert zoo("run", "no_such_recipe").err.count("era_s11_resnet18") == 1
    assert "did you mean quickstart?" in zoo("run", "quikstart").err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DataError("no data"), 3),
        (EnvironmentFault("no disk"), 6),
        (StoppedBySignal("stopped", signal_number=2), 130),
        (StoppedBySignal("stopped", signal_number=15), 143),
        (KeyboardInterrupt(), 130),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 6),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 6),
        (MemoryError(), 6),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 6),
        (typer.BadParameter("bad"), 2),
        (ValueError("what is this"), 1),
        (SystemExit(5), 5),
    ],
)
def test_status_of_every_error(error: BaseException, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(error, debug=False, as_json=False) == status
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_of_ours_is_one_line_and_how_to_report(capsys: pytest.CaptureFixture[str]) -> None:
    report(ValueError("what\nis this"), debug=False, as_json=False)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "error[bug]: a bug of ours: ValueError: what"
    assert "report it with the command and its output under --debug" in lines[1]
    assert len(lines) == 2


def test_debug_shows_the_traceback_of_bugs_only(capsys: pytest.CaptureFixture[str]) -> None:
    report(ValueError("x"), debug=True, as_json=False)
    assert "ValueError: x" in capsys.readouterr().err
    report(DataError("x"), debug=True, as_json=False)
    assert capsys.readouterr().err == "error[data]: x\n"


def test_out_of_memory_is_told_with_advice() -> None:
    assert "batch_size" in (as_zoo_error(MemoryError()).help or "")


def piped(
    command: str, folder: Path | None = None, timeout: float = 120
) -> tuple[int, subprocess.CompletedProcess[str]]:
    """A zoo command with something behind a pipe: its own exit status, and what the last of the pipe gave."""
    script = f"set -o pipefail; {sys.executable} -m zoo {command}; echo ${{PIPESTATUS[0]}} >&3"
    with tempfile.TemporaryFile("w+") as status:
        done = subprocess.run(
            ["bash", "-c", f"exec 3>&{status.fileno()}; {script}"],
            pass_fds=[status.fileno()], cwd=folder, capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip
        status.seek(0)
        return int(status.read()), done


@pytest.mark.parametrize("command", ["config quickstart", "ls", "summary", "summary resnet18", "draw resnet18"])
def test_a_closed_pipe_is_no_error(command: str) -> None:
    status, done = piped(f"{command} | (read line; exec 0<&-; sleep 0.2; echo $line)")
    assert (status, done.stderr) == (0, "")
    assert done.stdout.strip()
    assert piped(f"{command} | true")[0] == 0


def test_a_training_outlives_whoever_read_its_progress(recipe: Path) -> None:
    status, done = piped(f"run {recipe} 2>&1 | (read line; exec 0<&-; echo gone)", recipe.parent)
    assert (status, done.stdout) == (0, "gone\n")
    assert (recipe.parent / "runs/tiny/0001/result.json").is_file()


def test_a_training_that_ignores_hang_ups_outlives_its_terminal(recipe: Path) -> None:
    """As under nohup. What is written to a terminal that was closed fails with EIO, not with a broken pipe."""
    main_end, terminal = os.openpty()
    process = subprocess.Popen(
        ["bash", "-c", f"trap '' HUP; exec {sys.executable} -m zoo run {recipe}"],
        cwd=recipe.parent, stdout=terminal, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    os.read(main_end, 1)  # it has begun to speak
    os.close(main_end)
    process.send_signal(signal.SIGHUP)
    assert process.wait(120) == 6  # the outcome, which is for stdout, reached nobody
    assert (recipe.parent / "runs/tiny/0001/result.json").is_file()


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_streams_that_are_closed_from_the_start_are_no_error(closed: str) -> None:
    done = subprocess.run(["bash", "-c", f"{sys.executable} -m zoo ls {closed}"], check=False, timeout=60)
    assert done.returncode == 0


EARLY = """
import signal, sys
from importlib.abc import MetaPathFinder

class Interrupts(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1]:
            del sys.meta_path[0]
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
sys.meta_path.insert(0, Interrupts())
sys.modules.pop(sys.argv[1], None)  # Python's own may be there already
from zoo.cli import main
sys.exit(main(["ls", "recipes"]))
"""


@pytest.mark.parametrize("module", ["contextlib", "zoo.cli.streams", "zoo.errors", "zoo.cli.app"])
def test_ctrl_c_while_we_are_imported_is_told(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", EARLY, module], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (130, "error[stopped]: stopped by the keyboard\n")


def test_ctrl_c_while_the_words_are_parsed_is_told(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.cli.session._one_each", lambda *words: signal.raise_signal(signal.SIGINT))
    outcome = zoo("ls")
    assert (outcome.status, outcome.err) == (130, "error[stopped]: stopped by the keyboard\n")


AFTERWARDS = """
import atexit, os, signal
atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))
"""
WITHIN_EXEC = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
exec("signal.raise_signal(signal.SIGINT)")
"""


@pytest.mark.parametrize(("plugin", "status"), [("", 0), (AFTERWARDS, 0), (WITHIN_EXEC, 130)])
def test_the_status_is_that_of_what_was_told(plugin: str, status: int, tmp_path: Path) -> None:
    """Whenever Ctrl-C comes while Python takes leave, and wherever it came before."""
    (tmp_path / "plugin.py").write_text(plugin)
    words = [sys.executable, "-m", "zoo", "ls", "recipes", "--plugin", tmp_path / "plugin.py"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == status
    assert done.stderr == ("error[stopped]: stopped by the keyboard\n" if status else "")


INTERRUPTED = """
import signal, sys
import zoo.assemble.catalogue as catalogue
from zoo.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
catalogue.listing = lambda kind: signal.raise_signal(int(sys.argv[1]))
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("number", "status", "message"),
    [
        (signal.SIGINT, 130, "stopped by the keyboard"),
        (signal.SIGTERM, 143, "stopped by SIGTERM"),
        (signal.SIGUSR1, 143, "stopped by SIGUSR1"),
        (signal.SIGHUP, 143, "stopped by SIGHUP"),
    ],
)
def test_a_signal_is_told_wherever_it_comes(number: int, status: int, message: str) -> None:
    words = [sys.executable, "-c", INTERRUPTED, str(int(number)), "ls", "ops", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (status, f"error[stopped]: {message}\n")
    assert json.loads(done.stdout)[0]["message"] == message


def test_a_signal_after_the_training_costs_the_report_alone(
    recipe: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("run", recipe, "--run-dir", recipe.parent / "out", "--set", "reports=[curves]", "-q")
    with monkeypatch.context() as patch:
        patch.setattr("zoo.report.record", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
        stopped = zoo(*words, "--json")
    assert stopped.status == 143
    assert stopped.err.endswith("error[stopped]: stopped by SIGTERM\n")
    result = (recipe.parent / "out/result.json").read_text()
    assert not (recipe.parent / "out/report.html").exists()
    again = zoo(*words, "--json", "--resume")
    assert (again.status, json.loads(again.out)) == (0, json.loads(result))
    assert (recipe.parent / "out/report.html").is_file()


def test_what_is_ignored_stays_ignored() -> None:
    """As SIGHUP under nohup."""
    words = ["bash", "-c", f"trap '' HUP; exec {sys.executable} -c \"$0\" {int(signal.SIGHUP)} ls ops", INTERRUPTED]
    assert subprocess.run(words, capture_output=True, timeout=120).stderr.startswith(b"error[bug]")  # None: no listing


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_the_terminal_cannot_show_is_escaped(encoding: str) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    for command, status in (("summary tiny_resnet", 0), ("ls n\u00f6\u4e00 --json", 2)):
        words = [sys.executable, "-m", "zoo", *command.split()]
        done = subprocess.run(words, capture_output=True, env=environment, timeout=120)
        assert (done.returncode, b"Traceback" in done.stderr, b"a bug" in done.stderr) == (status, False, False)
        assert done.stdout.decode(encoding)
        if "--json" in command:
            assert json.loads(done.stdout.decode(encoding))


def test_main_takes_arguments(tmp_path: Path) -> None:
    assert main(["check", str(tmp_path / "missing.yaml"), "--quiet"]) == 2


def test_windows_is_told_what_zoo_runs_on(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    assert zoo("ls").status == 0  # the control
    monkeypatch.setattr(sys, "platform", "win32")
    for command in ("ls", "run"):
        outcome = zoo(command)
        assert outcome.status == 6
        assert outcome.err == "error[platform]: zoo runs on Linux and macOS\n   = help: on Windows, use it in WSL\n"
    with pytest.raises(EnvironmentFault, match="Linux and macOS"):
        _ = package.run
