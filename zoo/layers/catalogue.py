"""All ops, gathered from the small files. Floor 2."""

from __future__ import annotations

from zoo.layers import (
    activation,
    attention,
    conv,
    dropout,
    foreign,
    functions,
    linear,
    merge,
    norm,
    pool,
    reduce,
    reshape,
    sources,
    vision,
)

OPS = (
    *conv.OPS,
    *norm.OPS,
    *pool.OPS,
    *activation.OPS,
    *attention.OPS,
    *linear.OPS,
    *dropout.OPS,
    *reshape.OPS,
    *merge.OPS,
    *functions.OPS,
    *reduce.OPS,
    *sources.OPS,
    *vision.OPS,
    *foreign.OPS,
)
