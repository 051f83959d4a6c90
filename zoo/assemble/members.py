"""Which runs a command was given, where it takes several to average them. Floor 7."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from zoo.assemble.finding import is_of_run, newest_run, run_and_checkpoint
from zoo.assemble.known_data import read_known_data
from zoo.errors import UsageError
from zoo.layout import DATA, RUNS, is_dir, is_file, is_run


@dataclass(frozen=True, slots=True)
class Member:
    """A run, and which of its checkpoints."""

    path: Path
    checkpoint: str

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Those that the run wrote down; None of an old run that did not. Raises CheckpointError."""
        return read_known_data(self.path).classes if is_file(self.path / DATA) else None


def find_members(texts: Sequence[str], checkpoint: str | None = None) -> list[Member]:
    """The runs that are named, in order; a folder of several names all that lie in it.

    Raises CheckpointError where there is no such run, UsageError for one that is named twice and where their classes
    differ, as far as the runs wrote them down.
    """
    found: dict[tuple[Path, str], Member] = {}
    for text in texts:
        runs = runs_in(Path(text)) or runs_in(RUNS / text)
        for name in map(str, runs) if runs else [text]:
            member = Member(*run_and_checkpoint(name, checkpoint))
            key = (member.path.absolute(), member.checkpoint)
            if key in found:
                raise UsageError(f"{member.path} is named twice", help="each run has one vote: name it once")
            found[key] = member
    members = list(found.values())
    if len(members) > 1:
        require_same_classes((member.path, member.classes) for member in members)
    return members


def require_same_classes(found: Iterable[tuple[Path, tuple[str, ...] | None]]) -> None:
    """Raises UsageError where the classes of two runs, as far as they are known, are not the same in the same order."""
    known = [(path, classes) for path, classes in found if classes is not None]
    for path, classes in known[1:]:
        first, own = known[0]
        if classes == own:
            continue
        if len(classes) != len(own):
            said = f"{path} tells {len(classes)} classes apart, {first} {len(own)}"
        else:
            at = next(at for at, pair in enumerate(zip(classes, own, strict=True)) if len({*pair}) > 1)
            order = ", in another order" if {*classes} == {*own} else ""
            said = f"{path} has other classes{order}: number {at} is {classes[at]}, of {first} {own[at]}"
        raise UsageError(
            said,
            notes=[f"their classes stand in {first / DATA} and {path / DATA}"],
            help="probabilities are averaged of runs that know the same classes by the same names in the same order",
        )


def runs_in(folder: Path) -> list[Path]:
    """The runs in a folder of several, as `--run-dir` of a grid or of seeds makes it; none in a run, or in a series."""
    if not is_dir(folder) or is_of_run(folder) or newest_run(folder) is not None:
        return []
    return sorted(filter(is_run, folder.iterdir()), key=lambda path: _natural(path.name))


def _natural(name: str) -> list[str | int]:
    """What sorts `seed10` behind `seed2`."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def names_runs(word: Path) -> bool:
    """Whether a word names a run where images may be named too: a file or a folder of this path comes before a name."""
    path = word if is_dir(word) or is_file(word) else RUNS / word
    return is_of_run(path) or newest_run(path) is not None or bool(runs_in(path))


def runs_and_images(first: str, words: Sequence[Path]) -> tuple[list[str], list[Path]]:
    """The runs, which stand first, and the images behind them. Raises UsageError where there are none of these."""
    runs = list(takewhile(names_runs, words))
    if len(runs) == len(words):
        raise UsageError("no image is named", help="zoo predict RUN IMAGE, or several of both")
    return [first, *map(str, runs)], list(words[len(runs) :])
