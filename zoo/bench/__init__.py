"""Measurements, each of two things side by side in one run: only ratios within a run can be trusted. Floor 6."""

from zoo.bench.engine import EngineBench, bench_engine
from zoo.bench.transforms import TransformsBench, bench_transforms

__all__ = ["EngineBench", "TransformsBench", "bench_engine", "bench_transforms"]
