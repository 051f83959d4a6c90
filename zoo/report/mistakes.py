"""The page's sections about right and wrong: by class, confusions, the gallery and its maps, each linked. Floor 6."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.diagnostics import percent
from zoo.explain import ANY_CLASS, Cell, Explanation
from zoo.report import classes, pictures
from zoo.report.folder import Run
from zoo.report.sections import Image, Section, embedded, recorded, shown_file
from zoo.report.theme import save_png
from zoo.train.scores import ByClass
from zoo.train.scores import confusion as confusion_counts


def class_accuracy(run: Run, figures: Path) -> Section | None:
    """Accuracy class by class; each row leads to its mistakes in the gallery."""
    if run.predictions is None:
        return None
    counts = _counts(run)
    rows, by_class = classes.class_rows(counts, run.classes), ByClass.of(counts)
    text = classes.accuracy_text(rows)
    figures.mkdir(parents=True, exist_ok=True)
    (figures / "class_accuracy.txt").write_text(text + "\n", encoding="utf-8")
    save_png(classes.class_accuracy(rows), figures / "class_accuracy.png")
    shown = np.bincount(_shown(run, "labels"), minlength=len(rows)) if _in_gallery(run) else np.zeros(len(rows), int)
    data = [
        {
            "number": number,
            "name": row.name,
            "percent": percent(row.accuracy) or classes.NO_IMAGES,
            "width": round(100 * (row.accuracy or 0.0), 1),
            "precision": percent(row.precision),
            "hits": row.hits,
            "total": row.total,
            "taken_for": ", ".join(f"{name} ({count})" for name, count in row.taken_for[:3]),
            "mistakes": int(shown[number]),
        }
        for number, row in enumerate(rows)
    ]
    files = ("figures/class_accuracy.png", "figures/class_accuracy.txt")
    means = f"accuracy {percent(by_class.mean(by_class.recall))}, F1 {percent(by_class.mean(by_class.f1))}"
    lead = f"Mean over the classes: {means}. Precision: of the images taken for a class, those that are of it."
    return recorded("class_accuracy", {"rows": data, "text": text}, lead, files)


def confusion(run: Run, figures: Path) -> Section | None:
    """The confusion matrix; a cell leads to the surest such mistake in the gallery."""
    if run.predictions is None:
        return None
    counts, names = _counts(run), run.classes
    path = save_png(classes.confusion_chart(counts, names), figures / "confusion.png", dpi=160)
    links = _links(run)
    pairs = [
        {
            "true": names[true],
            "predicted": names[predicted],
            "count": int(counts[true, predicted]),
            "total": int(counts[true].sum()),
            "percent": percent(counts[true, predicted] / counts[true].sum()),
            "href": links.get((true, predicted)),
        }
        for true, predicted in _frequent(counts)
    ]
    data: dict[str, Any] = {"names": names, "pairs": pairs, "cells": None}
    if len(names) <= classes.WRITTEN_CELLS:
        data["cells"] = _cells(counts, names, links)
    else:
        data["image"] = shown_file(path)
    lead = "Rows are the true class, columns the prediction."
    return recorded("confusion", data, lead, ("figures/confusion.png",))


def _cells(
    counts: NDArray[np.int64], names: list[str], links: dict[tuple[int, int], str]
) -> list[list[dict[str, Any]]]:
    strength, totals = classes.tint(counts), counts.sum(1)

    def cell(true: int, seen: int) -> dict[str, Any]:
        said = "classified rightly" if true == seen else f"taken for {names[seen]}"
        alpha = float(strength[true, seen])
        return {
            "count": int(counts[true, seen]) or "",
            "alpha": round(alpha, 3),
            "tone": " ".join([*(["miss"] if true != seen else []), *(["strong"] if alpha > 0.8 else [])]),
            "title": f"{names[true]} {said}: {counts[true, seen]} of {totals[true]}",
            "href": links.get((true, seen)) if true != seen else None,
        }

    return [[cell(true, seen) for seen in range(len(names))] for true in range(len(names))]


def misclassified(run: Run, figures: Path) -> Section | None:
    """The gallery, by true class."""
    shown = run.mistakes
    if shown is None:
        return None
    if not len(shown["indices"]):
        return recorded("misclassified", remark="Not one test image was misclassified.")
    pictures.gallery(shown, run.classes, figures / "misclassified.png")
    accuracy = [row.accuracy for row in classes.class_rows(_counts(run), run.classes)]
    with_map = len(run.cams["predicted"]) if run.cams else 0
    groups = [
        {
            "number": label,
            "name": run.classes[label],
            "percent": percent(accuracy[label]) if "class_accuracy" in run.evidence.get("reports", []) else "",
            "cards": [
                _card(run, place, place < with_map) for place in np.flatnonzero(shown["labels"] == label).tolist()
            ],
        }
        for label in np.unique(shown["labels"]).tolist()
    ]
    cards = shown["indices"]
    total = int((run.predictions["labels"] != run.predictions["predictions"]).sum()) if run.predictions else 0
    lead = f"{len(cards)} of {total:,} mistakes: the most confident of every class first."
    data = {"groups": groups, "dense": len(cards) < 3 * len(groups)}
    return recorded("misclassified", data, lead, ("figures/misclassified.png",))


def _card(run: Run, place: int, has_map: bool) -> dict[str, Any]:
    assert run.mistakes is not None
    shown = {key: column[place] for key, column in run.mistakes.items()}
    return {
        "index": int(shown["indices"]),
        "image": embedded(shown["images"]),
        "predicted": run.classes[int(shown["predictions"])],
        "confidence": _whole(shown["confidence"]),
        "true": run.classes[int(shown["labels"])],
        "true_confidence": _whole(shown["true_confidence"]),
        "name": Path(str(run.evidence["ids"][place])).name.rpartition(".parquet ")[2],
        "source": str(run.evidence["ids"][place]),
        "cam": has_map,
    }


def _whole(fraction: float) -> str:
    return f"{100 * float(fraction):.0f}\N{NO-BREAK SPACE}%"


def gradcam(run: Run, figures: Path) -> Section | None:
    """Maps of the surest mistakes: what spoke for the prediction, and what for the truth."""
    if run.cams is None or run.mistakes is None or not len(run.cams["predicted"]):
        return None
    made = run.evidence["gradcam"]
    cells = tuple(_explained(run, place) for place in range(len(run.cams["predicted"])))
    explanation = Explanation(made["method"], made["layer"], cells)
    explanation.draw(figures / "gradcam.png")
    cards = []
    for place in range(len(cells)):
        image = run.mistakes["images"][place]
        card = _card(run, place, True)
        maps = [(_overlaid(image, found), f"for {name}") for name, found in _maps(run, place, card)]
        cards.append({**card, "maps": [{"image": map_, "label": label} for map_, label in maps]})
    what = "that class" if "true" in run.cams else "the decision"
    lead = f"{made['method']} at {made['layer']}: the brighter a place, the more it contributed to {what}."
    if explanation.remark:
        lead = f"{lead} {explanation.remark[0].upper()}{explanation.remark[1:]}."
    return recorded("gradcam", {"cards": cards, "gallery": _in_gallery(run)}, lead, ("figures/gradcam.png",))


def _explained(run: Run, place: int) -> Cell:
    assert run.mistakes is not None
    assert run.cams is not None
    card = _card(run, place, True)
    return Cell(
        image=run.mistakes["images"][place],
        predicted=card["predicted"],
        confidence=float(run.mistakes["confidence"][place]),
        maps=tuple((name, (found / 255).astype(np.float32)) for name, found in _maps(run, place, card)),
        true=card["true"],
        name=card["name"],
    )


def _maps(run: Run, place: int, card: dict[str, Any]) -> list[tuple[str, pictures.Pixels]]:
    """The maps of a mistake (0..255), each with the name of its class; one alone where the method knows no class."""
    assert run.cams is not None
    if "true" not in run.cams:
        return [(ANY_CLASS, run.cams["predicted"][place])]
    return [(card[kind], run.cams[kind][place]) for kind in ("predicted", "true")]


def _overlaid(image: pictures.Pixels, map_HW: pictures.Pixels) -> Image:
    uri = pictures.map_uri(image, map_HW)
    return Image(uri, image.shape[1], image.shape[0], crisp=False)


def _counts(run: Run) -> NDArray[np.int64]:
    assert run.predictions is not None
    return confusion_counts(run.predictions["labels"], run.predictions["predictions"], len(run.classes))


def _frequent(counts: NDArray[np.int64], limit: int = 10) -> list[tuple[int, int]]:
    """The most frequent mistakes as (true, predicted)."""
    off = counts * (1 - np.eye(len(counts), dtype=np.int64))
    order = np.argsort(-off, axis=None, kind="stable")[:limit]
    pairs = [divmod(int(cell), len(counts)) for cell in order]
    return [(true, predicted) for true, predicted in pairs if off[true, predicted]]


def _links(run: Run) -> dict[tuple[int, int], str]:
    """For each (true, predicted) in the gallery, the link to its surest mistake."""
    if not _in_gallery(run):
        return {}
    columns = (_shown(run, key).tolist() for key in ("labels", "predictions", "indices"))
    links: dict[tuple[int, int], str] = {}
    for true, predicted, index in zip(*columns, strict=True):
        links.setdefault((true, predicted), f"#mistake-{index}")
    return links


def _in_gallery(run: Run) -> bool:
    return run.mistakes is not None and "misclassified" in run.evidence.get("reports", [])


def _shown(run: Run, key: str) -> NDArray[np.int64]:
    assert run.mistakes is not None
    column: NDArray[np.int64] = run.mistakes[key]
    return column
