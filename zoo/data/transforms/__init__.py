"""Transforms: albumentations' by name, zoo's own, and the batched form of as many as have one. Floor 2."""

from zoo.data.transforms.catalogue import TransformEntry, TransformSpec, parse_transforms, transforms

__all__ = ["TransformEntry", "TransformSpec", "parse_transforms", "transforms"]
