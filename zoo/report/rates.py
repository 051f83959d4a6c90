"""The learning rate as it was: of one group of parameters, or of several with schedules of their own. Floor 6."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.diagnostics import counted, first_of
from zoo.report.folder import Run
from zoo.report.sections import Section, chart, highlighted, recorded
from zoo.report.theme import Draw, Theme, blank, save_png, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DASHES = ("-", "--", "-.", ":")  # told apart without colours, too
COLOURS = ("train", "test", "validation", "ink")


@dataclass(frozen=True)
class Course:
    """A group's learning rate over the training, at each x; ``group`` is empty where it is that of all parameters."""

    group: str
    xs: tuple[float, ...]
    lrs: tuple[float, ...]

    @property
    def peak(self) -> float:
        """The highest rate."""
        return max(self.lrs)

    def shape(self) -> tuple[float, ...]:
        """The rates as shares of the highest, to a thousandth."""
        return tuple(round(lr / self.peak, 3) if self.peak else 0.0 for lr in self.lrs)

    def in_words(self) -> str:
        """How it went: ``begins at 0.01, rises to 0.1 and ends at 0.001``."""
        first, last, low, high = (f"{lr:.4g}" for lr in (self.lrs[0], self.lrs[-1], min(self.lrs), self.peak))
        if low == high:
            return f"stays at {first}"
        if high != first:
            by_way_of = f"begins at {first}, rises to {high} and ends at {last}"
            return f"rises from {first} to {last}" if last == high else by_way_of
        depth = "" if last == low else f" to {low}"
        return f"falls from {first}{depth} and ends at {last}"


def courses(run: Run) -> tuple[list[Course], str]:
    """Each group's course, and what x counts: steps where the run logged them, else epochs.

    Older runs logged the first group alone, and the oldest not every step.
    """
    groups = [str(group) for group in run.environment.get("parameter_groups") or []]
    first = groups[0] if len(groups) > 1 else ""
    at_step: dict[str, dict[int, float]] = {}
    for line in run.steps:
        if "step" in line and line.get("lr") is not None:
            for group, lrs in {first: line.get("lrs") or [line["lr"]], **line.get("group_lrs", {})}.items():
                upto = {line["step"] - back: lr for back, lr in enumerate(reversed(lrs))}
                at_step.setdefault(group, {}).update(upto)
    has_every_step = any(line.get("lrs") for line in run.steps)
    if not at_step.get(first) or (len(at_step[first]) <= len(run.epochs) and not has_every_step):
        known = [(line["epoch"], line["lr"]) for line in run.epochs if line.get("lr") is not None]
        return ([Course(first, *zip(*known, strict=True))] if known else []), "epoch"
    last = max(at_step[first])  # the steps after an older run's last look left no line: the last stands with its epoch
    later = (line for line in run.epochs if line.get("step", 0) > last and line.get("lr") is not None)
    at_step[first] |= {line["step"]: line["lr"] for line in later}
    found = [Course(group, *zip(*sorted(lrs.items()), strict=True)) for group, lrs in at_step.items()]
    is_whole = all(course.xs == found[0].xs for course in found)  # not where an older version began the run
    return (found if is_whole else found[:1]), "step"


def lr_schedule(run: Run, figures: Path) -> Section | None:
    """The learning rate over the training; where groups differ, a row of a table for each."""
    found, unit = courses(run)
    if not found:
        return None
    draw = _chart(found, unit)
    save_png(draw, figures / "lr_schedule.png")
    # Not every step leaves a line; of a lengthened training the result is that of the shorter one.
    length = max(found[0].xs[-1], run.result.get("steps") or 0) if unit == "step" else found[0].xs[-1]
    text = f"Over {counted(length, unit)} {_said(found)}."
    written = top_level(run.resolved, ("optimizer", "schedule"))
    data: dict[str, Any] = {
        "chart": chart(draw, "lr-schedule", f"The learning rate: {text}"),
        "recipe": highlighted(written),
        "groups": [{"name": course.group, "said": course.in_words()} for course in found] if len(found) > 1 else [],
    }
    return recorded("lr_schedule", data, text, ("figures/lr_schedule.png",))


def _said(found: Sequence[Course]) -> str:
    first = found[0]
    if len(found) == 1:
        whose = f" (of {first.group}, the first group of parameters)" if first.group else ""
        return f"it{whose} {first.in_words()}"
    if len(_alike(found)) == 1:
        return f"that of {first.group} {first.in_words()}; the other groups' are in proportion"
    return f"each of {len(found)} groups of parameters has a course of its own"


def _alike(found: Sequence[Course]) -> list[list[Course]]:
    """The courses, those that differ by a factor alone together."""
    together: dict[tuple[tuple[float, ...], tuple[float, ...]], list[Course]] = {}
    for course in found:
        together.setdefault((course.xs, course.shape()), []).append(course)
    return list(together.values())


def _chart(found: Sequence[Course], unit: str) -> Draw:
    """The first group's rate; where the others' are not in proportion, each as a share of its own highest."""
    alike = _alike(found)

    def draw(theme: Theme) -> Figure:
        figure, (axes,) = blank(theme)
        axes.set_xlabel(unit)
        if len(alike) == 1:
            _draw_rate(axes, found[0], theme)
        else:
            _draw_shares(axes, alike, theme)
        return figure

    return draw


def _draw_rate(axes: Axes, course: Course, theme: Theme) -> None:
    axes.plot(course.xs, course.lrs, color=theme.train, marker="o" if len(course.xs) < 3 else None)
    x = course.xs[course.lrs.index(course.peak)]
    axes.plot(x, course.peak, "o", color=theme.test, markersize=5)
    axes.annotate(f"peak {course.peak:.4g}", (x, course.peak), xytext=(8, 4), textcoords="offset points")
    axes.set_ylim(0, 1.16 * course.peak or 1.0)
    axes.set_title(f"learning rate of {short_name(course.group)}" if course.group else "learning rate")


def _draw_shares(axes: Axes, alike: Sequence[Sequence[Course]], theme: Theme) -> None:
    for place, together in enumerate(alike):
        first = together[0]
        colour = getattr(theme, COLOURS[place % len(COLOURS)])
        label = first_of([short_name(first.group)], len(together))
        axes.plot(first.xs, first.shape(), DASHES[place % len(DASHES)], color=colour, label=label)
    axes.set_ylim(0, 1.08)
    axes.set_title("learning rate as a share of the group's highest")
    axes.legend(loc="best", handlelength=2.6)


def top_level(text: str, keys: Sequence[str]) -> str:
    """The lines of a YAML file that belong to these top-level keys, in the file's order."""
    return "\n".join(_lines_of(text, keys))


def _lines_of(text: str, keys: Sequence[str]) -> Iterator[str]:
    chosen = False
    for line in text.splitlines():
        if line[:1] not in ("", " ", "-", "#"):
            chosen = line.partition(":")[0] in keys
        if chosen and not line.startswith("#"):
            yield line
