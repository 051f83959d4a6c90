"""What is chosen and why; running out of memory (row 38)."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.train.small_world import Small, small_net, small_training
from zoo.cli.failures import as_zoo_error
from zoo.errors import EnvironmentFault, UsageError
from zoo.events import TrainingStarted
from zoo.schema.recipe import TrainSection
from zoo.train import Runtime, fit
from zoo.train.runtime import choose_precision, cpu_bf16_unit, machine_faults

UNITS = [(True, True, "AMX"), (False, True, "AVX512-BF16"), (False, False, None)]
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("capabilities", "precision", "reason"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, "bf16", "AMX"),
        ({"amx_bf16": False, "avx512_bf16": True}, "bf16", "AVX512-BF16"),
        ({"amx_bf16": False, "avx512_bf16": False}, "fp32", "neither"),
        ({}, "fp32", "neither"),
    ],
)
def test_auto_takes_what_the_cpu_multiplies(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], precision: str, reason: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    choice = choose_precision("auto", CPU)
    assert choice.value == precision
    assert reason in choice.reason


@pytest.mark.parametrize(("amx", "bf16", "unit"), UNITS)
def test_torch_2_10_is_asked_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch, amx: bool, bf16: bool, unit: str | None
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    assert cpu_bf16_unit() == unit


@pytest.mark.parametrize(
    ("capability", "precision"), [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp16"), ((6, 1), "fp32")]
)
def test_auto_takes_what_the_gpu_multiplies(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", GPU).value == precision


def test_the_cpu_of_this_machine_is_asked() -> None:
    flags = Path("/proc/cpuinfo").read_text().split()
    expected = "AMX" if "amx_bf16" in flags else "AVX512-BF16" if "avx512_bf16" in flags else None
    assert cpu_bf16_unit() == expected


def test_every_choice_comes_with_its_reason() -> None:
    runtime = Runtime.choose("cpu")
    assert set(runtime.choices) == {"device", "precision", "layout", "compile"}
    assert all(" (" in choice for choice in runtime.choices.values())


@pytest.mark.parametrize("device", ["cuda:7", "tpu", "meta", "cuda"])
def test_a_device_that_is_not_there_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError, match=device):
        Runtime.choose(device)


@pytest.mark.parametrize(("capability", "told"), [((8, 0), "asked for; TF32 convolutions"), ((7, 5), "asked for")])
def test_fp32_tells_of_convolutions_that_are_not(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], told: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("fp32", GPU) == ("fp32", told)
    assert choose_precision("fp32", CPU) == ("fp32", "asked for")


def switches() -> tuple[object, ...]:
    cudnn = torch.backends.cudnn
    strict = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    return cudnn.benchmark, cudnn.deterministic, *strict, os.environ.get("CUBLAS_WORKSPACE_CONFIG")


@pytest.mark.parametrize(
    ("deterministic", "during"),
    [(True, (False, True, True, True, ":4096:8")), (False, (True, False, False, False, None))],
)
@pytest.mark.parametrize("ends_early", [True, False])
def test_the_switches_for_algorithms_are_set_for_the_fit_alone(
    deterministic: bool, during: tuple[object, ...], ends_early: bool
) -> None:
    one, before = small_training(Small(train={"epochs": 1}), None), switches()
    one.runtime = Runtime.choose("cpu", deterministic=deterministic)
    events = fit(one)
    started = next(event for event in events if isinstance(event, TrainingStarted))
    assert started.choices.get("algorithms") == ("deterministic (asked for)" if deterministic else None)
    assert switches() == during != before
    if ends_early:
        events.close()
    else:
        list(events)
    assert switches() == before


def test_an_operation_that_cannot_repeat_itself_is_told_though_warnings_are_off() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("ignore")
        for deterministic in (False, True):
            with Runtime.choose("cpu", deterministic=deterministic).tuned(TrainSection(epochs=1)):
                torch.zeros(2).put_(torch.tensor([0]), torch.ones(1))
                assert len(told) == deterministic


def test_placing_keeps_the_parameters_that_optimizers_hold() -> None:
    model = small_net()
    parameters = list(model.parameters())
    Runtime.choose("cpu").place(model)
    assert all(own is other for own, other in zip(model.parameters(), parameters, strict=True))
    assert model[4].weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[index]


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_network_computes_in_the_layout_that_was_chosen(channels_last: bool) -> None:
    runtime = Runtime.choose("cpu", "fp32", channels_last)
    convolution, strides = nn.Conv2d(3, 8, 3, padding=1), []
    convolution.register_forward_hook(lambda module, inputs, output: strides.append(output.stride()))
    as_data_come = torch.randn(4, 8, 8, 3).permute(0, 3, 1, 2)  # NHWC in memory
    runtime.forward(runtime.place(convolution))(runtime.images(as_data_come))
    assert strides == [(512, 1, 64, 8) if channels_last else (512, 64, 8, 1)]


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_logits_come_out_in_fp32(precision: str) -> None:
    runtime = Runtime.choose("cpu", precision)
    logits = runtime.forward(runtime.place(small_net()))(torch.randn(4, 3, 8, 8))
    assert logits.dtype == torch.float32


class Greedy(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.empty(2**50) + images.sum()


def test_out_of_memory_is_exit_6_with_advice() -> None:
    one = small_training(Small(), None)
    one.model = Greedy()
    with pytest.raises(EnvironmentFault, match="out of memory at batch size 16") as caught:
        list(fit(one))
    assert caught.value.exit_code == 6
    assert "data.batch_size=8" in (caught.value.help or "")
    assert one.train.steps == 6  # the batch is as it was


REST = "--set train.precision=bf16, --set train.activation_checkpointing=true, or"


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "advice"),
    [
        (
            512,
            1,
            f"try --set data.batch_size=256 with --set train.accumulate=2, {REST}",
        ),
        (
            512,
            4,
            f"try --set data.batch_size=256 with --set train.accumulate=8, {REST}",
        ),
        (1, 4, f"try {REST}"),
    ],
)
def test_the_advice_keeps_the_images_of_a_step(batch_size: int, accumulate: int, advice: str) -> None:
    with pytest.raises(EnvironmentFault) as caught, machine_faults(batch_size, accumulate):
        raise MemoryError
    assert (caught.value.help or "").startswith(advice)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_other_ways_to_run_out_of_memory(error: BaseException) -> None:
    with pytest.raises(EnvironmentFault, match="out of memory"), machine_faults(512, 1):
        raise error


@pytest.mark.parametrize(
    "library", ["CUDNN_STATUS_ALLOC_FAILED", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"]
)
def test_libraries_that_find_no_memory(library: str) -> None:
    with pytest.raises(EnvironmentFault, match="out of memory") as caught, machine_faults(512, 1):
        raise RuntimeError(library)
    assert caught.value.exit_code == as_zoo_error(RuntimeError(library)).exit_code == 6


def test_a_gpu_that_fails_is_exit_6() -> None:
    error = torch.AcceleratorError("CUDA error: no kernel image is available\nlong story")
    with pytest.raises(EnvironmentFault, match="no kernel image") as caught, machine_faults(512, 1):
        raise error
    assert caught.value.message == "the GPU failed: CUDA error: no kernel image is available"
    told = as_zoo_error(error)  # outside a fit
    assert (caught.value.exit_code, caught.value.message) == (told.exit_code, told.message)
    assert told.exit_code == 6
    assert "CUDA_LAUNCH_BLOCKING=1" in (told.help or "")


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shapes"), machine_faults(512, 1):
        raise RuntimeError("shapes")


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_numbers_and_trains() -> None:
    runtime = Runtime.choose("cpu", "bf16", compile=True)
    model, images = runtime.place(nn.Sequential(nn.Flatten(), nn.Linear(12, 2))), torch.randn(2, 3, 2, 2)
    compiled = runtime.forward(model)(images)
    runtime.compile_mode = None
    torch.testing.assert_close(compiled, runtime.forward(model)(images), rtol=2e-2, atol=2e-2)
    compiled.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_compiler_that_fails_is_exit_6() -> None:
    failure = type("BackendCompilerFailed", (RuntimeError,), {"__module__": "torch._dynamo.exc"})
    with pytest.raises(EnvironmentFault, match=r"torch\.compile failed here: no g") as caught, machine_faults(512, 1):
        raise failure("no g++\nlong story")
    assert caught.value.exit_code == 6
