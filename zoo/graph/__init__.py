"""From a document to a plan, and from a plan to a module. Floor 3."""

from zoo.graph.compile import becomes_sequential, compile_plan, images_wanted, initialise_from_images, plan_of
from zoo.graph.depth import depths_in
from zoo.graph.extending import check_over
from zoo.graph.libraries import find_library, find_parent
from zoo.graph.plan import Block, Init, ParameterSpec, Plan, Ref, Step, TensorSpec, Value
from zoo.graph.planner import check_library, is_library, plan_architecture
from zoo.graph.source import Forward, forward_of
from zoo.graph.units import blocks_in

__all__ = [
    "Block",
    "Forward",
    "Init",
    "ParameterSpec",
    "Plan",
    "Ref",
    "Step",
    "TensorSpec",
    "Value",
    "becomes_sequential",
    "blocks_in",
    "check_library",
    "check_over",
    "compile_plan",
    "depths_in",
    "find_library",
    "find_parent",
    "forward_of",
    "images_wanted",
    "initialise_from_images",
    "is_library",
    "plan_architecture",
    "plan_of",
]
