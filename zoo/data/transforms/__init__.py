"""Transforms: albumentations' by name, zoo's own, and the batched form of as many as have one. Floor 2."""

from zoo.data.transforms.both_lists import check_both
from zoo.data.transforms.catalogue import TransformEntry, TransformSpec, transforms
from zoo.data.transforms.parsing import parse_transforms
from zoo.data.transforms.sizes import ImageSize, size_after

__all__ = ["ImageSize", "TransformEntry", "TransformSpec", "check_both", "parse_transforms", "size_after", "transforms"]
