"""What may stand in a recipe's ``data`` beside the source's own arguments. Floor 2; no torch."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, create_model

from zoo.data.sampling import Kind
from zoo.data.sources import sources
from zoo.diagnostics import Diagnostics
from zoo.document import Mapping, text_of
from zoo.registry import offer
from zoo.schema.check import tell_missing, validate

WORKER_SECONDS = 120.0
# What others call a source: WebDataset's tars, and what the datasets of Hugging Face are saved as.
_OTHERS = {
    **dict.fromkeys(("wds", "tar", "tars", "shards"), "webdataset"),
    **dict.fromkeys(("hf", "huggingface", "datasets", "load_dataset"), "parquet"),
}


class DataSettings(BaseModel):
    """How any source is split and batched."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    source: str = Field(..., description="the data source's name")
    batch_size: Annotated[int, Field(ge=1)] = Field(128, description="images in a batch")
    validation: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of each class's training images that is held out for validation"
    )
    sampling: Kind = Field(
        "all",
        description="images of an epoch: all, once each; balanced, every class as often; sqrt, classes by the square "
        "root of their counts",
    )
    repeats: Annotated[int, Field(ge=1)] = Field(
        1, description="repeated augmentation: how often each image of a batch is in it, under draws of its own"
    )
    drop_last: bool = Field(False, description="leave out the epoch's last batch where it is smaller than the others")
    workers: Annotated[int, Field(ge=0)] = Field(
        0, description="loader processes for transforms per sample; 0 runs them in the training process"
    )
    worker_timeout: Annotated[float, Field(gt=0)] = Field(
        WORKER_SECONDS, description="seconds a worker may take for one batch before it counts as hanging"
    )
    skip_corrupt: Annotated[int, Field(ge=0)] = Field(
        0, description="corrupt images that are left out, and counted, before it is an error"
    )


@cache
def settings_of(source: str) -> type[DataSettings]:
    """The model of a whole ``data`` section with this source: common settings and the source's own arguments."""
    bases: Any = (DataSettings, sources[source].arguments)
    model: Any = create_model("data", __base__=bases, __module__=__name__)
    return cast("type[DataSettings]", model)


def parse_data(node: Mapping, diagnostics: Diagnostics) -> DataSettings | None:
    """Checks a recipe's ``data`` without opening anything; None after every error was told."""
    written = node.get("source")
    if written is None:
        help = f"one of {', '.join(sources)}"
        tell_missing("source", node, diagnostics, what="data", help=help, names=sources)
        return None
    name = text_of(written)
    if name is None:
        diagnostics.error("wrong-type", "data: a source is a name", written.span, help=f"one of {', '.join(sources)}")
        return None
    if name not in sources:
        unknown, other = sources.unknown(name, written.span), _OTHERS.get(name.lower())
        diagnostics.add(replace(unknown, help=offer([other])) if other else unknown)
        return None
    return validate(settings_of(name), node, diagnostics, what="data")
