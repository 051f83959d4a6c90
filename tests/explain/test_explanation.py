from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.explain.small_nets import images, small_cnn
from zoo.errors import UsageError
from zoo.explain import Cell, MapLayer, explain, layers, layers_with_maps, overlay, sheet
from zoo.explain.grid import _draw_cell
from zoo.explain.overlay import enlarge
from zoo.explain.sheet import Sheet, elided, inches

NAMES = ("ant", "bee", "cat", "dog", "elk")


def pixels(count: int, channels: int = 3) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 255, (16, 16, channels), dtype=np.uint8) for _ in range(count)]


def test_a_wrong_prediction_is_explained_for_both_classes() -> None:
    model, batch = small_cnn().eval(), images(3)
    scores = model(batch).softmax(1)
    predicted = scores.argmax(1).tolist()
    labels = [predicted[0], (predicted[1] + 1) % 5, predicted[2]]
    found = explain(model, batch, pixels(3), NAMES, labels=labels, names=["a", "b", "c"])
    assert (found.method, found.layer) == ("gradcam", "2")
    assert [cell.predicted for cell in found.cells] == [NAMES[index] for index in predicted]
    assert [cell.confidence for cell in found.cells] == pytest.approx(scores.max(1).values.tolist(), abs=1e-5)
    assert [cell.is_wrong for cell in found.cells] == [False, True, False]
    assert [name for name, _ in found.cells[1].maps] == [NAMES[predicted[1]], NAMES[labels[1]]]
    assert not np.array_equal(found.cells[1].maps[0][1], found.cells[1].maps[1][1])


def test_one_class_can_be_asked_about_in_every_image() -> None:
    found = explain(small_cnn(), images(2), pixels(2), NAMES, target_class=3, method="LayerCAM")
    assert found.method == "layercam"
    assert [[name for name, _ in cell.maps] for cell in found.cells] == [["dog"], ["dog"]]
    assert found.cells[0].true is None
    assert not found.cells[0].is_wrong


def test_one_explanation_looks_for_layers_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[tuple[int, ...]] = []

    def counting(model: nn.Module, shape: Sequence[int]) -> dict[str, MapLayer]:
        looked.append(tuple(shape))
        return probe(model, shape)

    probe = layers._probe
    monkeypatch.setattr(layers, "_probe", counting)
    model, found = small_cnn(), explain(small_cnn(), images(1), pixels(1), NAMES)
    assert looked == [(3, 16, 16)]
    known = layers_with_maps(model, (3, 16, 16))
    again = explain(model, images(1), pixels(1), NAMES, layers=known)
    assert len(looked) == 2
    np.testing.assert_array_equal(found.cells[0].maps[0][1], again.cells[0].maps[0][1])


@pytest.mark.parametrize("count", [1, 4])
def test_a_grid_is_drawn_as_a_file(tmp_path: Path, count: int) -> None:
    found = explain(small_cnn(), images(count), pixels(count), NAMES, labels=[0] * count)
    path = found.draw(tmp_path / "deep" / "grid.png")
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 200
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 500


@pytest.mark.parametrize("name", ["a$b$", "$\\frac$", "a rather long-winded kind of waterbird " * 4])
def test_any_name_fits_its_cell(name: str, tmp_path: Path) -> None:
    cells = [Cell(pixels(1)[0], name, 0.97, ((name, np.zeros((16, 16), np.float32)),), true, name) for true in "aa"]
    sheet = Sheet(2 * 3.2, 3, name[:8])
    for place, cell in enumerate(cells):
        _draw_cell(sheet, cell, left=0.15 + place * 3.2, top=0.5, width=2.9)
    sheet.save(tmp_path / "grid.png")
    canvas = sheet._figure.canvas
    for text in sheet._axes.texts:
        extent = text.get_window_extent(canvas.get_renderer())
        assert extent.width / sheet._figure.dpi < 2.95, text.get_text()
    said = [text.get_text() for text in sheet._axes.texts]
    assert sum(text.endswith(" (97 %)") for text in said) == 2  # however long the name


def test_drawing_does_not_touch_matplotlibs_global_figures(tmp_path: Path) -> None:
    from matplotlib import pyplot

    explain(small_cnn(), images(1), pixels(1), NAMES).draw(tmp_path / "grid.png")
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("channels", [1, 3])
def test_an_overlay_glows_where_the_map_is_high(channels: int) -> None:
    image = np.full((8, 8, channels), 100, np.uint8)
    heat = np.zeros((8, 8), np.float32)
    heat[:, 4:] = 1
    shown = overlay(image, heat)
    assert shown.shape == (160, 160, 3)
    assert shown.dtype == np.uint8
    left, right = shown[:, :40].mean((0, 1)), shown[:, -40:].mean((0, 1))
    assert right[0] > left[0] + 60
    assert left.std() < 15  # nothing but grey where the map is low


def test_small_images_are_enlarged_pixel_by_pixel() -> None:
    image = pixels(1)[0]
    large = enlarge(image, 40)
    assert large.shape == (48, 48, 3)
    assert np.array_equal(large[::3, ::3], image)


@pytest.mark.parametrize(("size", "factor"), [((20, 160), 8), ((2, 300), 4), ((2, 2000), 1), ((16, 16), 10)])
def test_strips_are_enlarged_no_further_than_their_length_allows(size: tuple[int, int], factor: int) -> None:
    image = np.zeros((*size, 3), np.uint8)
    assert enlarge(image).shape == (size[0] * factor, size[1] * factor, 3)
    assert overlay(image, np.ones(size, np.float32)).shape == enlarge(image).shape


def test_the_model_keeps_its_mode() -> None:
    model = small_cnn().train()
    with torch.no_grad():
        explain(model, images(1), pixels(1), NAMES)
    assert model.training


def test_pixels_of_another_size_than_the_networks_images_are_refused() -> None:
    with pytest.raises(UsageError, match="pixels of 20x16 are not the network's images of 16x16"):
        explain(small_cnn(), images(1), [np.zeros((20, 16, 3), np.uint8)], NAMES)


def test_a_method_that_knows_no_class_gives_one_map_and_says_why(tmp_path: Path) -> None:
    model, batch = small_cnn().eval(), images(2)
    labels = [(int(index) + 1) % 5 for index in model(batch).argmax(1)]
    found = explain(model, batch, pixels(2), NAMES, labels=labels, method="eigencam")
    assert [[name for name, _ in cell.maps] for cell in found.cells] == [["any class"], ["any class"]]
    assert "eigencam knows no class" in found.remark
    found.draw(tmp_path / "grid.png")
    control = explain(model, batch, pixels(2), NAMES, labels=labels, method="gradcam")
    assert [len(cell.maps) for cell in control.cells] == [2, 2]
    assert control.remark == ""


@pytest.mark.parametrize("keep_end", [False, True])
def test_a_name_without_end_is_measured_a_few_times(keep_end: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    name, measured = "".join(map(str, range(700))), []
    monkeypatch.setattr(sheet, "inches", lambda text, size: measured.append(text) or inches(text, size))
    shown = elided(name, 1.1, 7.5, keep_end=keep_end)
    assert len(measured) < 20
    longer = name[-len(shown) :] if keep_end else name[: len(shown)]
    assert inches(shown, 7.5) <= 1.1 < inches(f"…{longer}", 7.5)
