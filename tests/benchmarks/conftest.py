"""Lets the tests import what the programs here import: a program's own folder is on its path."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
