"""The page: figures/ and report.html from a run folder alone. Floor 6."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zoo import __version__
from zoo.disk import disk_faults, write_atomically
from zoo.errors import ZooError, in_a_line
from zoo.layout import FIGURES, REPORT
from zoo.report import about, calibration, mistakes, rates, sections
from zoo.report.folder import Run, folder_faults, read_run
from zoo.report.headline import headline
from zoo.report.sections import Section, recorded
from zoo.schema.recipe import REPORTS

_BUILDERS: dict[str, Callable[[Run, Path], Section | None]] = {  # in the page's order: outcome first, then causes
    "curves": sections.curves,
    "class_accuracy": mistakes.class_accuracy,
    "confusion": mistakes.confusion,
    "calibration": calibration.calibration,
    "misclassified": mistakes.misclassified,
    "gradcam": mistakes.gradcam,
    "lr_schedule": rates.lr_schedule,
    "lr_find": sections.lr_find,
    "augmentations": sections.augmentations,
    "summary": sections.summary,
}


def render(
    run_dir: Path | str, reports: Sequence[str] | None = None, note: Callable[[str], None] = lambda text: None
) -> Path:
    """Makes figures/ and report.html of a run from its folder alone; returns the page's path.

    ``reports`` picks sections; by default those that the recipe asked for. What was not recorded is left out; what
    could not be recorded says why, and so does what cannot be drawn, of which ``note`` is told. The page loads nothing
    from anywhere. Raises CheckpointError where the folder is no run's or is broken, EnvironmentFault where it cannot be
    written.
    """
    with folder_faults(Path(run_dir)):
        return _drawn(read_run(Path(run_dir)), reports, note)


def _drawn(run: Run, reports: Sequence[str] | None, note: Callable[[str], None]) -> Path:
    wanted = run.evidence.get("reports", REPORTS) if reports is None else reports
    figures = run.path / FIGURES
    with disk_faults(figures):
        figures.mkdir(exist_ok=True)
    words = _words(run)  # first: a run that is damaged is told of before anything is drawn
    ending = [about.recipe(run), about.environment(run), about.reproduce(run), about.linked(run)]
    with disk_faults(figures):
        made = [_section(name, run, figures, note) for name in _BUILDERS if name in wanted]
    page = run.path / REPORT
    write_atomically(page, _html(words, [section for section in (*made, *ending) if section is not None]))
    return page


def _words(run: Run) -> dict[str, Any]:
    """What the page says outside its sections."""
    return {
        "head": headline(run),
        "again": about.command_to_repeat(run),
        "files": about.files(run),
        "version": __version__,
        "folder": str(run.result.get("run_dir") or run.path),
    }


def _section(name: str, run: Run, figures: Path, note: Callable[[str], None]) -> Section | None:
    """One section; what it fails of costs no other."""
    if name in run.remarks:
        return recorded(name, remark=f"Not made: {run.remarks[name]}.")
    try:
        return _BUILDERS[name](run, figures)
    except (ZooError, OSError):
        raise
    except Exception as error:
        reason = in_a_line(error)
        note(f"no {name} in the report: {reason}")
        return recorded(name, remark=f"Not drawn: {reason}.")


def _html(words: dict[str, Any], made: list[Section]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    templates = Path(__file__).parent / "templates"
    environment = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = Markup((templates / "page.css").read_text(encoding="utf-8"))
    return environment.get_template("page.html.j2").render(**words, page=made, css=css)
