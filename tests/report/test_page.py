from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score, precision_score

from zoo.diagnostics import percent
from zoo.report import render
from zoo.report.classes import tint
from zoo.report.evidence import read_arrays
from zoo.schema.recipe import REPORTS

VOID = {"meta", "link", "img", "br", "input", "path", "use", "rect", "circle", "line", "polygon"}


class Page(HTMLParser):
    """What the tests ask of a page: balanced tags, ids, links, images, words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, attribute: str) -> list[str]:
        return [attributes[attribute] or "" for _, attributes in self.tags if attribute in attributes]


@pytest.fixture(scope="module")
def page(rendered: Path) -> Page:
    return Page((rendered / "report.html").read_text(encoding="utf-8"))


def test_the_page_is_whole(page: Page) -> None:
    assert page.open == []
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    shown = [heading for heading in ids if heading in REPORTS]
    assert sorted(shown) == sorted(REPORTS)
    assert shown[:2] == ["curves", "class_accuracy"]  # what came out, before how it came about


def test_nothing_is_loaded_from_anywhere(page: Page, rendered: Path) -> None:
    text = (rendered / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|<link|@import|url\((?!#)", text)
    assert all(source.startswith("data:image/") for source in page.all("src"))
    assert not [link for link in page.all("href") + page.all("xlink:href") if "//" in link]
    assert "default-src 'none'" in text
    assert len(text) < 3_000_000


def test_every_link_leads_somewhere(page: Page, rendered: Path) -> None:
    ids = set(page.all("id"))
    for link in page.all("href"):
        if link.startswith("#"):
            assert link[1:] in ids, link
        else:
            assert (rendered / link).exists(), link


def test_every_picture_is_described(page: Page) -> None:
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) > 40
    assert all(image["alt"] for image in images)
    charts = [attributes for tag, attributes in page.tags if tag == "svg" and attributes.get("class") == "chart"]
    assert len(charts) == 5
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)


def test_names_from_outside_are_escaped(rendered: Path, page: Page) -> None:
    assert "<nine" not in (rendered / "report.html").read_text(encoding="utf-8")
    assert "<nine & co>" in page.words


def test_the_headline_says_what_was_reached(page: Page) -> None:
    assert "digits_run" in page.words
    assert "✓ target of 50 %: met" in page.words
    assert "zoo run runs/digits_run/0002/resolved.yaml" in page.words
    assert "test accuracy, 300 images" in page.words
    assert "1 min 11 s" in page.words
    assert "Digits, briefly" in page.words


def test_how_sure_the_figures_are(page: Page, recorded: Path) -> None:
    found = read_arrays(recorded, "predictions")
    assert found is not None
    sure, right = found["confidence"].mean(), (found["labels"] == found["predictions"]).mean()
    assert f"The mean confidence is {percent(sure)}, the accuracy {percent(right)}" in page.words
    assert "95 % interval 50.00 to 60.25 %" in page.words
    labels, predictions = found["labels"], found["predictions"]
    assert f"F1 {percent(f1_score(labels, predictions, average='macro'))}" in page.words
    assert percent(precision_score(labels, predictions, average=None)[3]) in page.words


def test_the_way_back_is_told(page: Page) -> None:
    assert "git checkout abc123   # with uncommitted changes at the time" in page.words
    assert "# it was: zoo run 'digits run'" in page.words
    assert "zoo report runs/digits_run/0002" in page.words
    assert "5a" * 32 in page.words


def test_labels_stand_beside_all_that_they_are_of(rendered: Path) -> None:
    text = (rendered / "report.html").read_text(encoding="utf-8")
    rows = re.findall(r"<p>(.*?)</p>", text[text.index('<div class="again">') : text.index("<nav")])
    assert [re.findall(r"<(?:span|code)\b", row) for row in rows] == [["<span", "<code"], ["<span", "<span"]]
    assert re.search(r"\.again p \{[^}]*grid-template-columns: \S+ minmax\(0, 1fr\)", text)  # one column for each
    _, files = rows[1].split("</span>", 1)
    assert len(re.findall("<a ", rows[1])) == len(re.findall("<a ", files)) > 3
    assert files.strip().startswith("<span>")
    assert files.endswith("</span>")


def test_other_runs_are_linked(page: Page) -> None:
    assert "../0001/report.html" in page.all("href")
    assert "25.00 %" in page.words


def test_figures_are_files(rendered: Path) -> None:
    names = {
        "curves",
        "lr_schedule",
        "lr_find",
        "augmentations",
        "class_accuracy",
        "confusion",
        "calibration",
        "misclassified",
        "gradcam",
    }
    assert {path.stem for path in (rendered / "figures").glob("*.png")} == names
    for path in (rendered / "figures").glob("*.png"):
        with Image.open(path) as picture:
            assert min(picture.size) >= 400, path
            assert np.asarray(picture.convert("L")).std() > 5, path
    assert "Accuracy of  zero : " in (rendered / "figures" / "class_accuracy.txt").read_text()
    assert "Total params" in (rendered / "figures" / "summary.txt").read_text()


def test_rendering_again_gives_the_same_page(rendered: Path) -> None:
    before = (rendered / "report.html").read_bytes()
    render(rendered)
    assert (rendered / "report.html").read_bytes() == before


def test_every_colour_the_page_asks_for_is_defined(rendered: Path) -> None:
    text = (rendered / "report.html").read_text(encoding="utf-8")
    asked, defined = set(re.findall(r"var\((--[\w-]+)", text)), set(re.findall(r"(--[\w-]+)\s*:", text))
    assert asked <= defined


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast_in_both_modes(rendered: Path, dark: bool) -> None:
    text = (rendered / "report.html").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    colours = dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", blocks[0]))
    if dark:
        colours |= dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", blocks[1]))
    on_card = ["--ink", "--muted", "--accent", "--chart-train", "--chart-test", "--chart-validation"]
    pairs = [(name, "--card") for name in on_card]
    pairs += [("--good", "--good-ground"), ("--bad", "--bad-ground"), ("--muted", "--ground"), ("--bad", "--card")]
    pairs += [(f"--code-{part}", "--soft") for part in ("key", "text", "number", "comment")]
    for ink, ground in pairs:
        assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    assert contrast(colours["--line"], colours["--card"]) < 2  # the control: a hairline is meant to be faint


@pytest.mark.parametrize("dark", [False, True])
def test_the_numbers_in_the_confusion_matrix_can_be_read(rendered: Path, dark: bool) -> None:
    text = (rendered / "report.html").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", text, re.DOTALL)[: 2 if dark else 1]
    colours = dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6}|\d+ \d+ \d+)", "".join(blocks)))
    shares = np.linspace(0, 1, 101)
    for share in shares:
        right, missed = round(1000 * share), round(1000 * (1 - share))
        [[of_right, of_missed], _] = tint(np.array([[right, missed], [0, 1]])).tolist()
        for hue, alpha in (("--heat", of_right), ("--heat-miss", of_missed)):
            ink = colours["--on-heat"] if alpha > 0.8 else colours["--ink"]
            assert contrast(ink, blended(colours[hue], colours["--card"], alpha)) >= 4.5, (share, hue)
    between = [blended(colours["--heat"], colours["--card"], alpha) for alpha in (0.7, 0.8)]
    best = [max(contrast(colours[ink], ground) for ink in ("--ink", "--on-heat")) for ground in between]
    assert min(best) < 4.5  # the control: why no cell is so strong


def blended(hue: str, ground: str, alpha: float) -> str:
    below = [int(ground[at : at + 2], 16) for at in (1, 3, 5)]
    mixed = (alpha * int(over) + (1 - alpha) * under for over, under in zip(hue.split(), below, strict=True))
    return "#" + "".join(f"{round(channel):02x}" for channel in mixed)


def contrast(first: str, second: str) -> float:
    """The contrast ratio of WCAG 2.2 (1.4.3)."""

    def luminance(colour: str) -> float:
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
