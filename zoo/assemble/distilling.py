"""From `loss.distillation` to a teacher that can be asked: its run opened, and judged by the data. Floor 7."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.assemble.check import Checked
from zoo.assemble.networks import Network
from zoo.assemble.normalization import Normalization
from zoo.assemble.opening import TrainedNetwork, open_described
from zoo.assemble.resolve import Resolved
from zoo.assemble.teachers import TeacherRun, misfit, other_classes, placed_at_teacher, require_usable, teacher_run
from zoo.data import Dataset
from zoo.diagnostics import counted
from zoo.errors import first_line, is_out_of_memory
from zoo.layout import RESULT, is_file
from zoo.optim.undoing import same_randomness
from zoo.train import Runtime
from zoo.train.distillation import Renormalized, Teacher


@dataclass(frozen=True)
class OpenedTeacher:
    """A teacher, and who it is. ``notes`` are lines for people about what was found on the way."""

    run: TeacherRun
    sha256: str  # of its model.safetensors
    network: Network
    params: int
    ask: Teacher
    notes: tuple[str, ...]

    def as_facts(self) -> dict[str, Any]:
        """What env.json says of it."""
        return {
            "run": str(self.run.path.absolute()),
            "checkpoint": self.run.checkpoint,
            "sha256": self.sha256,
            "network": self.network.name,
            "params": self.params,
        }


def open_teacher(checked: Checked, dataset: Dataset, runtime: Runtime, image_1CHW: Tensor) -> OpenedTeacher:
    """The teacher that a recipe names, ready on the runtime's device. Draws no random number.

    ``image_1CHW`` is a training image as the network sees it: the teacher is tried on it.

    Raises CheckpointError for a run that cannot be used, ConfigError for one that cannot teach this network.
    """
    resolved = checked.resolved
    with placed_at_teacher(resolved):
        run = teacher_run(resolved)
        require_usable(run)
        with same_randomness():
            opened = open_described(run.path, run.checkpoint, device=str(runtime.device))
        sha256 = run.sha256()
    _require_same_classes(resolved, run, opened.data.classes, dataset)
    _require_same_channels(resolved, run, opened.input_shape[0], image_1CHW.shape[1])
    params = sum(parameter.numel() for parameter in opened.module.parameters())
    module = _for_images_of(resolved, run, opened, Normalization.of(checked.train_transforms, dataset))
    ask = Teacher(module, runtime)
    _try(resolved, run, module, runtime, runtime.images(image_1CHW), len(dataset.classes))
    notes = tuple(_notes(run, opened, tuple(image_1CHW.shape[1:]), is_turned=module is not opened.module))
    return OpenedTeacher(run, sha256, opened.network, params, ask, notes)


def _require_same_classes(resolved: Resolved, run: TeacherRun, taught: tuple[str, ...], dataset: Dataset) -> None:
    own = dataset.classes
    if len(taught) != len(own):
        raise other_classes(resolved, run, len(taught), len(own))
    different = next((at for at, pair in enumerate(zip(taught, own, strict=True)) if len(set(pair)) > 1), None)
    if different is not None:
        order = ", in another order" if set(taught) == set(own) else ""
        raise misfit(
            resolved,
            f"the teacher {run.path} has other classes{order}: number {different} is {taught[different]}, of the data "
            f"{own[different]}",
        )


def _require_same_channels(resolved: Resolved, run: TeacherRun, taught: int, own: int) -> None:
    if taught != own:
        help = "ToRGB makes colour of grey" if own == 1 else "a teacher that was trained on such images"
        message = (
            f"the teacher {run.path} takes images of {counted(taught, 'channel')}, those of the training have {own}"
        )
        raise misfit(resolved, message, help)


def _for_images_of(resolved: Resolved, run: TeacherRun, opened: TrainedNetwork, own: Normalization) -> nn.Module:
    """The teacher's module for images that are normalised as the network's are."""
    taught = Normalization.of(opened.checked.eval_transforms, opened.data)
    if own.makers == taught.makers or (own.scale is not None and own.scale == taught.scale):
        return opened.module
    if own.scale is None or taught.scale is None:
        message = f"the teacher {run.path} normalises images in another way, which no mean and std makes up for"
        raise misfit(resolved, message, "the same Normalize in this recipe's transforms as in the teacher's")
    return Renormalized(opened.module, *own.scale.to(taught.scale))


def _try(
    resolved: Resolved, run: TeacherRun, module: nn.Module, runtime: Runtime, image_1CHW: Tensor, classes: int
) -> None:
    """Raises ConfigError where the teacher cannot take such images, or does not know what to say of one."""
    size = f"images of {list(image_1CHW.shape[1:])}"
    try:
        with torch.no_grad(), runtime.fabric.autocast():
            logits = module(image_1CHW)
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        if is_out_of_memory(error):
            raise
        help = "a teacher that was trained on images of this size, or transforms that make those that it knows"
        message = f"the teacher {run.path} cannot take {size}: {first_line(error)}"
        raise misfit(resolved, message, help) from None
    if tuple(logits.shape) != (1, classes):
        raise misfit(resolved, f"the teacher {run.path} gives {list(logits.shape[1:])} for {size}, not logits")
    if not logits.isfinite().all():
        message = f"the teacher {run.path} gives what is not finite for the first training image"
        raise misfit(resolved, message, "another of its checkpoints, or another teacher; zoo eval tells how good it is")


def _notes(run: TeacherRun, opened: TrainedNetwork, shape: tuple[int, ...], *, is_turned: bool) -> Iterator[str]:
    own = ", which gets the images in its own normalisation" if is_turned else ""
    yield f"learns from {opened.network.name} in {run.path} ({run.checkpoint}){own}"
    if not is_file(run.path / RESULT):
        yield f"warning: the teacher {run.path} is not trained to its end"
    if shape[1:] != opened.input_shape[1:]:
        tested = list(opened.input_shape)
        yield f"warning: the teacher {run.path} was tested on images of {tested}, here it gets {list(shape)}"
