"""A recipe's sections as Pydantic models: what may stand in a recipe file, with every default. Floor 1.

What a section passes on to a catalogue (a source's arguments, an optimizer's, a transform's, an architecture's
params) is open here and checked by that catalogue, which knows the signatures.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from zoo.registry import SURE, meant
from zoo.schema.corners import require_corners

Compile = Literal["auto", "max-autotune-no-cudagraphs"]  # the latter is a mode of torch.compile
TTA = Literal["none", "flip", "flip_translate"]  # views of each test image that are averaged
ReportName = Literal[
    "curves",
    "lr_schedule",
    "lr_find",
    "augmentations",
    "class_accuracy",
    "confusion",
    "calibration",
    "misclassified",
    "gradcam",
    "summary",
]
REPORTS: tuple[ReportName, ...] = get_args(ReportName)
REPORT_DOCS: dict[ReportName, str] = {
    "curves": "loss and accuracy of every epoch",
    "lr_schedule": "the learning rate over the training",
    "lr_find": "the LR range test, with what every rule suggests",
    "augmentations": "training images before and after the transforms",
    "class_accuracy": "accuracy class by class, as text and as a chart",
    "confusion": "which class is taken for which",
    "calibration": "how often the network is right when it is so sure",
    "misclassified": "test images that were classified wrongly, the most confident first",
    "gradcam": "class activation maps of misclassified images",
    "summary": "the network's layer table",
}

NETWORK_KEYS = ("architecture", "timm", "torchvision")  # of which a recipe's `model` has one

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Base of all sections: nothing unknown, nothing coerced, nothing changed afterwards; finite numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ModelSection(Section):
    """Which network is trained. An architecture's params, or a foreign model's arguments, stand beside its name."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    architecture: str | None = Field(None, description="a shipped architecture's name, or a path relative to this file")
    timm: str | None = Field(None, description="a timm model's name")
    torchvision: str | None = Field(None, description="a torchvision classification model's name")
    weights: str | None = Field(
        None, description="weights to start from: a path, or `pretrained` for a timm or torchvision model"
    )

    @model_validator(mode="after")
    def _names_one(self) -> ModelSection:
        if sum(getattr(self, key) is not None for key in NETWORK_KEYS) != 1:
            words = "a model is one of `architecture`, `timm` and `torchvision`"
            for key in self.params:
                near = self.nearest_key(key)
                if near is not None:
                    context = {"at": key, "near": near}
                    raise PydanticCustomError("mistyped", words + ", not {at}: did you mean {near}?", context)
            raise ValueError(words)
        return self

    @classmethod
    def nearest_key(cls, param: str) -> str | None:
        """The key that a param is a slip of: only one that is very near, since a param may be called anything."""
        return next(iter(meant(param, cls.model_fields, SURE)), None)

    @property
    def target(self) -> str:
        """The model as a TARGET: a name or path, ``timm:NAME``, ``torchvision:NAME``."""
        if self.timm is not None:
            return f"timm:{self.timm}"
        if self.torchvision is not None:
            return f"torchvision:{self.torchvision}"
        assert self.architecture is not None
        return self.architecture

    @property
    def params(self) -> dict[str, Any]:
        """What stands beside the name."""
        return dict(self.model_extra or {})


class TransformsSection(Section):
    """Transforms by albumentations' names: `NAME`, or `NAME: {arguments}`."""

    train: tuple[Any, ...] = Field(("Normalize",), description="transforms of the training images, in order")
    eval: tuple[Any, ...] = Field(("Normalize",), description="transforms of validation and test images, in order")
    backend: Literal["auto", "batched", "albumentations"] = Field(
        "auto", description="whole batches on the device, or albumentations per sample; auto: batched where all can be"
    )


class DistillationSection(Section):
    """A trained network that the network learns from, beside the labels (Hinton et al. 2015)."""

    teacher: str = Field(
        ..., description="a run: its folder, that of one of its checkpoints, or its name for the latest under ./runs"
    )
    kind: Literal["soft", "hard"] = Field(
        "soft", description="what is learnt of the teacher: its probabilities, or the class it finds likeliest"
    )
    temperature: Annotated[float, Field(gt=0)] = Field(
        4.0, description="of both softmaxes, where soft: a higher one shows more of the classes that are unlikely"
    )
    weight: Fraction = Field(0.9, description="the teacher's share of the loss; the labels have the rest")

    @model_validator(mode="after")
    def _has_a_use_for_all(self) -> DistillationSection:
        if self.kind == "hard" and self.temperature != type(self).model_fields["temperature"].default:
            words = "leave it out: with `kind: hard` the likeliest class is the same at every temperature"
            raise PydanticCustomError("useless", words, {"at": "temperature"})
        return self


class LossSection(Section):
    """A loss of torch.nn or timm.loss by its class name; the arguments of its constructor stand beside it."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    name: str = Field("CrossEntropyLoss", description="the class's name in torch.nn or timm.loss")
    auxiliary: dict[str, Annotated[float, Field(ge=0)]] | None = Field(
        None, description="outputs of the network beside its logits, and the weights of their losses"
    )
    distillation: DistillationSection | None = Field(None, description="a trained network to learn from")


class EmaSection(Section):
    """An exponential moving average of weights and buffers; it is what is tested and saved."""

    decay: Annotated[float, Field(ge=0, lt=1)] = Field(0.999, description="decay of the average per update")
    every: Count = Field(1, description="optimizer steps between updates")
    warmup: bool = Field(False, description="let the decay rise to its value: (1 + n) / (10 + n) after n updates")


class LookaheadSection(Section):
    """Lookahead (Zhang et al. 2019), with airbench's ramp: decay x (step / steps)^power."""

    every: Count = Field(5, description="optimizer steps between pulls towards the slow weights")
    decay: Annotated[float, Field(ge=0, le=1)] = Field(0.95**5, description="share of the slow weights kept at the end")
    power: Annotated[float, Field(ge=0)] = Field(3.0, description="exponent of the ramp; 0 keeps the decay constant")


class SwaSection(Section):
    """Stochastic weight averaging (Izmailov et al. 2018): an equal average over the end of the training."""

    start_epoch: Annotated[float, Field(ge=0)] = Field(..., description="the epoch after which averaging begins")
    every_epochs: Annotated[float, Field(gt=0)] = Field(1.0, description="epochs between the averaged weights")


class EarlyStoppingSection(Section):
    """Ends a training once a figure has stopped getting better. The test set has no say in it."""

    patience: Count = Field(..., description="tests in a row without a better figure after which training ends")
    metric: Literal["loss", "accuracy", "train.loss", "train.accuracy"] = Field(
        "loss", description="what is watched; without `train.`, that of the validation set"
    )
    min_delta: Annotated[float, Field(ge=0)] = Field(0.0, description="by how much a better figure has to be better")


class CheckpointSection(Section):
    """When checkpoints are written, beside the one at the end and the one at a signal."""

    every_epochs: Count = Field(1, description="epochs between checkpoints")
    every_minutes: Annotated[float, Field(gt=0)] | None = Field(None, description="minutes between checkpoints")
    keep: Annotated[int, Field(ge=0)] = Field(0, description="older checkpoints kept beside `last` and `best`")


class FreezeStatisticsSection(Section):
    """Norm layers whose running statistics stand still."""

    match: str | list[str] = Field(
        ..., description="glob over the dotted name of a norm layer, or of a module around it"
    )

    @model_validator(mode="after")
    def _selects(self) -> FreezeStatisticsSection:
        _require_patterns(self.match, "layers")
        return self


class ProgressiveResizingSection(Section):
    """Smaller training images in the first epochs; the size runs straight from corner to corner."""

    epochs: list[float] = Field(..., min_length=1, description="where the corners lie, in epochs; fractions too")
    sizes: list[Count] = Field(
        ..., min_length=1, description="pixels of an image's shorter side, one at each corner; the longer in proportion"
    )
    multiple_of: Count = Field(4, description="what sides are rounded to a multiple of, but for the images' own")

    @model_validator(mode="after")
    def _fits(self) -> ProgressiveResizingSection:
        require_corners(self.epochs, self.sizes, "sizes")
        return self


class ActivationCheckpointingSection(Section):
    """Modules that compute again in the backward pass what they would have kept for it."""

    match: str | list[str] = Field(
        ..., description="glob over the dotted name of a module; one inside another counts with it"
    )

    @model_validator(mode="after")
    def _selects(self) -> ActivationCheckpointingSection:
        _require_patterns(self.match, "modules")
        return self


class TrainSection(Section):
    """How long and how the network is trained."""

    epochs: Annotated[float, Field(gt=0)] | None = Field(
        None, description="passes over the training set; fractions too"
    )
    max_steps: Count | None = Field(None, description="optimizer steps after which training ends at the latest")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto: mixed precision where the hardware has it, bf16 or else fp16; fp32 elsewhere"
    )
    compile: bool | Compile = Field(
        "auto",
        description="torch.compile, or the mode of it that tunes for longer; auto: never, since it pays in long "
        "trainings only",
    )
    channels_last: bool | Literal["auto"] = Field("auto", description="memory format; auto: wherever it is faster")
    deterministic: bool = Field(
        False, description="on a GPU kernels that repeat themselves bit for bit, where there are such; slower"
    )
    grad_clip: Annotated[float, Field(gt=0)] | None = Field(None, description="largest norm of the gradient")
    accumulate: Count = Field(1, description="batches whose gradients make one optimizer step")
    ema: EmaSection | None = Field(None, description="exponential moving average of the weights")
    lookahead: LookaheadSection | None = Field(None, description="Lookahead")
    swa: SwaSection | None = Field(None, description="stochastic weight averaging")
    freeze_statistics: bool | FreezeStatisticsSection = Field(
        False, description="batch norms keep their running statistics, and normalise by them: true, all; or {match}"
    )
    progressive_resizing: ProgressiveResizingSection | None = Field(
        None, description="smaller training images in the first epochs"
    )
    activation_checkpointing: bool | ActivationCheckpointingSection = Field(
        False,
        description="less memory for more time, activations being computed twice: true, of all blocks; or {match}",
    )
    early_stopping: EarlyStoppingSection | None = Field(
        None, description="the end of a training that has stopped getting better"
    )
    checkpoint: CheckpointSection = Field(default_factory=CheckpointSection, description="when checkpoints are written")

    @model_validator(mode="after")
    def _ends(self) -> TrainSection:
        if self.epochs is None and self.max_steps is None:
            raise ValueError("a training needs `epochs` or `max_steps`")
        return self

    @property
    def frozen_statistics(self) -> tuple[str, ...]:
        """Patterns of the norm layers whose statistics stand still."""
        said = self.freeze_statistics
        if isinstance(said, bool):
            return ("*",) if said else ()
        return _patterns(said.match)

    @property
    def checkpointed(self) -> tuple[str, ...] | None:
        """Patterns of the modules whose activations are computed twice; None: the network's blocks."""
        said = self.activation_checkpointing
        if isinstance(said, bool):
            return None if said else ()
        return _patterns(said.match)


def _require_patterns(match: str | list[str], what: str) -> None:
    if not match:
        raise PydanticCustomError("empty", "`match` is empty: which {what}?", {"at": "match", "what": what})


def _patterns(match: str | list[str]) -> tuple[str, ...]:
    return (match,) if isinstance(match, str) else tuple(match)


class EvalSection(Section):
    """How the network is tested."""

    tta: TTA = Field("none", description="views averaged at the last test")
    batch_size: Count | None = Field(None, description="images at once; default: as in training, at least 500")
    every: Count = Field(1, description="epochs between tests; the last epoch is always tested")


class ExplainSection(Section):
    """The GradCAM grid of the report."""

    method: str = Field("gradcam", description="a method of grad-cam")
    layer: str | None = Field(None, description="a layer's name; default: the last one with a map of 4x4 or more")
    images: Count = Field(10, description="misclassified images shown")


class TargetSection(Section):
    """What the run is meant to reach; fractions. The last epoch counts."""

    test_accuracy: Fraction | None = Field(None, description="accuracy on the test set")
    test_accuracy_tta: Fraction | None = Field(None, description="accuracy on the test set with `eval.tta`")


class TrackingSection(Section):
    """Where metrics go beside metrics.jsonl and metrics.csv."""

    tensorboard: bool = Field(False, description="event files in the run folder (needs `pip install 'zoo[tracking]'`)")
    wandb: bool = Field(
        False, description="a run in Weights & Biases, offline where nobody is logged in (`pip install 'zoo[wandb]'`)"
    )
    mlflow: bool = Field(False, description="a run in MLflow (`pip install 'zoo[mlflow]'`)")


class Recipe(Section):
    """A whole recipe."""

    name: str = Field(
        ...,
        description="names the run folder",
        pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$",  # no `..`, no hidden folder
    )
    doc: str = Field("", description="what it is, for people")
    model: ModelSection = Field(..., description="which network is trained")
    data: dict[str, Any] = Field(..., description="the data source's name, its arguments, batch size, validation split")
    transforms: TransformsSection = Field(default_factory=TransformsSection, description="what is done to images")
    loss: LossSection = Field(default_factory=LossSection, description="what is minimised")
    optimizer: dict[str, Any] | list[dict[str, Any]] = Field(..., description="an optimizer, or several with `params`")
    schedule: dict[str, Any] | None = Field(None, description="the learning rate's schedule")
    train: TrainSection = Field(..., description="how long and how")
    eval: EvalSection = Field(default_factory=EvalSection, description="how it is tested")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        0, description="seeds the weights, the order and the augmentation"
    )
    reports: tuple[ReportName, ...] = Field(REPORTS, description="what the report shows; [] for no report")
    explain: ExplainSection = Field(default_factory=ExplainSection, description="the GradCAM grid")
    target: TargetSection = Field(default_factory=TargetSection, description="what the run is meant to reach")
    tracking: TrackingSection = Field(default_factory=TrackingSection, description="further trackers")


RECIPE_KEYS: tuple[str, ...] = tuple(Recipe.model_fields)


def is_recipe(keys: tuple[str, ...]) -> bool:
    """Whether a file with these top-level keys is a recipe: `model`, `data`, or `extends` with another of its keys."""
    if "model" in keys or "data" in keys:
        return True
    return "extends" in keys and any(key in RECIPE_KEYS and key not in ("name", "doc") for key in keys)
