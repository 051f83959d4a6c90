"""YAML text to plain data in which every value keeps its place. Floor 0; no torch, no Pydantic.

``read_file`` and ``read_text`` give a :class:`Mapping`; ``load`` follows ``extends`` and applies ``--set``.
"""

from zoo.document.merge import apply_sets, is_dir, is_file, load, merge, other_file
from zoo.document.nodes import Entry, Mapping, Node, Scalar, Sequence, from_data, node_at, plain
from zoo.document.reader import read_file, read_text, read_value

__all__ = [
    "Entry",
    "Mapping",
    "Node",
    "Scalar",
    "Sequence",
    "apply_sets",
    "from_data",
    "is_dir",
    "is_file",
    "load",
    "merge",
    "node_at",
    "other_file",
    "plain",
    "read_file",
    "read_text",
    "read_value",
]
