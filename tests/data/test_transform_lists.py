"""A recipe's list of transforms: names and arguments judged by albumentations' own schemas, strictly, in place."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from tests.data.data_world import array_dataset, complaints, section, specs
from zoo.data import make_batches, parse_transforms, transforms
from zoo.data.borders import BORDER_MODES, INTERPOLATIONS, inside
from zoo.data.transforms import albumentations
from zoo.diagnostics import Diagnostics, Source, Span
from zoo.document import from_data
from zoo.errors import DataError

WRONG = """
  - HorizontalFlp
  - HorizontalFlip: {prob: 0.3}
  - HorizontalFlip: {p: 1.5}
  - HorizontalFlip: {p: true}
  - RandomCrop: {height: 0, width: "32"}
  - RandomCrop: {height: 32}
  - CoarseDropout: {num_holes_range: [3, 1]}
  - PadIfNeeded: {min_height: 40, min_width: 40, border_mode: reflct}
  - PadIfNeeded: {min_height: 40, pad_height_divisor: 8}
  - CutMix: {alpha: 0}
  - MixUp: {beta: 1.0}
  - OneOf: {transforms: [HorizontalFlip, {Blur: {blur_limt: 3}}]}
  - OneOf: {transforms: [HorizontalFlip, AlternatingFlip]}
  - OneOf: {transforms: [CutMix, HorizontalFlip]}
  - OneOf: {transforms: [{OneOf: {transforms: [CutMix], p: 1}}, MixUp], p: 1}
  - OneOf: {transforms: [CutMix: {p: 0}, MixUp: {p: 0}], p: 1}
  - SomeOf: {transforms: [CutMix, MixUp]}
  - OneOf: {transforms: [CutMix, Mixup], p: 1}
  - SomeOf: {transforms: []}
  - Blur: {blur_limit: [2, 6]}
  - Defocus: {radius: .inf}
  - MaskDropout
  - CoarseDropout: {hole_height_range: [0.1, 0.2], hole_width_range: [8, 16]}
  - Pad: {padding: [-2, 0]}
  - {HorizontalFlip: {}, VerticalFlip: {}}
  - 3
  - OneOf: {transforms: [HorizontalFlip: {p: 0}, VerticalFlip: {p: 0}]}
  - Rotate: {limit: .nan}
  - Affine: {scale: 1.1, translate_px: {x: [-.inf, 2]}}
  - Normalize: {mean: 0.5, std: [0.2, 0, 0.2]}
  - ToFloat: {max_value: 0}
"""


def test_a_std_that_is_not_divided_by_may_be_any() -> None:
    assert complaints("[Normalize: {std: 0, normalization: image}]").strip() == ""


def test_messages(golden: Callable[[str, str], None]) -> None:
    golden("transforms.txt", complaints(WRONG))


def test_a_sequence_that_half_of_the_images_do_without_is_warned_of() -> None:
    assert "half of the images do without" in complaints("[Sequential: {transforms: [HorizontalFlip]}]")
    assert complaints("[Sequential: {transforms: [HorizontalFlip], p: 0.5}]").strip() == ""
    assert "OneOf: without p, half of the images" in complaints("[OneOf: {transforms: [CutMix, MixUp]}]")
    assert complaints("[OneOf: {transforms: [CutMix, MixUp], p: 1}]").strip() == ""
    assert complaints("[OneOf: {transforms: [HorizontalFlip, VerticalFlip]}]").strip() == ""
    chosen = "[OneOf: {transforms: [Sequential: {transforms: [HorizontalFlip]}, VerticalFlip]}]"
    assert complaints(chosen).strip() == ""  # what it has chosen is always applied


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("[Normalize, RandAugment]", True),
        ("[ToFloat, HorizontalFlip, RandAugment: {num_ops: 1}]", True),
        ("[OneOf: {transforms: [HorizontalFlip, Normalize]}, RandAugment]", True),
        ("[RandAugment, Normalize]", False),
        ("[Normalize: {p: 0}, RandAugment]", False),
        ("[ToFloat, FromFloat, RandAugment]", False),
        ("[Normalize, CutMix]", False),
    ],
)
def test_a_transform_of_uint8_images_behind_normalize_is_told_at_its_place(text: str, is_told: bool) -> None:
    told = complaints(text)
    assert ("RandAugment takes images that no " in told and "put it before " in told) == is_told
    assert is_told or told == "\n"


def test_what_is_for_training_only() -> None:
    for name in ("AlternatingFlip", "CutMix", "MixUp"):
        assert "transform for training" in complaints(f"[{name}]", where="eval")
        assert complaints(f"[{name}]", where="train") == "\n"


def test_a_list_is_due() -> None:
    assert "transforms are a list" in complaints("Normalize")
    assert "transforms are a list" in complaints("{Normalize: {}}")


@pytest.mark.parametrize("name", [name for name in transforms if transforms[name].own is None])
def test_every_transform_of_albumentations_has_checked_arguments(name: str) -> None:
    assert "unknown key 'no_such_argument'" in complaints(f"[{{{name}: {{no_such_argument: 1}}}}]")
    arguments = transforms[name].arguments.model_fields
    assert "p" in arguments
    assert "got true" in complaints(f"[{{{name}: {{p: true}}}}]")


def test_what_is_left_out_and_why() -> None:
    library = albumentations.library()
    everything = {
        name
        for name in dir(library)
        if isinstance(getattr(library, name), type) and issubclass(getattr(library, name), library.BasicTransform)
    }
    bases = {"BasicTransform", "DualTransform", "ImageOnlyTransform", "Transform3D"}
    volumes = {"CenterCrop3D", "CoarseDropout3D", "CubicSymmetry", "GridElasticDeform3D", "Pad3D", "PadIfNeeded3D"}
    volumes |= {"RandomCrop3D", "ToTensor3D", "CutOut3D"}
    assert everything - set(transforms) - bases - volumes <= {"Lambda"}  # takes functions, which YAML cannot name


@pytest.mark.parametrize("word", sorted(BORDER_MODES))
def test_border_words_are_opencvs_numbers(word: str) -> None:
    (spec,) = specs(f"[{{Pad: {{padding: 2, border_mode: {word}}}}}]")
    line = np.arange(5, dtype=np.uint8)[None]
    mode = BORDER_MODES[word]
    if word.startswith("BORDER"):
        assert getattr(cv2, word) == mode
    if word in ("reflect", "replicate", "circular", "constant"):  # PyTorch's words mean what PyTorch does
        import torch

        padded = torch.nn.functional.pad(torch.arange(5.0)[None, None], (2, 2), mode=word)[0, 0]
        assert cv2.copyMakeBorder(line, 0, 0, 2, 2, mode, value=0)[0].tolist() == padded.tolist()
    if word in ("edge", "symmetric", "reflect", "wrap"):  # NumPy's words mean what NumPy does
        padded = np.pad(line[0], 2, mode=word)
        assert cv2.copyMakeBorder(line, 0, 0, 2, 2, mode)[0].tolist() == padded.tolist()
    assert spec.arguments["border_mode"] == word


@pytest.mark.parametrize("mode", range(5))
def test_positions_beyond_the_edge(mode: int) -> None:
    import torch

    for size in (1, 2, 5):
        line = np.arange(1, size + 1, dtype=np.uint8)[None]
        expected = cv2.copyMakeBorder(line, 0, 0, 7, 7, mode, value=0)[0]
        positions = inside(torch.arange(-7, size + 7), size, mode)
        found = np.concatenate([[0], line[0]])[positions.numpy() + 1]
        assert found.tolist() == expected.tolist()


def test_interpolation_words() -> None:
    assert INTERPOLATIONS == {
        "nearest": cv2.INTER_NEAREST,
        "linear": cv2.INTER_LINEAR,
        "bilinear": cv2.INTER_LINEAR,
        "cubic": cv2.INTER_CUBIC,
        "bicubic": cv2.INTER_CUBIC,
        "area": cv2.INTER_AREA,
        "lanczos": cv2.INTER_LANCZOS4,
        "INTER_NEAREST": cv2.INTER_NEAREST,
        "INTER_LINEAR": cv2.INTER_LINEAR,
        "INTER_CUBIC": cv2.INTER_CUBIC,
        "INTER_AREA": cv2.INTER_AREA,
        "INTER_LANCZOS4": cv2.INTER_LANCZOS4,
    }


def test_the_same_arguments_by_word_and_by_number() -> None:
    data = array_dataset(np.random.default_rng(0).integers(0, 256, (4, 9, 9, 3), dtype=np.uint8))
    pipelines = [specs(f"[{{Rotate: {{limit: [30, 30], border_mode: {mode}, p: 1.0}}}}]") for mode in ("reflect", 4, 2)]
    word, number, other = (
        make_batches(data.train, pipeline, batch_size=4, shuffle=False, dataset=data).batch(1, range(4)).images
        for pipeline in pipelines
    )
    assert (word == number).all()
    assert (word != other).any()


ODD_VALUES = ("a", "", [], [1], [2, 1], [0.5, 0.1], [-1, -2], {}, {"x": 1}, -1, 0, 1e9, None, True, [None],
              [[1, 2], [3, 4]], float("inf"), float("nan"), "reflect", 10**6)  # fmt: skip


@pytest.mark.slow
def test_no_value_of_any_argument_ends_in_a_traceback() -> None:
    span = Span(Source("recipe.yaml"), 1, 1, 1, 2)
    said = 0
    for name in transforms:
        for argument in transforms[name].arguments.model_fields:
            for value in ODD_VALUES:
                diagnostics = Diagnostics()
                parse_transforms(from_data([{name: {argument: value}}], span), diagnostics, where="train")
                said += bool(diagnostics.errors)
    assert said > 5000


def buildable() -> list[str]:
    """Transforms that work on an image with no more arguments than p."""
    found = []
    for name in transforms:
        diagnostics = Diagnostics()
        node = section(f"list: [{{{name}: {{p: 1.0}}}}]").get("list")
        if node is not None and transforms[name].own is None:
            parsed = parse_transforms(node, diagnostics, where="train")
            if parsed and not diagnostics.errors:
                found.append(name)
    return found


@pytest.mark.slow
def test_every_transform_draws_from_seed_epoch_and_index_alone() -> None:
    """All of albumentations: the same sample twice, in another batch, after other samples; another epoch differs."""
    data = array_dataset(np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8))
    names, changing = buildable(), 0
    assert len(names) > 80
    for name in names:
        pipeline = specs(f"[HorizontalFlip, {{{name}: {{p: 1.0}}}}]")
        made = [
            make_batches(data.train, pipeline, batch_size=6, shuffle=False, dataset=data, backend="albumentations")
            for _ in range(2)
        ]
        try:
            first = made[0].batch(1, [4]).images
        except DataError:
            continue  # wants larger images
        for before in (0, 2):
            made[1].batch(1, [before])
        assert (made[1].batch(1, [4]).images == first).all(), name
        other = made[0].batch(2, [4]).images
        changing += other.shape != first.shape or bool((other != first).any())
    assert changing > 50
