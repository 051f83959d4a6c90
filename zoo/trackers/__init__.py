"""Trackers that others make: a process of its own writes to each, so no library and no server of theirs is in a
training's way. Floor 0; no torch, which those processes need not import.
"""

from zoo.trackers.process import TrackerProcess
from zoo.trackers.tracker import CLOSING_SECONDS, Ending, Figures, Told, TrackedRun, Tracker, leaves

__all__ = ["CLOSING_SECONDS", "Ending", "Figures", "Told", "TrackedRun", "Tracker", "TrackerProcess", "leaves"]
