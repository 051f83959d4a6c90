"""Reports: what a run has to show, recorded once and drawn as often as you like. Floor 6, above explain and summary.

Two halves that meet only on disk::

    record(run_dir, …)   at the end of a run: evidence/ (npz and JSON, no pickle), while model and data are at hand
    render(run_dir)      from the folder alone, any time later: figures/ and the self-contained report.html

``draw_range_test`` draws an LR range test that belongs to no run.
"""

from zoo.report.collect import Finished
from zoo.report.page import render
from zoo.report.record import draw_range_test, record

__all__ = ["Finished", "draw_range_test", "record", "render"]
