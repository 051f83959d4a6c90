"""Where and in which arithmetic a network runs: device, precision, memory layout, compilation. Floor 5.

Every automatic choice carries its reason; the run shows it when it starts and keeps it in ``env.json``.

lightning-fabric gives the device, the strategy and autocast. On one device the *bare* module runs inside
``fabric.autocast()``: Fabric's module wrapper was measured at 100 microseconds a step (two CPU cores,
2026-11-20: 299 against 199), its autocast and its ``backward`` at 10 or less.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.plugins import Precision as FabricPrecision
from torch import Tensor, nn

from zoo.diagnostics import counted
from zoo.errors import EnvironmentFault, UsageError, first_line, is_out_of_memory
from zoo.launch import Place
from zoo.schema.recipe import Compile, TrainSection
from zoo.train.allocator import give_free_memory_back, kept_memory, spared_memory
from zoo.train.ranks import ALONE, Ranks

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # cuBLAS repeats itself only where its work space is fixed


class Choice(NamedTuple):
    """What was chosen, and why."""

    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.value} ({self.reason})"


def choose_device(requested: str = "auto", place: Place = ALONE) -> Choice:
    """The device to run on: ``auto`` takes a GPU where there is one. Raises UsageError for one that is not there.

    Each of several ranks takes a GPU of its own, or, where ``cpu`` is asked for, shares the CPU with the others.
    """
    if not place.is_alone:
        return _one_of_several(requested, place)
    if requested == "auto":
        if torch.cuda.is_available():
            return Choice("cuda:0", f"a GPU is there: {torch.cuda.get_device_name(0)}")
        return Choice("cpu", "no GPU is there")
    try:
        device = torch.device(requested)
    except RuntimeError:
        raise UsageError(f"no such device: {requested}", help="cpu, cuda, cuda:1 or auto") from None
    if device.type == "cuda":
        count, index = torch.cuda.device_count(), device.index or 0
        if index >= count:
            raise UsageError(f"no such device: {requested}: PyTorch sees {counted(count, 'GPU')}", help="cpu, or auto")
        return Choice(f"cuda:{index}", "asked for")
    if device.type != "cpu":
        raise UsageError(f"device {requested} is not supported", help="cpu, cuda, cuda:1 or auto")
    return Choice("cpu", "asked for")


def _one_of_several(requested: str, place: Place) -> Choice:
    if requested == "cpu":
        return Choice("cpu", f"asked for; {place.count} processes")
    if requested not in ("auto", "cuda"):
        raise UsageError(
            f"several devices are auto, cuda or cpu, not {requested}", help="CUDA_VISIBLE_DEVICES=1,3 says which GPUs"
        )
    found = torch.cuda.device_count()
    if place.local_rank >= found:
        raise UsageError(
            f"{place.count} devices are asked for, PyTorch sees {counted(found, 'GPU')}",
            help=f"--devices {found}" if found > 1 else "leave --devices out; --device cpu trains in several processes",
        )
    return Choice(f"cuda:{place.local_rank}", f"{place.count} GPUs: {torch.cuda.get_device_name(place.local_rank)}")


def cpu_bf16_unit() -> str | None:
    """The unit of this CPU that multiplies bfloat16, ``AMX`` or ``AVX512-BF16``; None where there is none."""
    if not hasattr(torch.cpu, "get_capabilities"):  # torch 2.10: two questions of its own instead
        has_amx, has_avx512_bf16 = torch.cpu._is_amx_tile_supported(), torch.cpu._is_avx512_bf16_supported()
    else:
        capabilities = torch.cpu.get_capabilities()
        has_amx, has_avx512_bf16 = bool(capabilities.get("amx_bf16")), bool(capabilities.get("avx512_bf16"))
    if has_amx:
        return "AMX"
    return "AVX512-BF16" if has_avx512_bf16 else None


def choose_precision(requested: str, device: torch.device) -> Choice:
    """The precision of forward and backward passes; ``auto`` takes the fastest that the hardware multiplies itself."""
    if requested != "auto":
        tf32 = requested == "fp32" and device.type == "cuda" and _convolves_in_tf32(device)
        return Choice(requested, "asked for; TF32 convolutions" if tf32 else "asked for")
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        if major >= 8:
            return Choice("bf16", f"the GPU multiplies bfloat16 (compute capability {major}.{minor})")
        if major >= 7:
            return Choice("fp16", f"the GPU multiplies half, not bfloat16 (compute capability {major}.{minor})")
        return Choice("fp32", f"the GPU has no tensor cores (compute capability {major}.{minor})")
    unit = cpu_bf16_unit()
    if unit:
        return Choice("bf16", f"the CPU has {unit}")
    return Choice("fp32", "the CPU has neither AMX nor AVX512-BF16: it would only emulate bfloat16")


def _convolves_in_tf32(device: torch.device) -> bool:
    """Whether cuDNN rounds what float32 convolutions multiply to ten bits, torch's default."""
    conv: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]  # what torch's docs name, its stubs do not
    return torch.cuda.get_device_capability(device) >= (8, 0) and conv.fp32_precision == "tf32"


def choose_layout(requested: bool | Literal["auto"]) -> Choice:
    """Whether images and filters lie channels_last in memory."""
    if requested != "auto":
        return Choice("channels_last" if requested else "contiguous", "asked for")
    return Choice("channels_last", "faster than contiguous in every precision measured")


def choose_compile(requested: bool | Compile, device: torch.device) -> Choice:
    """Whether ``torch.compile`` is used, and in which mode; ``auto``: nowhere so far."""
    if requested != "auto":
        mode = requested if isinstance(requested, str) else "compiled" if requested else "eager"
        return Choice(mode, "asked for")
    if device.type == "cpu":
        return Choice("eager", "on a CPU torch.compile was measured equal at best")
    return Choice(
        "eager", "compiling takes half a minute, for steps that are up to 1.3 times as fast: true where it pays"
    )


def choose_algorithms(deterministic: bool) -> Choice:
    """Whether cuDNN, cuBLAS and torch's own kernels have to give the same bits every time."""
    if deterministic:
        return Choice("deterministic", "asked for")
    return Choice("fastest", "as cuDNN timed them; train.deterministic: true takes those that repeat bit for bit")


def _precision_plugin(precision: str, device_type: str) -> FabricPrecision:
    """Made here, not by Fabric, which takes bf16 where fp16 is asked for on a CPU, and prints what it takes."""
    if precision == "fp32":
        return FabricPrecision()
    return MixedPrecision("bf16-mixed" if precision == "bf16" else "16-mixed", device=device_type)


def _fabric(precision: str, device: torch.device) -> Fabric:
    return Fabric(
        accelerator=device.type,
        devices=[device.index] if device.type == "cuda" else 1,
        plugins=[_precision_plugin(precision, device.type)],
    )


@dataclass(eq=False)
class Runtime:
    """A device, a precision (``fp32``, ``bf16``, ``fp16``), a layout and algorithms, and the forward pass in them.

    ``ranks`` are the processes that train together, each with a device of its own.
    """

    fabric: Fabric
    device: torch.device
    precision: str
    channels_last: bool
    compile_mode: str | None  # torch.compile's; None: eager
    deterministic: bool = False
    choices: dict[str, str] = field(default_factory=dict)
    ranks: Ranks = ALONE

    @classmethod
    def choose(
        cls,
        device: str = "auto",
        precision: str = "auto",
        channels_last: bool | Literal["auto"] = "auto",
        compile: bool | Compile = "auto",
        deterministic: bool = False,
        ranks: Ranks = ALONE,
    ) -> Runtime:
        """Settles every ``auto``. Raises UsageError for a device that is not there."""
        where = choose_device(device, ranks)
        on = torch.device(where.value)
        arithmetic, layout = choose_precision(precision, on), choose_layout(channels_last)
        eager = choose_compile(compile, on)
        choices = {"device": where, "precision": arithmetic, "layout": layout, "compile": eager}
        if deterministic or on.type == "cuda":  # a CPU has but one algorithm for each operation
            choices["algorithms"] = choose_algorithms(deterministic)
        return cls(
            _fabric(arithmetic.value, on),
            on,
            arithmetic.value,
            layout.value == "channels_last",
            {"eager": None, "compiled": "default"}.get(eager.value, eager.value),
            deterministic,
            {name: str(choice) for name, choice in choices.items()},
            ranks,
        )

    def change_precision(self, choice: Choice) -> None:
        """Settles the precision anew, for a reason that only the network shows; before anything is trained."""
        self.fabric, self.precision = _fabric(choice.value, self.device), choice.value
        self.choices["precision"] = str(choice)

    @contextmanager
    def tuned(self, train: TrainSection) -> Iterator[None]:
        """Readies the process for training, for the length of a ``with`` block; enter it once all is built.

        cuDNN tries its convolutions once for each shape and keeps the fastest, or where ``deterministic`` is asked for,
        keeps to those that repeat themselves; so does torch then, and warns of operations that it cannot repeat.
        What reading the data left free goes back to the machine; a CPU's memory is kept from step to step, which saves
        time and takes some more of it, or spared where it is short, as ``activation_checkpointing`` says.
        """
        give_free_memory_back()
        algorithms = _deterministic_algorithms() if self.deterministic else _fastest_convolutions()
        memory = spared_memory if train.activation_checkpointing else kept_memory
        with memory(self.device), algorithms:
            yield

    def place(self, module: nn.Module) -> nn.Module:
        """Brings a module to the device and layout, in place: optimizers made before or after hold its parameters."""
        module.to(self.device)
        if self.channels_last:
            module.to(memory_format=torch.channels_last)
        return module

    def images(self, images_BCHW: Tensor) -> Tensor:
        """A batch on the device, in the network's layout; no copy where it is so already."""
        images_BCHW = images_BCHW.to(self.device, non_blocking=True)
        if images_BCHW.dim() != 4:
            return images_BCHW
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return images_BCHW.contiguous(memory_format=layout)

    def forward(self, model: nn.Module) -> Callable[[Tensor], Tensor]:
        """The forward pass: images BCHW to float32 logits BK; in training to those of all heads, if there are several.

        Autocast stands *inside* what is compiled: outside it, the compiled network was measured 40 % slower.
        """

        def forward(images_BCHW: Tensor) -> Tensor:
            with self.fabric.autocast():
                logits: Tensor = model(images_BCHW)
            return logits.float()

        if not self.compiled:
            return forward
        # Each size of batch and of images is compiled for itself, where kernels for any size would be used for all once
        # there is a second one. Sizes, what is frozen, training and testing add up: torch gives up at 8 in silence.
        config: Any = torch._dynamo.config
        config.recompile_limit = max(256, config.recompile_limit)
        # Left to itself torch 2.11 does not look whether a parameter is frozen by now: one thawed later never trained.
        config.skip_tensor_guards_with_matching_dict_tags = False
        if self.deterministic:  # else it takes the kernels that were faster this time
            inductor: Any = torch._inductor.config
            if hasattr(inductor, "deterministic"):
                inductor.deterministic = True
        return torch.compile(forward, dynamic=False, mode=self.compile_mode)

    @property
    def compiled(self) -> bool:
        """Whether the forward pass is compiled."""
        return self.compile_mode is not None

    @property
    def warms_up(self) -> bool:
        """Whether the first pass costs what no other does: kernels are compiled, loaded, or tried and chosen."""
        return self.compiled or self.device.type == "cuda"

    @property
    def scaler(self) -> Any:
        """The loss scaler of fp16 (``torch.amp.GradScaler``), None in the other precisions."""
        return getattr(self.fabric.strategy.precision, "scaler", None)

    def synchronize(self) -> None:
        """Waits for the device, so that a clock read next is true."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@contextmanager
def _fastest_convolutions() -> Iterator[None]:
    cudnn = torch.backends.cudnn
    before, cudnn.benchmark = cudnn.benchmark, True
    try:
        yield
    finally:
        cudnn.benchmark = before


@contextmanager
def _deterministic_algorithms() -> Iterator[None]:
    """Sets all that torch's notes on reproducibility name, and puts it back."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic, os.environ.get(_WORKSPACE)
    strict, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        cudnn.benchmark, cudnn.deterministic = False, True
        os.environ.setdefault(_WORKSPACE, ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        with warnings.catch_warnings():  # the command line is silent about libraries' warnings; not about this one
            warnings.filterwarnings("default", message=".*does not have a deterministic implementation")
            yield
    finally:
        cudnn.benchmark, cudnn.deterministic, workspace = before
        torch.use_deterministic_algorithms(strict, warn_only=warns)
        if workspace is None:
            os.environ.pop(_WORKSPACE, None)


@contextmanager
def machine_faults(batch_size: int, accumulate: int) -> Iterator[None]:
    """Turns running out of memory, an accelerator and a compiler that fail into EnvironmentFault with advice.

    The batch is never changed in silence; ``accumulate`` is how many of them make a step.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise _out_of_memory(str(error), batch_size, accumulate) from error
        if isinstance(error, torch.AcceleratorError):
            raise accelerator_fault(error) from error
        # By its module: to import torch._dynamo for its exceptions takes seconds.
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise EnvironmentFault(
                f"torch.compile failed here: {first_line(error)}", code="compile", help="train.compile: false"
            ) from error
        raise


def accelerator_fault(error: BaseException) -> EnvironmentFault:
    """What is told of ``torch.AcceleratorError``: a kernel that cannot run here, or one that failed."""
    return EnvironmentFault(
        f"the GPU failed: {first_line(error, 'it does not say why')}",
        code="accelerator",
        notes=("kernels run behind the program: what it was doing just now need not be what failed",),
        help="CUDA_LAUNCH_BLOCKING=1 in the environment shows where; --device cpu tells whether it is the GPU",
    )


def _out_of_memory(text: str, batch_size: int, accumulate: int) -> EnvironmentFault:
    half = f"--set data.batch_size={batch_size // 2} with --set train.accumulate={2 * accumulate}, "
    return EnvironmentFault(
        f"out of memory at batch size {batch_size}: {first_line(text, 'the allocation failed')}",
        code="out-of-memory",
        notes=(
            f"{os.cpu_count()} CPUs, {torch.cuda.device_count()} GPUs; the batch size was left as the recipe has it",
        ),
        help=f"try {half if batch_size > 1 else ''}--set train.precision=bf16, "
        "--set train.activation_checkpointing=true, or a smaller eval.batch_size",
    )
