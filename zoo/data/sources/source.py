"""What a data source is. Floor 2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from zoo.data.dataset import Dataset
from zoo.data.places import Places


class SourceArguments(BaseModel):
    """Base of every source's arguments."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a data set before it is opened: its images' (channels, height, width), its number of classes.

    These are sure. ``train`` is how many training images it has; a copy from which some were taken has fewer.
    """

    image_shape: tuple[int, int, int]
    classes: int
    train: int


def _nothing(settings: Any) -> None:
    return None


@dataclass(frozen=True)
class Source:
    """A data source by its name. ``open`` gets the checked arguments and the places to look in.

    It raises DataError where there is no such data, or where it is broken. ``known`` gets the arguments too.
    """

    name: str
    arguments: type[SourceArguments]
    open: Callable[[Any, Places], Dataset]
    known: Callable[[Any], Known | None] = _nothing

    @property
    def doc(self) -> str:
        """What it is, in one line."""
        return (self.arguments.__doc__ or "").strip().partition("\n")[0]
