"""One training in five forms, side by side in one run: the originals' loop, one by hand, Lightning's, timm's, zoo's.

All five train the same network from the same weights on the same images with the same optimizer and schedule, in
turns of some steps each, and only ratios are worth anything::

    python tests/benchmarks/training_loops.py --recipe s8_custom_resnet --data-dir DIR
    python tests/benchmarks/training_loops.py --recipe s8_custom_resnet --set model.width=8 --set data.batch_size=64
    python tests/benchmarks/training_loops.py --recipe quickstart --steps 20 --shared-data

Every form has its usual data path: albumentations in a DataLoader for the originals' and for Lightning, timm's loader
for timm, batches made on the device for the hand loop and for zoo. With ``--shared-data`` all but zoo take the hand
loop's batches: what is left are the loops. Without ``--data-dir``, images are noise of the recipe's shape.

On a machine that others use too, ``--clock cpu --device cpu --threads 1`` counts what each form's process works
instead of how long it takes. Lightning needs ``pip install 'zoo[bench]'``; what is not installed is left out, and the
reason told.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from loops import FORMS

if TYPE_CHECKING:
    from loops.relay import Runner
    from loops.task import Task


@dataclass(frozen=True)
class Spread:
    """Median, least and most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, numbers: list[float]) -> Spread:
        return cls(median(numbers), min(numbers), max(numbers))


@dataclass(frozen=True)
class Row:
    """What was measured of a form. Ratios are of the same round, images a second over images a second."""

    form: str
    images_per_second: float
    of_hand: Spread | None
    of_originals: Spread | None
    data_share: float
    peak_share: float
    loss: float
    peak_bytes: int


def rows(runners: list[Runner], task: Task, flops_per_image: int, matmul: float) -> list[Row]:
    """A row for each form that ran."""
    images = task.steps * task.batch_size
    ran = {runner.name: runner.turns for runner in runners if runner.turns}

    def against(name: str, base: str) -> Spread | None:
        if base not in ran:
            return None
        return Spread.of([theirs.seconds / own.seconds for own, theirs in zip(ran[name], ran[base], strict=True)])

    found = []
    for name, turns in ran.items():
        rate = median(images / turn.seconds for turn in turns)
        found.append(
            Row(
                form=name,
                images_per_second=rate,
                of_hand=against(name, "hand"),
                of_originals=against(name, "originals"),
                data_share=median(turn.waited / turn.seconds for turn in turns),
                peak_share=rate * flops_per_image * 3 / matmul,  # forward, and backward at twice its cost
                loss=turns[-1].loss,
                peak_bytes=turns[-1].peak_bytes,
            )
        )
    return found


def print_table(found: list[Row], title: str) -> None:
    """The table people read."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="")
    table.add_column("form")
    headings = ("images/s", "of hand", "of originals'", "in data", "of matmul peak", "last loss", "memory")
    for heading in headings:
        table.add_column(heading, justify="right")

    def ratio(spread: Spread | None) -> str:
        return f"{spread.median:.3f} ({spread.least:.2f}-{spread.most:.2f})" if spread else ""

    for row in found:
        table.add_row(
            row.form,
            f"{row.images_per_second:,.1f}",
            ratio(row.of_hand),
            ratio(row.of_originals),
            f"{row.data_share:.1%}",
            f"{row.peak_share:.1%}",
            f"{row.loss:.4f}",
            f"{row.peak_bytes / 2**30:.2f} GiB",
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Runs all rounds; prints the table unless JSON is asked for."""
    import torch
    from loops.peak import matmul_peak
    from loops.recipe import Length, make_task
    from loops.relay import Relay

    task, flops = make_task(
        options.recipe,
        Length(options.steps, options.rounds + 1),
        sets=options.set,
        device=options.device,
        data_dir=options.data_dir,
        workers=options.workers,
        threads=options.threads,
        shared_data=options.shared_data,
        augmented=not options.plain,
        clock=options.clock,
    )
    torch.set_num_threads(task.threads)
    matmul = 0.0
    with Relay(task, options.forms) as relay:
        for number in range(1, options.rounds + 1):
            relay.round()
            matmul = max(matmul, matmul_peak(task))
            print(f"round {number} of {options.rounds}", file=sys.stderr)
    found = rows(relay.runners, task, flops, matmul)
    skipped = {runner.name: runner.skipped for runner in relay.runners if runner.skipped}
    if not options.json:
        where = f"{task.device}, {task.precision}, {task.threads} threads, {task.workers} workers, {task.clock} clock"
        print_table(
            found, f"{task.recipe}: {options.rounds} rounds of {task.steps} x {task.batch_size} images; {where}"
        )
        for name, reason in skipped.items():
            print(f"{name}: left out: {reason}")
    said = ("recipe", "device", "precision", "threads", "workers", "batch_size", "steps", "shared_data", "clock")
    return {
        **{name: getattr(task, name) for name in said},
        "sets": options.set,
        "rounds": options.rounds,
        "torch": torch.__version__,
        "matmul_flops_per_second": matmul,
        "forms": [as_data(row) for row in found],
        "skipped": skipped,
    }


def as_data(row: Row) -> dict[str, Any]:
    """Plain data."""
    spreads = {"of_hand": row.of_hand, "of_originals": row.of_originals}
    return vars(row) | {key: vars(spread) if spread else None for key, spread in spreads.items()}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="s8_custom_resnet", help="a recipe of the originals' kind")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipe")
    parser.add_argument("--steps", type=int, default=10, help="batches in a turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every form that count")
    parser.add_argument("--forms", type=lambda text: text.split(","), default=list(FORMS), help=",".join(FORMS))
    parser.add_argument("--data-dir", type=Path, help="where the recipe's images lie")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="of each process; default: torch's")
    parser.add_argument("--workers", type=int, default=0, help="of the DataLoaders")
    parser.add_argument("--shared-data", action="store_true", help="the hand loop's batches for all peers")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: one thread's time, on a busy machine"
    )
    parser.add_argument("--plain", action="store_true", help="no augmentation")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, no table")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.forms if name not in FORMS]
    if unknown:
        parser.error(f"no such form: {', '.join(unknown)}; there are {', '.join(FORMS)}")
    if options.clock == "cpu" and (options.threads != 1 or options.workers or options.device != "cpu"):
        parser.error("--clock cpu is for --device cpu --threads 1 --workers 0: other clocks it cannot see")
    return options


def main() -> None:
    """Measures and prints."""
    from zoo.errors import ZooError

    options = parse()
    try:
        found = measure(options)
    except ZooError as error:
        sys.exit(f"error: {error.message}")
    if options.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
