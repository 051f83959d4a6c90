"""Collecting evidence from a finished training: arrays and plain data, ready to be written. Floor 6.

Images are recorded as the network saw them, back in 0..255, so that maps lie on what was looked at.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.explain import cams, choose_layer, find_method, layers_with_maps, seen_pixels
from zoo.report.choice import from_every_class, most_confident
from zoo.summary import summarize, torchsummary_text

if TYPE_CHECKING:
    from zoo.data import Batches, Dataset, TransformSpec
    from zoo.schema.recipe import ExplainSection
    from zoo.train import Evaluation

GALLERY = 50  # mistakes in the gallery
ORIGINALS, VERSIONS = 6, 5  # of the augmentation figure: training images, and epochs, or times, shown of each

Arrays = dict[str, NDArray[Any]]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Finished:
    """What a recording looks at: the trained network, which is left as found, and what it was trained and tested on.

    ``train`` and ``test`` are the batches, made by those transforms; ``evaluation`` is the last test, in any order,
    whose predictions were kept.
    """

    model: nn.Module
    dataset: Dataset
    train: Batches
    test: Batches
    train_transforms: Sequence[TransformSpec]
    eval_transforms: Sequence[TransformSpec]
    evaluation: Evaluation

    def seen(self, indices: NDArray[np.int64]) -> Tensor:
        """These test images as the network saw them: float32, BCHW, on its device."""
        return self.test.batch(1, indices.tolist()).images

    def augmented(self, samples: NDArray[np.int64], epoch: int) -> Tensor:
        """These training samples as the network saw them in that epoch: float32, BCHW, on its device."""
        return self.train.batch(epoch, samples.tolist()).images

    def pixels(self, images_BCHW: Tensor, transforms: Sequence[TransformSpec]) -> Pixels:
        """Images that went through these transforms, back as pixels: uint8, NHWC."""
        return seen_pixels(images_BCHW, transforms, self.dataset)


def predictions(finished: Finished) -> Arrays:
    """Label, prediction, and the probability of each, of every test image in the split's order."""
    found = finished.evaluation
    if found.labels is None or found.probabilities is None or found.indices is None:
        raise ValueError("the evaluation kept no predictions: it needs keep=True")
    order = np.argsort(found.indices, kind="stable")
    probabilities, labels = found.probabilities[order], found.labels[order].astype(np.int64)
    return {
        "labels": labels,
        "predictions": probabilities.argmax(1).astype(np.int64),
        "confidence": probabilities.max(1).astype(np.float32),
        "true_confidence": probabilities[np.arange(len(labels)), labels].astype(np.float32),
    }


def mistakes(finished: Finished, found: Arrays, explained: int) -> tuple[Arrays, list[str]]:
    """Of the predictions that were ``found`` the mistakes to show with their images, the ``explained`` surest among
    them, and what each image is called.
    """
    columns = found["labels"], found["predictions"], found["confidence"]
    chosen = np.union1d(from_every_class(*columns, GALLERY), most_confident(*columns, explained))
    chosen = chosen[np.argsort(-found["confidence"][chosen], kind="stable")]
    split = finished.dataset.test
    images = np.zeros((0, 1, 1, 1), np.uint8)
    if len(chosen):
        images = finished.pixels(finished.seen(chosen), finished.eval_transforms)
    arrays: Arrays = {"indices": chosen, "images": images, **{key: column[chosen] for key, column in found.items()}}
    return arrays, [split.id(int(index)) for index in chosen]


def maps(finished: Finished, shown: Arrays, settings: ExplainSection) -> tuple[Arrays, dict[str, str]]:
    """Maps of the surest mistakes, for the predicted and the true class (one, where the method knows no class).

    Raises UsageError where there can be none.
    """
    count = min(settings.images, len(shown["indices"]))
    kinds = {"predicted": "predictions", "true": "labels"}
    if not find_method(settings.method).knows_class:
        del kinds["true"]  # it would be the same map
    if count == 0:
        raise UsageError("no test image was misclassified")
    images = finished.seen(shown["indices"][:count])
    layers = layers_with_maps(finished.model, images.shape[1:])
    layer = choose_layer(layers, settings.layer or None, finished.model).name

    def explained(classes: NDArray[np.int64]) -> Pixels:
        asked = classes.tolist()
        maps = cams(finished.model, images, asked, method=settings.method, layer=layer, layers=layers)
        return (maps * 255).round().astype(np.uint8)

    arrays = {kind: explained(shown[column][:count]) for kind, column in kinds.items()}
    return arrays, {"method": settings.method, "layer": layer}


def augmentations(finished: Finished) -> Arrays:
    """Some training images and what the first epochs made of them, with the epoch that each version is of."""
    train, sampling = finished.dataset.train, finished.train.sampling
    of_epoch = [sampling.samples(epoch) for epoch in range(1, VERSIONS + 1)]
    present = np.unique(of_epoch[0] % len(train))
    first_of_each = np.unique(train.labels[present], return_index=True)[1][:ORIGINALS]
    chosen = np.sort(present[first_of_each])
    epochs, samples = _first_times(chosen, of_epoch, len(train))
    versions = [
        finished.pixels(finished.augmented(samples[epochs == epoch], epoch), finished.train_transforms)
        for epoch in np.unique(epochs).tolist()
    ]
    augmented = np.empty((*epochs.shape, *versions[0].shape[1:]), np.uint8)
    for epoch, version in zip(np.unique(epochs).tolist(), versions, strict=True):
        augmented[epochs == epoch] = version
    originals = np.stack([_resized(train.image(int(index)), augmented.shape[2:4]) for index in chosen])
    return {"originals": originals, "augmented": augmented, "labels": train.labels[chosen], "epochs": epochs}


def _first_times(
    chosen: NDArray[np.int64], of_epoch: Sequence[NDArray[np.int64]], images: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Epoch (from 1) and sample of the first times that each of these images comes, of all as often (image, time)."""
    times = [
        [(epoch, sample) for epoch, all_ in enumerate(of_epoch, 1) for sample in all_[all_ % images == image].tolist()]
        for image in chosen.tolist()
    ]
    shown = min(VERSIONS, *map(len, times))
    both = np.array([each[:shown] for each in times], dtype=np.int64)
    return both[..., 0], both[..., 1]


def _resized(image: Pixels, size: tuple[int, ...]) -> Pixels:
    """An original at the size of its versions, its proportions kept, on grey."""
    from PIL import Image, ImageOps

    grey = image.ndim == 2 or image.shape[2] == 1
    picture = Image.fromarray(image.reshape(image.shape[:2]) if grey else image)
    if picture.size != (size[1], size[0]):
        picture = ImageOps.pad(picture, (size[1], size[0]), color=128 if grey else (128, 128, 128))
    return np.asarray(picture, np.uint8).reshape(*size[:2], -1)


def layer_table(finished: Finished, name: str) -> dict[str, Any]:
    """The summary as ``zoo summary --json`` has it, with torchsummary's text beside it."""
    shape = finished.seen(np.zeros(1, np.int64)).shape
    summary = summarize(copy.deepcopy(finished.model).to("meta"), {"input": tuple(shape[1:])}, name=name)
    return {**summary.as_data(), "text": torchsummary_text(summary)}
