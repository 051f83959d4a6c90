"""What may stand in a recipe's ``data`` beside the source's own arguments. Floor 2; no torch."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, create_model

from zoo.data.sampling import Kind
from zoo.data.sources import sources
from zoo.diagnostics import Diagnostics, Note
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
    folds: Annotated[int, Field(ge=2)] | None = Field(
        None, description="cross-validation: how many parts each class's training images are cut into, one held out"
    )
    fold: Annotated[int, Field(ge=0)] = Field(
        0, description="which of these parts is held out for validation, from 0 on; the others train"
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

    @property
    def holds_out(self) -> bool:
        """Whether part of the training images is held out for validation."""
        return self.validation > 0 or self.folds is not None


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
    before = len(diagnostics.errors)
    settings = validate(settings_of(name), node, diagnostics, what="data")
    if settings is not None:
        _check_folds(settings, node, diagnostics)
    return settings if len(diagnostics.errors) == before else None


def _check_folds(settings: DataSettings, node: Mapping, diagnostics: Diagnostics) -> None:
    """Tells of a fold that there is not, and of folds beside another share that is held out."""
    if settings.folds is None:
        if settings.fold:
            message = f"data: fold: {settings.fold} of how many folds is not said"
            diagnostics.error("bad-value", message, node.value_span("fold"), help="add folds: 5")
        return
    if settings.fold >= settings.folds:
        message = f"data: fold: expected less than {settings.folds}, as many folds as there are, got {settings.fold}"
        help = f"they are numbered from 0 to {settings.folds - 1}"
        diagnostics.error("bad-value", message, node.value_span("fold"), help=help)
    if settings.validation:
        diagnostics.error(
            "bad-value",
            "data: validation holds images out, and so do folds",
            node.key_span("validation"),
            notes=[Note("folds stand here", node.key_span("folds"))],
            help="leave one of them out",
        )
