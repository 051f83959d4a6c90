"""A sheet is a file that is whole, or none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image

from zoo.explain.sheet import Sheet

_FULL = """
import resource, sys
from pathlib import Path
from zoo.errors import EnvironmentFault
from zoo.explain.sheet import Sheet
from zoo.report.theme import save_png
sheet = Sheet(4.0, 4.0, "a title that takes more than the disk has")
saving = {
    "sheet.png": sheet.save,
    "chart.png": lambda path: save_png(lambda theme: sheet._figure, path),
}
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
for name, save in saving.items():
    try:
        save(Path(sys.argv[1]) / name)
    except EnvironmentFault as fault:
        print(fault)
"""


def test_a_disk_that_is_full_leaves_the_figures_that_were_there(tmp_path: Path) -> None:
    for name in ("sheet.png", "chart.png"):
        Sheet(1.0, 1.0).save(tmp_path / name)
    before = {name: (tmp_path / name).read_bytes() for name in ("sheet.png", "chart.png")}
    said = subprocess.run([sys.executable, "-c", _FULL, tmp_path], capture_output=True, encoding="utf-8", timeout=120)
    lines = said.stdout.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [f"cannot write {tmp_path / name}" for name in before], said
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_sheet_makes_its_folder(tmp_path: Path) -> None:
    with Image.open(Sheet(1.0, 2.0, "title").save(tmp_path / "deep" / "sheet.png", dpi=50)) as picture:
        assert (picture.format, picture.size) == ("PNG", (50, 100))
