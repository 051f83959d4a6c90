"""YAML text to plain data in which every value keeps its place. Floor 0; no torch, no Pydantic.

``read_file`` and ``read_text`` give a :class:`Mapping`; ``load`` follows ``extends``, ``lay_over``
lays over it what the command line says.
"""

from zoo.document.merge import load, merge, other_file
from zoo.document.nodes import (
    Entry,
    Mapping,
    Node,
    Scalar,
    Sequence,
    each_of,
    folder_of,
    from_data,
    is_null,
    plain,
    scalars,
    text_of,
)
from zoo.document.overrides import Override, lay_over, read_sets
from zoo.document.reader import read_file, read_text, read_value

__all__ = [
    "Entry",
    "Mapping",
    "Node",
    "Override",
    "Scalar",
    "Sequence",
    "each_of",
    "folder_of",
    "from_data",
    "is_null",
    "lay_over",
    "load",
    "merge",
    "other_file",
    "plain",
    "read_file",
    "read_sets",
    "read_text",
    "read_value",
    "scalars",
    "text_of",
]
