"""`zoo bench`: a recipe's transforms or its engine, built and handed to the measuring tools. Floor 7."""

from __future__ import annotations

import hashlib
import sys
from functools import partial
from types import ModuleType

from torch import nn

from zoo.assemble.activation_checkpointing import checkpointed
from zoo.assemble.build import build, open_data
from zoo.assemble.dry_run import with_some_lr
from zoo.assemble.networks import Network
from zoo.assemble.norm_statistics import freeze_as_said
from zoo.assemble.options import RunOptions, Settle
from zoo.assemble.run import prepare
from zoo.bench.engine import EngineBench, bench_engine
from zoo.bench.transforms import TransformsBench, bench_transforms
from zoo.data import make_batches
from zoo.data.progressive import Size
from zoo.data.transforms.batched.forms import NotBatchedError
from zoo.errors import UsageError
from zoo.exchange.eject import eject
from zoo.models.recomputing import recompute
from zoo.summary import summarize


def bench_recipe_engine(recipe: str, options: RunOptions, settle: Settle) -> EngineBench:
    """The engine with a recipe's network and data against a bare loop; nothing is written."""
    checked = prepare(recipe, options, settle)
    dataset = open_data(checked.resolved, data_dir=options.data_dir, quiet=options.quiet)
    checked = with_some_lr(checked)
    built = build(checked, dataset, options.device)
    bare = _bare(built.base.network)
    freeze_as_said(checked.resolved, bare)
    recompute(bare, checkpointed(checked.resolved, built.base.module))
    teacher = built.base.teacher
    return bench_engine(
        built.training,
        bare,
        flops_per_image=_flops(built.base.network, built.training.size_of(1)),
        teacher_flops_per_image=_flops(teacher.network) if teacher is not None else 0,
    )


def bench_recipe_transforms(recipe: str, options: RunOptions, settle: Settle) -> TransformsBench:
    """A recipe's training transforms: the batched form against albumentations per sample.

    Raises UsageError where there is no batched form to compare.
    """
    checked = prepare(recipe, options, settle)
    dataset = open_data(checked.resolved, data_dir=options.data_dir, quiet=options.quiet)
    batches = partial(
        make_batches,
        dataset.train,
        checked.train_transforms,
        batch_size=checked.data.batch_size,
        shuffle=True,
        sampling=checked.data.sampling,
        repeats=checked.data.repeats,
        seed=checked.recipe.seed,
        dataset=dataset,
    )
    try:
        batched = batches(backend="batched")  # whatever auto would take for images of this size
    except UsageError as error:
        if not isinstance(error.__cause__, NotBatchedError):
            raise
        message = f"transforms.train: there is nothing to compare: {error.__cause__}"
        raise UsageError(message, code=error.code) from None
    return bench_transforms(batched, batches(backend="albumentations"))


def _flops(network: Network, size: Size | None = None) -> int:
    """Of a forward pass for an image, of another size than the network was planned for where one is given."""
    inputs = network.inputs if size is None else {"input": (network.input_shape[0], *size)}
    return summarize(network.build("meta"), inputs, name=network.name).flops


def _bare(network: Network) -> nn.Module:
    """The network as ordinary PyTorch code: ejected, or as its own library has it."""
    if network.plan is None:
        return network.build()
    text = eject(network.plan)  # our own, made from a checked plan
    ejected = ModuleType(f"zoo_bench_{hashlib.sha256(text.encode()).hexdigest()[:12]}")
    sys.modules[ejected.__name__] = ejected  # where torch.compile looks for the names that its code uses
    exec(text, vars(ejected))
    classes = [thing for thing in vars(ejected).values() if isinstance(thing, type) and issubclass(thing, nn.Module)]
    module: nn.Module = [cls for cls in classes if cls.__module__ == ejected.__name__][-1]()
    if network.heads is not None:
        network.heads.attach(module)
    return module
