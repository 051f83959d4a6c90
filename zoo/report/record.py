"""Recording: what the reports need, taken while model and data are at hand. Floor 6.

A report that cannot be made (no map in the network, no mistake in the test set) never fails a run that went
well: the reason is recorded, stands in its section, and is returned for the console.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import EnvironmentFault, ZooError, in_a_line
from zoo.report import charts, evidence
from zoo.report.collect import Arrays, Finished, augmentations, layer_table, maps, mistakes, predictions
from zoo.report.theme import save_png
from zoo.schema.recipe import ExplainSection

if TYPE_CHECKING:
    from zoo.optim.range_test import LRRangeTest


def record(
    run_dir: Path,
    finished: Finished,
    *,
    steps: int,
    reports: Sequence[str],
    explain: ExplainSection,
    range_test: LRRangeTest | None,
    model_name: str,
) -> dict[str, str]:
    """Records the evidence for the named reports in the run folder; says which of them have none, and why.

    ``steps`` is how many the training had, ``range_test`` the LR range test where one ran. Curves and the LR schedule
    need no evidence: they are drawn from metrics.jsonl. Whatever a report fails of, the others are recorded. Raises
    EnvironmentFault where the folder cannot be written.
    """
    wanted, remarks = set(reports), dict[str, str]()
    data: dict[str, Any] = {"reports": list(reports), "model": model_name, "classes": list(finished.dataset.classes)}
    evidence.begin(run_dir)
    found = predictions(finished)
    evidence.write_arrays(run_dir, "predictions", found)
    _record_mistakes(run_dir, finished, found, wanted, explain, data, remarks)
    if "augmentations" in wanted:
        with _remarking(remarks, "augmentations"):
            evidence.write_arrays(run_dir, "augmentations", augmentations(finished))
    if "lr_find" in wanted and range_test is not None:
        data["lr_find"] = asdict(range_test)
    if "summary" in wanted:
        with _remarking(remarks, "summary"):
            data["summary"] = layer_table(finished, model_name)
    evidence.write_json(run_dir, data | {"steps": steps, "remarks": remarks})
    return remarks


def _record_mistakes(
    run_dir: Path,
    finished: Finished,
    found: Arrays,
    wanted: set[str],
    settings: ExplainSection,
    data: dict[str, Any],
    remarks: dict[str, str],
) -> None:
    """The gallery, and the maps of the surest mistakes in it."""
    of_them = sorted(wanted & {"misclassified", "gradcam"})
    if not of_them:
        return
    with _remarking(remarks, *of_them):
        shown, data["ids"] = mistakes(finished, found, settings.images)
        evidence.write_arrays(run_dir, "mistakes", shown)
        if "gradcam" in wanted:
            with _remarking(remarks, "gradcam"):
                arrays, data["gradcam"] = maps(finished, shown, settings)
                evidence.write_arrays(run_dir, "cams", arrays)


@contextlib.contextmanager
def _remarking(remarks: dict[str, str], *reports: str) -> Iterator[None]:
    """Turns what a report fails of into a remark, out of memory too; a disk that refuses fails all of them."""
    try:
        yield
    except EnvironmentFault:
        raise
    except Exception as error:
        said = error.message if isinstance(error, ZooError) else in_a_line(error)
        remarks.update(dict.fromkeys(reports, said))


def draw_range_test(test: LRRangeTest, path: Path) -> Path:
    """Draws the curve of an LR range test, with every rule's suggestion, into a PNG file; returns its path."""
    return save_png(charts.lr_find(asdict(test)), path)
