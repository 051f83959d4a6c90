from __future__ import annotations

import copy
import importlib
import inspect

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.explain.small_nets import ChannelsLast, Inplace, SmallViT, images, small_cnn
from zoo.errors import UsageError
from zoo.explain import METHODS, cams
from zoo.explain.methods import find_method


def gradcam_by_hand(model: nn.Module, layer: str, image: Tensor, index: int) -> np.ndarray:
    """GradCAM from the paper's formula (Selvaraju 2017, eq. 1 and 2), one image, before scaling: HW."""
    model = copy.deepcopy(model).eval()
    kept: list[Tensor] = []
    module = model.get_submodule(layer)

    def keep(_: nn.Module, __: object, output: Tensor) -> Tensor:
        kept.append(output)
        return output.clone()  # whatever comes next may write into it

    module.register_forward_hook(keep)
    score = model(image[None])[0, index]
    (gradient,) = torch.autograd.grad(score, kept)
    weights = gradient[0].mean((1, 2))
    return (weights[:, None, None] * kept[0][0]).sum(0).relu().detach().numpy()


def scaled(map_HW: np.ndarray, side: int) -> np.ndarray:
    import cv2

    map_HW = map_HW - map_HW.min()
    resized = cv2.resize(map_HW / (1e-7 + map_HW.max()), (side, side))
    resized = resized - resized.min()
    return resized / (1e-7 + resized.max())


def test_gradcam_is_the_papers_formula() -> None:
    model, batch = small_cnn(), images()
    found = cams(model, batch, [0, 3, 1], method="gradcam", layer="2")
    for row, index in enumerate([0, 3, 1]):
        expected = scaled(gradcam_by_hand(model, "2", batch[row], index), 16)
        np.testing.assert_allclose(found[row], expected, atol=1e-4)
    # Controls: another class and another layer give other maps.
    assert np.abs(found[0] - scaled(gradcam_by_hand(model, "2", batch[0], 4), 16)).max() > 0.05
    assert np.abs(found[0] - scaled(gradcam_by_hand(model, "0", batch[0], 0), 16)).max() > 0.05


@pytest.mark.parametrize(("model", "layer"), [(small_cnn(), "2.1"), (Inplace(), "bn")])
def test_inplace_layers_behind_do_not_spoil_the_map(model: nn.Module, layer: str) -> None:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    batch = images(1)
    expected = scaled(gradcam_by_hand(model, layer, batch[0], 2), 16)
    np.testing.assert_allclose(cams(model, batch, [2], layer=layer)[0], expected, atol=1e-4)
    # Control: the bare library keeps a view that the inplace layer overwrites.
    twin = copy.deepcopy(model).eval()
    bare = GradCAM(twin, [twin.get_submodule(layer)])(batch, [ClassifierOutputTarget(2)])
    assert np.abs(bare[0] - expected).max() > 0.01


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_map_and_leaves_the_model_alone(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    model, batch = small_cnn(), images()
    model.train()
    model[2].eval()
    model[0][0].weight.requires_grad_(False)
    model[5].weight.grad = torch.ones_like(model[5].weight)
    before = copy.deepcopy(model.state_dict())
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()

    found = cams(model, batch, [0, 1, 2], method=method)

    assert found.shape == (3, 16, 16)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.std() > 0.01
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert model.training
    assert not model[2].training
    assert not model[0][0].weight.requires_grad
    assert torch.equal(model[5].weight.grad, torch.ones_like(model[5].weight))
    assert model[0][0].weight.grad is None
    assert not any(module._forward_hooks for module in model.modules())
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert capsys.readouterr() == ("", "")


LEFT_OUT = {  # why a class of the library is no method
    "GuidedBackpropReLUModel": "paints single input pixels, gives no class activation map",
    "DeepFeatureFactorization": "finds concepts, gives no map of a class",
    "AblationLayer": "a part of AblationCAM",
    "AblationLayerVit": "a part of AblationCAM",
    "AblationLayerFasterRCNN": "for detectors",
    "ActivationsAndGradients": "the hooks that all methods share",
}


def test_the_whole_library_is_covered() -> None:
    import pytorch_grad_cam

    classes = {name for name, item in vars(pytorch_grad_cam).items() if inspect.isclass(item)}
    assert classes == {method.class_name for method in METHODS.values()} | set(LEFT_OUT)


@pytest.mark.parametrize(
    "method", ["gradcam", "gradcam++", "layercam", "eigencam", "scorecam", "ablationcam", "finercam"]
)
def test_a_batch_is_its_images_one_by_one(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("zoo.explain.cams"), "BATCH_SIZE", 3)
    model, batch, classes = small_cnn(), images(4), [4, 0, 2, 1]
    together = cams(model, batch, classes, method=method)
    for row, index in enumerate(classes):
        alone = cams(model, batch[row : row + 1], [index], method=method)
        np.testing.assert_allclose(together[row], alone[0], atol=2e-4)
    if method != "eigencam":  # it knows no class
        assert np.abs(together - cams(model, batch, [1, 1, 1, 3], method=method)).max() > 2e-3


# SESS feeds windows of its own; the cnn covers it.
@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("fullgrad", "sess")])
@pytest.mark.parametrize(
    "model", [SmallViT(), SmallViT(class_token=False), ChannelsLast()], ids=["cls", "mean", "bhwc"]
)
def test_every_method_explains_transformers(model: nn.Module, method: str) -> None:
    found = cams(model, images(2), [0, 1], method=method)
    assert found.shape == (2, 16, 16)
    assert np.isfinite(found).all()
    assert found.std() > 0.01


def test_gradcam_of_tokens_is_the_formula_over_patches() -> None:
    model, image = SmallViT(), images(1)
    twin = copy.deepcopy(model).eval()
    kept: list[Tensor] = []
    twin.norm1.register_forward_hook(lambda _, __, output: kept.append(output))
    score = twin(image)[0, 3]
    (gradient,) = torch.autograd.grad(score, kept)
    patches, slopes = (tensor[0, 1:].T.reshape(12, 4, 4).detach() for tensor in (kept[0], gradient))
    expected = (slopes.mean((1, 2))[:, None, None] * patches).sum(0).relu().numpy()
    found = cams(model, image, [3], layer="norm1")[0]
    np.testing.assert_allclose(found, scaled(expected, 16), atol=1e-4)
    # Control: with the class token left in and the last patch dropped, the map is another.
    wrong = kept[0][0, :-1].T.reshape(12, 4, 4).detach()
    assert np.abs(found - scaled((slopes.mean((1, 2))[:, None, None] * wrong).sum(0).relu().numpy(), 16)).max() > 0.01


def test_half_precision_and_frozen_models_are_explained_in_fp32() -> None:
    model = small_cnn().bfloat16()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    expected = cams(copy.deepcopy(model).float(), images(), [0, 1, 2])
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = cams(model, images(), [0, 1, 2])
    np.testing.assert_array_equal(found, expected)
    assert next(model.parameters()).dtype == torch.bfloat16


def test_method_names_are_forgiving_and_unknown_ones_are_not() -> None:
    assert find_method("KPCA_CAM").name == "kpcacam"
    assert find_method("Grad-CAM").name == "gradcam"
    assert find_method("GradCAMPlusPlus").name == "gradcam++"
    with pytest.raises(UsageError, match="no CAM method 'gradcan'") as caught:
        find_method("gradcan")
    assert "gradcam" in (caught.value.help or "")


def test_a_class_the_network_does_not_have_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="class 7"):
        cams(small_cnn(), images(1), [7])
    with pytest.raises(UsageError, match="3 images want as many classes"):
        cams(small_cnn(), images(3), [1])


def test_no_images_give_no_maps() -> None:
    assert cams(small_cnn(), images(3)[:0], []).shape == (0, 16, 16)


def test_what_a_method_cannot_explain_says_so() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten(), nn.LazyLinear(5)
    )
    model(images(2))
    with pytest.raises(UsageError, match="fullgrad cannot explain") as caught:
        cams(model, images(2), [0, 1], method="fullgrad")
    assert caught.value.notes
    assert caught.value.message == "fullgrad cannot explain this network"  # it reads all layers


def test_of_a_single_class_there_are_no_rivals() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
    with pytest.raises(UsageError, match="finercam cannot explain layer '0'"):
        cams(network, images(1), [0], method="finercam")


class Greedy(nn.Module):
    """Wants more memory than there is once it sees more than two images at a time."""

    def forward(self, x: Tensor) -> Tensor:
        return x if len(x) <= 2 else x + torch.empty(2**50).sum()


def test_memory_that_is_short_is_not_the_methods_fault() -> None:
    model = nn.Sequential(Greedy(), small_cnn())
    assert cams(model, images(2), [0, 1]).shape == (2, 16, 16)  # the control
    with pytest.raises(RuntimeError, match="allocate memory"):
        cams(model, images(3), [0, 1, 2])


@pytest.mark.parametrize("method", METHODS)
def test_the_table_says_which_methods_know_classes(method: str) -> None:
    model, batch = small_cnn(), images(1)
    first, second = (cams(model, batch, [index], method=method) for index in (0, 3))
    assert np.array_equal(first, second) is not METHODS[method].knows_class
