"""Optimizers, their groups, schedules, averaging and the LR range test. Floor 2; apart from layers and data."""

from zoo.optim.averaging import EMA, SWA, Lookahead
from zoo.optim.catalogue import find_optimizer, optimizers
from zoo.optim.listing import ListedGroup, group_lines, listed_groups
from zoo.optim.models import group_model, optimizer_model, schedule_model
from zoo.optim.optimization import OptimizationSpec
from zoo.optim.parse import parse_optimization
from zoo.optim.range_test import LRRangeTest, lr_range_test
from zoo.optim.running import Optimization
from zoo.optim.schedules import schedules
from zoo.optim.settings import FindSettings

__all__ = [
    "EMA",
    "SWA",
    "FindSettings",
    "LRRangeTest",
    "ListedGroup",
    "Lookahead",
    "group_lines",
    "listed_groups",
    "lr_range_test",
    "Optimization",
    "OptimizationSpec",
    "find_optimizer",
    "group_model",
    "optimizer_model",
    "optimizers",
    "parse_optimization",
    "schedule_model",
    "schedules",
]
