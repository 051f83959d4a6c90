"""What a run knows of its data once the data set is gone: data.json. Floor 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from zoo.data import Dataset, Description, TransformSpec, wants_statistics
from zoo.data.dataset import Split
from zoo.errors import CheckpointError
from zoo.layout import DATA

if TYPE_CHECKING:
    from zoo.train import RunFolder

LOOKED_AT = 32  # training images that are decoded to learn whether their sizes differ


@dataclass(frozen=True)
class KnownData(Description):
    """The data in words and numbers.

    ``one_size`` says whether images are of one size before the transforms for evaluation: then others are resized to
    it first, else they go into the transforms as they are.
    """

    one_size: bool = True  # so in runs that said nothing of it


def describe_data(dataset: Dataset, eval_transforms: Sequence[TransformSpec]) -> KnownData:
    """What is known of a data set that is at hand. Statistics, where Normalize asks for them, cost a pass over it."""
    described = dataset.describe(with_statistics=wants_statistics(eval_transforms))
    return KnownData(**asdict(described), one_size=_is_of_one_size(dataset.train))


def write_known_data(folder: RunFolder, known: KnownData) -> None:
    """Writes data.json. Raises EnvironmentFault."""
    folder.write_json(DATA, asdict(known))


def read_known_data(path: Path) -> KnownData:
    """What the run in a folder wrote of its data. Raises CheckpointError."""
    try:
        return TypeAdapter(KnownData).validate_json((path / DATA).read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        raise CheckpointError(
            f"{path / DATA}: {reason}",
            notes=["it holds the names of the classes and the shape of the images"],
            help="without the file, the run is opened with its data set",
        ) from None


def _is_of_one_size(split: Split) -> bool:
    """Whether the split lies in one array, or evenly spread images of it are of one size."""
    if split.images is not None:
        return True
    spread = range(0, len(split), -(-len(split) // LOOKED_AT))
    return len({split.image(index).shape[:2] for index in spread}) == 1
