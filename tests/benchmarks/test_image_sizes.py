"""The program that measures image sizes trains at each of them, and tells what it found."""

from __future__ import annotations

import pytest
from image_sizes import main


def test_each_size_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    main(["tiny_resnet", "--sizes", "16", "8", "--batch", "8", "--rounds", "3"])
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("tiny_resnet      16 x 16 ")
    assert first.endswith(" images/s   1.00 times")
    assert second.startswith("tiny_resnet      8 x 8 ")
    assert float(second.split()[-2]) > 1.2
