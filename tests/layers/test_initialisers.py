"""Initialisers against torch.nn.init, and the speedruns' own against what they promise."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zoo.diagnostics import Diagnostics, Source, Span
from zoo.document import from_data
from zoo.layers import initialisers
from zoo.schema import given, validate

PLACE = Span(Source("here"), 1, 1, 1, 2)
ARGUMENTS: dict[str, dict[str, Any]] = {
    "uniform": {"a": -1, "b": 2},
    "normal": {"std": 0.02},
    "trunc_normal": {"std": 0.02},
    "constant": {"val": 0.5},
    "ones": {},
    "zeros": {},
    "eye": {},
    "dirac": {"groups": 2},
    "xavier_uniform": {"gain": 2},
    "xavier_normal": {},
    "kaiming_uniform": {"a": 1},
    "kaiming_normal": {"mode": "fan_out", "nonlinearity": "relu"},
    "orthogonal": {"gain": 2},
    "sparse": {"sparsity": 0.5},
}
SHAPES = {"eye": (5, 3), "sparse": (5, 3)}


def read(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    diagnostics = Diagnostics()
    made = validate(initialisers[name].arguments, from_data(arguments, PLACE), diagnostics, what=name)
    assert made is not None, [item.message for item in diagnostics]
    return given(made)


def test_all_of_torchs_initialisers_are_here() -> None:
    functions = {name for name, value in vars(nn.init).items() if inspect.isfunction(value)}
    assert {name[:-1] for name in functions if name.endswith("_") and not name.startswith("_")} == set(ARGUMENTS)
    assert set(ARGUMENTS) < set(initialisers)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_initialiser_is_torchs_own(name: str) -> None:
    first, second = torch.empty(SHAPES.get(name, (6, 4, 3, 3))), torch.empty(SHAPES.get(name, (6, 4, 3, 3)))
    arguments = read(name, ARGUMENTS[name])
    fewest, most = initialisers[name].dims
    assert fewest <= first.dim() <= most
    torch.manual_seed(0)
    initialisers[name].fill(first, **arguments)
    torch.manual_seed(0)
    getattr(nn.init, f"{name}_")(second, **arguments)
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", [name for name in ARGUMENTS if initialisers[name].dims[0] > 0])
def test_the_fewest_dimensions_are_torchs(name: str) -> None:
    with pytest.raises((ValueError, RuntimeError)):
        initialisers[name].fill(torch.empty((4,) * (initialisers[name].dims[0] - 1)), **read(name, ARGUMENTS[name]))


@pytest.mark.parametrize(("out_channels", "in_channels"), [(8, 3), (4, 4), (2, 5)])
def test_partial_dirac_passes_channels_through(out_channels: int, in_channels: int) -> None:
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    before = conv.weight.detach().clone()
    initialisers["partial_dirac"].fill(conv.weight)
    x = torch.randn(2, in_channels, 5, 5)
    passed = min(out_channels, in_channels)
    assert torch.equal(conv(x)[:, :passed], x[:, :passed])
    assert torch.equal(conv.weight[in_channels:], before[in_channels:])
    assert not torch.equal(conv.weight[:passed], before[:passed])


def correlated_images() -> Tensor:
    """Smooth images whose channels go together, as photographs' do: float BCHW, mean 0, deviation 1."""
    noise = torch.randn(300, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    smooth = F.avg_pool2d(F.pad(noise, (2, 2, 2, 2), mode="reflect"), 5, stride=1) + 0.1 * noise
    images = smooth + smooth.mean(dim=1, keepdim=True)
    return (images - images.mean()) / images.std()


def output_moments(weight: Tensor, images: Tensor) -> Tensor:
    """The second moments of a convolution's outputs over all places: CC."""
    outputs = F.conv2d(images, weight).transpose(0, 1).flatten(1)
    return outputs @ outputs.T / outputs.shape[1]


def test_patch_whitening_whitens() -> None:
    images = correlated_images()
    weight = torch.empty(24, 3, 2, 2)
    initialisers["patch_whitening"].fill(weight, images=images, eps=0.0)
    torch.testing.assert_close(output_moments(weight[:12], images), torch.eye(12), atol=2e-3, rtol=0)
    assert torch.equal(weight[12:], -weight[:12])
    control = nn.Conv2d(3, 12, 2).weight.detach()
    assert (output_moments(control, images) - torch.eye(12)).abs().max() > 0.1


def test_patch_whitening_is_the_sources_formula() -> None:
    """Eigenvectors by decreasing eigenvalue, over the root of eigenvalue plus eps."""
    images, eps = correlated_images(), 5e-2
    weight = torch.empty(24, 3, 2, 2)
    initialisers["patch_whitening"].fill(weight, images=images, eps=eps)
    moments = output_moments(weight[:12], images).diagonal()
    patches = F.unfold(images, 2).transpose(1, 2).reshape(-1, 12)
    eigenvalues = torch.linalg.eigvalsh(patches.T @ patches / len(patches)).flip(0)
    torch.testing.assert_close(moments, eigenvalues / (eigenvalues + eps), atol=1e-3, rtol=1e-3)
    assert not torch.allclose(moments, eigenvalues / (eigenvalues.sqrt() + eps) ** 2, atol=1e-2)  # eps outside the root


def test_patch_whitening_wants_images_of_the_filters_channels() -> None:
    with pytest.raises(ValueError, match="the images have 3 channels, the filters 1"):
        initialisers["patch_whitening"].fill(torch.empty(8, 1, 2, 2), images=correlated_images(), eps=0.0)


class Largest(TorchDispatchMode):
    """Notes the largest memory that any operation's result has of its own."""

    def __init__(self, given: Tensor) -> None:
        super().__init__()
        self.bytes, self._given = 0, given.untyped_storage().data_ptr()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            storage = tensor.untyped_storage() if isinstance(tensor, Tensor) else None
            if storage is not None and storage.data_ptr() != self._given:
                self.bytes = max(self.bytes, storage.nbytes())
        return result


def test_patch_whitening_needs_no_memory_for_all_patches_at_once() -> None:
    """The same filters as from all patches at once, which would take 76 MB here; what it takes is bounded."""
    images = correlated_images().repeat(2, 1, 4, 4)[:400]
    weight = torch.empty(24, 3, 2, 2)
    with Largest(images) as largest:
        initialisers["patch_whitening"].fill(weight, images=images, eps=5e-4)
    with Largest(images) as control:
        windows = images.unfold(2, 2, 1).unfold(3, 2, 1)
        patches = windows.transpose(1, 3).reshape(-1, 12)
        moments = patches.T.double() @ patches.double() / len(patches)
    eigenvalues, eigenvectors = torch.linalg.eigh(moments)
    expected = (eigenvectors / (eigenvalues + 5e-4).sqrt()).T.flip(0).reshape(12, 3, 2, 2).float()
    expected *= (expected * weight[:12]).sum(dim=(1, 2, 3), keepdim=True).sign()  # an eigenvector has no sign
    torch.testing.assert_close(weight[:12], expected, atol=1e-4, rtol=0)
    assert largest.bytes < 6e6 < 70e6 < control.bytes


def test_patch_whitening_takes_images_one_by_one() -> None:
    """The same bits as from one tensor of all, though no more than a few of them are in memory."""
    images, alive, most = correlated_images().repeat(8, 1, 1, 1), set[int](), 0
    assert images.numel() > 2**19

    def drawn() -> Iterator[Tensor]:
        nonlocal most
        for number, image in enumerate(images):
            copy = image.clone()
            alive.add(number)
            weakref.finalize(copy, alive.discard, number)
            most = max(most, len(alive))
            yield copy

    weight, whole = torch.empty(24, 3, 2, 2), torch.empty(24, 3, 2, 2)
    initialisers["patch_whitening"].fill(weight, images=drawn(), eps=5e-4)
    initialisers["patch_whitening"].fill(whole, images=images, eps=5e-4)
    assert torch.equal(weight, whole)
    assert most < len(images) / 2


@pytest.mark.parametrize("filters", [8, 30])
def test_patch_whitening_with_fewer_or_more_filters(filters: int) -> None:
    images, weight = correlated_images(), torch.full((filters, 3, 2, 2), 7.0)
    initialisers["patch_whitening"].fill(weight, images=images)
    whole = torch.empty(24, 3, 2, 2)
    initialisers["patch_whitening"].fill(whole, images=images)
    assert torch.equal(weight[:24], whole[:filters])
    assert bool((weight[24:] == 7).all())


@pytest.mark.parametrize(
    ("name", "arguments", "shape", "dtype", "fault"),
    [
        ("kaiming_normal", {}, (4,), "float32", "kaiming_normal wants 2 to 8 dimensions, the tensor is [4]"),
        ("eye", {}, (4, 4, 4), "float32", "eye wants 2 dimensions, the tensor is [4, 4, 4]"),
        ("normal", {}, (4,), "int64", "normal makes floats, the tensor is int64"),
        ("trunc_normal", {"a": 2.0}, (4,), "float32", "b 2 is not above a 2"),
        ("uniform", {"a": 2.0}, (4,), "float32", "b 1 lies below a 2"),
        ("dirac", {"groups": 3}, (4, 4, 3), "float32", "groups 3 does not divide out_channels 4"),
        (
            "relative_position",
            {"window_size": (4, 4)},
            (16,),
            "int64",
            "a window of 16 places has 256 pairs, the tensor is [16]",
        ),
        ("zeros", {}, (4,), "int64", None),
        ("normal", {}, (4,), "float32", None),
    ],
)
def test_what_an_initialiser_cannot_fill(
    name: str, arguments: dict[str, Any], shape: tuple[int, ...], dtype: str, fault: str | None
) -> None:
    assert initialisers[name].fault(shape, arguments, dtype) == fault


def test_only_whitening_wants_images() -> None:
    assert [name for name in initialisers if initialisers[name].needs_images] == ["patch_whitening"]


def test_buffer_fillers() -> None:
    counted = torch.empty(2, 3, dtype=torch.int64)
    initialisers["arange"].fill(counted)
    assert counted.tolist() == [[0, 1, 2], [3, 4, 5]]
    stepped = torch.empty(3)
    initialisers["arange"].fill(stepped, **read("arange", {"start": 1, "step": 0.5}))
    assert stepped.tolist() == [1.0, 1.5, 2.0]
    spaced = torch.empty(3)
    initialisers["linspace"].fill(spaced, **read("linspace", {"start": 0, "end": 1}))
    assert spaced.tolist() == [0.0, 0.5, 1.0]


def test_relative_position_is_swins() -> None:
    from torchvision.models.swin_transformer import ShiftedWindowAttention

    index = torch.empty(16 * 16, dtype=torch.int64)
    initialisers["relative_position"].fill(index, **read("relative_position", {"window_size": [4, 4]}))
    reference = ShiftedWindowAttention(8, [4, 4], [0, 0], 2)
    assert torch.equal(index, reference.relative_position_index)
    assert int(index.max()) + 1 == len(reference.relative_position_bias_table)
