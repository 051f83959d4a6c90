"""The catalogue: zoo's own architectures, timm's and torchvision's models, and weights for all of them. Floor 4."""

from zoo.models.blocks import blocks_of
from zoo.models.catalogue import checked_plan, load_plan, read_architecture
from zoo.models.depths import parameter_depths
from zoo.models.foreign import ForeignModel, foreign_target, parse_arguments
from zoo.models.weight_files import weights_file
from zoo.models.weights import load_weights

__all__ = [
    "ForeignModel",
    "foreign_target",
    "blocks_of",
    "checked_plan",
    "load_plan",
    "load_weights",
    "parameter_depths",
    "parse_arguments",
    "read_architecture",
    "weights_file",
]
