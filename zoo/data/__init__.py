"""Data: sources, splits, transforms, batches. Floor 2.

``open_dataset`` finds and reads a data set, ``parse_transforms`` checks a recipe's transforms, ``make_batches`` joins
the two into tensors on a device.
"""

from zoo.data.batches import Batch, Batches, batches_of, make_batches, require_batched, wants_statistics
from zoo.data.dataset import ArraySplit, Dataset, Description, Split
from zoo.data.opening import LastOpened, open_dataset
from zoo.data.settings import DataSettings, parse_data, settings_of
from zoo.data.sources import Known, Source, sources
from zoo.data.transforms import TransformEntry, TransformSpec, check_both, parse_transforms, size_after, transforms

__all__ = [
    "ArraySplit",
    "Batch",
    "Batches",
    "DataSettings",
    "Dataset",
    "Description",
    "Known",
    "LastOpened",
    "Source",
    "Split",
    "TransformEntry",
    "TransformSpec",
    "batches_of",
    "check_both",
    "make_batches",
    "open_dataset",
    "parse_data",
    "parse_transforms",
    "require_batched",
    "settings_of",
    "size_after",
    "sources",
    "transforms",
    "wants_statistics",
]
