"""The methods of pytorch-grad-cam under the names its own command line gives them. Floor 6.

A table, because the classes differ in what they want: some take several layers, some none, some score whole
batches at a time. A test walks the library for a class that is missing here.
"""

from __future__ import annotations

from dataclasses import dataclass

from zoo.errors import UsageError
from zoo.registry import did_you_mean


@dataclass(frozen=True, slots=True)
class Method:
    """A method: the library's class, and how it wants to be called."""

    name: str
    class_name: str
    doc: str
    takes_layer: bool = True  # False: it reads every layer with a bias
    takes_pyramid: bool = False  # True: one layer of every map size, fine to coarse
    one_at_a_time: bool = False  # True: its memory or its targets forbid batches
    knows_class: bool = True  # False: its map is the same whatever class is asked about


_METHODS = (
    Method("gradcam", "GradCAM", "channels weighted by their mean gradient (Selvaraju 2017)"),
    Method("gradcam++", "GradCAMPlusPlus", "second-order weights (Chattopadhyay 2018)"),
    Method("xgradcam", "XGradCAM", "gradients scaled by the activations (Fu 2020)"),
    Method("hirescam", "HiResCAM", "gradient times activation, place by place (Draelos 2020)"),
    Method("gradcamelementwise", "GradCAMElementWise", "like hirescam, negative products dropped first"),
    Method("layercam", "LayerCAM", "positive gradients place by place (Jiang 2021)"),
    Method(
        "eigencam",
        "EigenCAM",
        "first principal component of the activations; knows no class (Muhammad 2020)",
        knows_class=False,
    ),
    Method("eigengradcam", "EigenGradCAM", "first principal component of gradient times activation"),
    Method("segeigencam", "SegEigenCAM", "eigencam with absolute gradients and a corrected sign (Chung 2025)"),
    Method(
        "kpcacam",
        "KPCA_CAM",
        "first kernel principal component of the activations; knows no class",
        knows_class=False,
    ),
    Method("fem", "FEM", "activations beyond two sigmas; knows no class (Fuad 2020)", knows_class=False),
    Method("scorecam", "ScoreCAM", "the score of the image behind every channel (Wang 2020)", one_at_a_time=True),
    Method("ablationcam", "AblationCAM", "the score lost without every channel (Desai 2020)", one_at_a_time=True),
    Method("shapleycam", "ShapleyCAM", "gradient less half the Hessian-vector product (Cai 2025)"),
    Method("finercam", "FinerCAM", "gradcam of the class against its nearest rivals (Zhang 2025)", one_at_a_time=True),
    Method("refinecam", "RefineCAM", "product of the maps of several layers", takes_pyramid=True),
    Method("sess", "SESS", "gradcam over scales and windows (Tursun 2022)", one_at_a_time=True),
    Method("fullgrad", "FullGrad", "input and bias gradients of all layers (Srinivas 2019)", takes_layer=False),
    Method(
        "randomcam",
        "RandomCAM",
        "random weights: the control every other method should beat; knows no class",
        knows_class=False,
    ),
)

METHODS: dict[str, Method] = {method.name: method for method in _METHODS}


def find_method(name: str) -> Method:
    """The method of that name; case, dashes and underscores do not count (``KPCA_CAM``, ``GradCAMPlusPlus``).

    Raises UsageError with the nearest names.
    """
    folded = _fold(name)
    for method in _METHODS:
        if folded in (_fold(method.name), _fold(method.class_name)):
            return method
    raise UsageError(
        f"there is no CAM method {name!r}",
        code="unknown-method",
        notes=[f"methods: {', '.join(METHODS)}"],
        help=did_you_mean(name, list(METHODS)),
    )


def _fold(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")
