"""The page's sections about what a run recorded: each function turns evidence into what the template shows. Floor 6.

A section function gives the data of its section and writes its figure files; None means that there is nothing
to show, and the section is left out or bears the remark that the recording left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.diagnostics import percent
from zoo.report import charts, pictures
from zoo.report.folder import Run
from zoo.report.headline import Tile
from zoo.report.theme import Draw, inline_svg, save_png
from zoo.summary import human_count

Data = dict[str, Any]


@dataclass(frozen=True)
class Section:
    """A section of the page; ``id`` is also its macro's name in the template."""

    id: str
    title: str
    data: Data = field(default_factory=dict)
    lead: str = ""
    files: tuple[str, ...] = ()
    remark: str = ""


TITLES = {  # of what a run records, in no order
    "curves": "Loss and accuracy",
    "class_accuracy": "Accuracy by class",
    "confusion": "Confusion",
    "calibration": "Calibration",
    "misclassified": "Misclassified",
    "gradcam": "What the network looked at",
    "lr_schedule": "Learning rate",
    "lr_find": "LR range test",
    "augmentations": "Augmentation",
    "summary": "The network",
}


def recorded(name: str, data: Data | None = None, lead: str = "", files: tuple[str, ...] = (), **more: str) -> Section:
    """The section of a report that a recipe can ask for, under its title; ``more`` is a ``title`` or a ``remark``."""
    return Section(name, **{"title": TITLES[name]} | more, data=data or {}, lead=lead, files=files)


@dataclass(frozen=True)
class Image:
    """An embedded image with its size in pixels; ``crisp`` ones are enlarged without smoothing."""

    uri: Any  # marked as safe for an attribute
    width: int
    height: int
    crisp: bool


def embedded(image: pictures.Pixels) -> Image:
    """An image array as the template wants it."""
    return Image(pictures.data_uri(image), image.shape[1], image.shape[0], pictures.is_crisp(image))


def shown_file(path: Path) -> Image:
    """A PNG file as the template wants it."""
    from PIL import Image as Pillow

    with Pillow.open(path) as picture:
        width, height = picture.size
    return Image(pictures.uri_of("png", path.read_bytes()), width, height, crisp=False)


def chart(draw: Draw, name: str, description: str) -> Any:
    """An inline chart, marked as safe: it is matplotlib's own SVG, whose texts are escaped."""
    from markupsafe import Markup

    return Markup(inline_svg(draw, name=name, description=description))


def curves(run: Run, figures: Path) -> Section | None:
    """Loss and accuracy by epoch."""
    if not run.epochs:
        return None
    splits = [split for split in charts.SPLITS if charts.points(run, split, "loss")[0]]
    rows = [[str(epoch["epoch"]), *_figures_of(epoch, splits), f"{epoch['lr']:.4g}"] for epoch in run.epochs]
    columns = ["epoch", *(f"{split} {what}" for split in splits for what in ("loss", "accuracy")), "learning rate"]
    drawn = [
        chart(
            charts.curve(run, what), f"curve-{what}", f"{what} over {len(rows)} epochs; the table below has the numbers"
        )
        for what in ("loss", "accuracy")
    ]
    save_png(charts.loss_and_accuracy(run), figures / "curves.png")
    data = {"charts": drawn, "rows": rows, "columns": columns}
    return recorded("curves", data, files=("figures/curves.png",))


def _figures_of(epoch: Data, splits: list[str]) -> list[str]:
    cells = []
    for split in splits:
        found = epoch.get(split) or {}
        cells += [f"{found['loss']:.4f}", percent(found.get("accuracy"))] if found else ["", ""]
    return cells


def highlighted(text: str) -> Any:
    """YAML with its parts in spans; marked as safe, for Pygments escapes the text."""
    from markupsafe import Markup
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import YamlLexer

    return Markup(highlight(text, YamlLexer(), HtmlFormatter(nowrap=True, classprefix="hl-")))


def lr_find(run: Run, figures: Path) -> Section | None:
    """The LR range test."""
    test = run.evidence.get("lr_find")
    if not test or not test.get("lrs"):
        return None
    draw = charts.lr_find(test)
    save_png(draw, figures / "lr_find.png")
    named = ((rule, lr, *charts.RULES.get(rule, (rule, ""))) for rule, lr in test["suggestions"].items())
    rows = [
        {"rule": name, "lr": f"{lr:.4g}", "doc": doc, "taken": rule == test["rule"]} for rule, lr, name, doc in named
    ]
    data = {
        "chart": chart(draw, "lr-find", "loss over learning rate; the table has what each rule suggests"),
        "rows": rows,
    }
    return recorded("lr_find", data, files=("figures/lr_find.png",))


def augmentations(run: Run, figures: Path) -> Section | None:
    """Training images as they are and as the first epochs saw them."""
    arrays = run.augmentations
    if arrays is None or not len(arrays["originals"]):
        return None
    versions = arrays["augmented"]
    # A recording of an older version has one version an epoch, and does not say so.
    epochs = arrays.get("epochs", np.tile(np.arange(1, versions.shape[1] + 1), (len(versions), 1)))
    shown = max(1, (epochs <= len(run.epochs)).sum(axis=1).min())  # a short run saw no later epoch
    columns, when = _times(epochs[:, :shown])
    pictures.augmented(arrays["originals"], versions[:, :shown], columns, figures / "augmentations.png")
    rows = [
        {"label": run.classes[int(label)], "images": [embedded(image) for image in (original, *seen)]}
        for original, seen, label in zip(arrays["originals"], versions[:, :shown], arrays["labels"], strict=True)
    ]
    lead = f"Training images: each row begins with the image as it is; then what the network saw of it {when}."
    return recorded("augmentations", {"rows": rows, "columns": columns}, lead, ("figures/augmentations.png",))


def _times(epochs: NDArray[Any]) -> tuple[list[str], str]:
    """The heads of the columns, and when the network saw their images, from the epoch of each (image, time)."""
    shown = epochs.shape[1]
    numbers = range(1, shown + 1)
    if np.all(epochs == numbers):
        when = f"in epochs 1 to {shown}" if shown > 1 else "in epoch 1"
        return ["as it is", *(f"epoch {number}" for number in numbers)], when
    when = f"the first {shown} times that it came" if shown > 1 else "the first time that it came"
    return ["as it is", *(f"time {number}" for number in numbers)], when


def summary(run: Run, figures: Path) -> Section | None:
    """The layer table."""
    found = run.evidence.get("summary")
    if not found:
        return None
    total, trainable = found["params"]["total"], found["params"]["trainable"]
    tiles = [
        Tile("parameters", f"{total:,}"),
        Tile("of them trainable", f"{trainable:,}"),
        Tile("FLOPs an image", human_count(found["flops"]).strip()),
        Tile("input", " x ".join(map(str, found["input"]))),
    ]
    rows = [
        {**layer, "shape": _shape(layer["output_shape"]), "params": f"{layer['params']:,}" if layer["params"] else ""}
        for layer in found["layers"]
    ]
    (figures / "summary.txt").write_text(found["text"] + "\n", encoding="utf-8")
    data = {"tiles": tiles, "rows": rows, "text": found["text"]}
    title = f"The network: {found['name']}" if found["name"] else TITLES["summary"]
    return recorded("summary", data, files=("figures/summary.txt",), title=title)


def _shape(shape: Any) -> str:
    if isinstance(shape, list) and all(isinstance(size, int) for size in shape):
        return " x ".join(map(str, shape[1:]))
    return str(shape)
