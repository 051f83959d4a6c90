"""Class activation maps, by grad-cam's methods and without their traps. Floor 6.

The traps, and what is done about each: ``eval()``, cleared gradients and swapped layers (a private copy);
half precision (fp32, no autocast); targets that are zipped and truncated (one for every image); transformers and
``inplace`` layers (taps); progress bars on stderr (held back); IndexErrors that its context manager swallows (not
used).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from zoo.errors import UsageError, first_line, is_out_of_memory
from zoo.explain.layers import MapLayer, choose_layer, layers_with_maps
from zoo.explain.methods import Method, find_method
from zoo.explain.private import private_copy
from zoo.explain.tap import Tapped
from zoo.optim.undoing import same_randomness

Maps = NDArray[np.float32]
BATCH_SIZE = 16  # images that are explained at a time

# What the library raises; of a single class FinerCAM finds no rivals, and makes a number of what should be a tensor.
_REFUSALS = (RuntimeError, AssertionError, ValueError, LookupError, TypeError, AttributeError, np.linalg.LinAlgError)


def cams(
    model: nn.Module,
    images_BCHW: Tensor,
    classes: Sequence[int],
    *,
    method: str = "gradcam",
    layer: str | None = None,
    layers: Mapping[str, MapLayer] | None = None,
) -> Maps:
    """Maps of what speaks for a class, one for every image: float32, BHW at the images' size, in 0..1.

    ``images_BCHW`` are as the network sees them (normalised); ``classes[i]`` is the class to explain in image
    ``i``; ``layer`` is a dotted name, by default the last with a map worth looking at; ``layers`` are those with
    maps, where they are known already. The model, its mode, its gradients and the random states are left as they
    were. Raises UsageError for an unknown method, layer or class, and where a method cannot explain this network.
    """
    chosen = find_method(method)
    if len(classes) != len(images_BCHW):
        raise UsageError(f"{len(images_BCHW)} images want as many classes, not {len(classes)}")
    if len(images_BCHW) == 0:
        return np.zeros((0, *images_BCHW.shape[2:]), np.float32)
    layers = layers_with_maps(model, images_BCHW.shape[1:]) if layers is None else layers
    target = choose_layer(layers, layer, model)
    twin = private_copy(model)
    _check_classes(twin, images_BCHW[:1], classes)
    size = 1 if chosen.one_at_a_time else BATCH_SIZE
    batches = zip(torch.split(images_BCHW, size), _chunks(classes, size), strict=True)
    targets = _pyramid(layers, target) if chosen.takes_pyramid else [target]
    with _circumstances(images_BCHW.device), _errors(chosen, target), _hooked(twin, chosen, targets) as explainer:
        maps = [_explain(explainer, chosen, images.detach().float().clone(), wanted) for images, wanted in batches]
    return np.concatenate(maps)


@torch.no_grad()
def _check_classes(model: nn.Module, image_BCHW: Tensor, classes: Sequence[int]) -> None:
    count = model(image_BCHW.float()).shape[-1]
    for index in classes:
        if not 0 <= index < count:
            raise UsageError(f"the network has no class {index}: it tells {count} apart", help=f"0 to {count - 1}")


def _explain(explainer: Any, method: Method, images: Tensor, classes: Sequence[int]) -> Maps:
    """Maps of one batch."""
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    if method.class_name == "FinerCAM":  # it makes its own targets: the class less its nearest rivals
        maps = explainer(images, None, target_idx=classes[0])
    else:
        maps = explainer(images, [ClassifierOutputTarget(index) for index in classes])
    return np.clip(np.nan_to_num(np.asarray(maps, np.float32)), 0.0, 1.0)


@contextlib.contextmanager
def _errors(method: Method, layer: MapLayer) -> Iterator[None]:
    """Turns what the library raises over a network it was not made for into a UsageError; the machine's faults pass."""
    try:
        yield
    except (torch.AcceleratorError, UsageError):
        raise
    except _REFUSALS as error:
        if is_out_of_memory(error):
            raise
        said = first_line(error, type(error).__name__)
        what = f"layer {layer.name!r} of this network" if method.takes_layer else "this network"
        raise UsageError(
            f"{method.name} cannot explain {what}",
            code="cannot-explain",
            notes=[f"grad-cam says: {said}"],
            help="gradcam works for every layer with a map" if method.name != "gradcam" else None,
        ) from error


@contextlib.contextmanager
def _hooked(model: nn.Module, method: Method, layers: Sequence[MapLayer]) -> Iterator[Any]:
    """The library's object for this method with its hooks in place, on a private copy."""
    import pytorch_grad_cam

    tapped = Tapped(model, layers if method.takes_layer else ())
    explainer = getattr(pytorch_grad_cam, method.class_name)(tapped, list(tapped.taps))
    try:
        yield explainer
    finally:
        if held := getattr(explainer, "activations_and_grads", None):
            held.activations, held.gradients = [], []  # its destructor trips over gradients that are views


@contextlib.contextmanager
def _circumstances(device: torch.device) -> Iterator[None]:
    """Gradients on, autocast off, stderr and stdout quiet, the random generators put back afterwards."""
    quiet = io.StringIO()
    with (
        same_randomness(),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
        sdpa_kernel(SDPBackend.MATH),  # the only attention with second derivatives
        contextlib.redirect_stderr(quiet),
        contextlib.redirect_stdout(quiet),
    ):
        np.random.seed(0)
        yield


def _pyramid(layers: Mapping[str, MapLayer], chosen: MapLayer) -> list[MapLayer]:
    """The last usable layer of every map size from the finest to the chosen one."""
    last: dict[tuple[int, int], MapLayer] = {}
    for layer in layers.values():
        if layer.depends and min(layer.height, layer.width) > min(chosen.height, chosen.width):
            last[layer.height, layer.width] = layer
        if layer.name == chosen.name:
            break
    return [*last.values(), chosen]


def _chunks(classes: Sequence[int], size: int) -> list[list[int]]:
    return [[int(index) for index in classes[start : start + size]] for start in range(0, len(classes), size)]
