"""LR range tests that were run before, kept in the user's cache under everything they depend on. Floor 7.

The sweep is a function of the network's first weights and its code, the training data and their transforms, loss,
optimizers, the test's own settings, device and arithmetic, and the versions of what computes it. All of that is
written down, and its SHA-256 names the file, so a test is found again exactly where it would come out the same. The
rule is not part of it: every rule reads the same curve.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.assemble.architecture_copy import plain_arguments
from zoo.assemble.build import Foundation
from zoo.assemble.check import Checked
from zoo.assemble.complete import resolved_document
from zoo.assemble.environment import device_name, versions
from zoo.assemble.networks import Network
from zoo.data import Dataset
from zoo.data.places import user_cache
from zoo.diagnostics import Say
from zoo.disk import make_folder, write_atomically
from zoo.document import plain
from zoo.errors import EnvironmentFault
from zoo.exchange.eject import eject
from zoo.optim import LRRangeTest, Optimization

FORMAT = 1
_OF_THE_DATA = ("workers", "worker_timeout")  # how batches are made, not what is in them


class KeptRangeTest:
    """The place in the user's cache of the test that depends on ``key``, whether or not it was run yet.

    ``note`` is told of what is broken or cannot be kept.
    """

    def __init__(self, key: dict[str, Any], note: Say) -> None:
        self._key, self._note = key, note
        self.path = user_cache() / "lr_range_tests" / f"{_digest(_canonical(key))[:32]}.json"

    def read(self) -> LRRangeTest | None:
        """The test, None where there is none yet. A broken file is told, and counts as none."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            seal = content.pop("sha256")
            if seal == _digest(_canonical(content)) and _canonical(content["depends_on"]) == _canonical(self._key):
                return range_test_of(content["range_test"])
            reason = "its SHA-256 does not fit"
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = f"{type(error).__name__}: {error}"
        self._note(f"the LR range test kept in {self.path} cannot be used ({reason}): testing again")
        return None

    def write(self, test: LRRangeTest) -> bool:
        """Keeps a test, whole or not at all; whether it could. Several processes may do so at once."""
        content = {"format": FORMAT, "depends_on": self._key, "range_test": asdict(test)}
        sealed = {**content, "sha256": _digest(_canonical(content))}
        try:
            make_folder(self.path.parent)
            write_atomically(self.path, json.dumps(sealed, indent=1) + "\n")
        except EnvironmentFault as error:
            self._note(f"the LR range test could not be kept: {error.message}")
            return False
        return True


def range_test_of(data: dict[str, Any]) -> LRRangeTest:
    """A range test from its figures as JSON has them. Raises TypeError and KeyError where they are none."""
    curves: Any = {name: tuple(data[name]) for name in ("lrs", "losses", "raw_losses")}
    return LRRangeTest(**{**data, **curves})


def dependencies(checked: Checked, dataset: Dataset, base: Foundation, optimization: Optimization) -> dict[str, Any]:
    """Everything a range test depends on, as plain data."""
    document = plain(resolved_document(checked))
    runtime = base.runtime
    return {
        "test": checked.optimization.find_settings.model_dump(exclude={"rule"}),
        "network": _network(base.network),
        "weights": _tensors_digest(base.module),
        "data": {name: value for name, value in document["data"].items() if name not in _OF_THE_DATA},
        "data_fingerprint": dataset.fingerprint,
        "transforms": {"train": document["transforms"]["train"], "backend": base.train.backend},
        "loss": document["loss"],
        "teacher": base.teacher.sha256 if base.teacher is not None else None,
        "steps": {name: document["train"][name] for name in ("accumulate", "grad_clip", "freeze_statistics")},
        "image_size": base.image_sizes[:1],
        # Compiled, other kernels compute what is computed twice; else the numbers are the same.
        "recomputed": document["train"]["activation_checkpointing"] if runtime.compiled else None,
        "optimizers": _optimizers(optimization),
        "groups": [[group.label, group.optimizer, list(group.names), group.scale] for group in optimization.groups],
        "frozen": [name for name, parameter in base.module.named_parameters() if not parameter.requires_grad],
        "seed": checked.recipe.seed,
        "device": [runtime.device.type, device_name(runtime.device)],
        "threads": torch.get_num_threads(),
        "arithmetic": [runtime.precision, runtime.channels_last, runtime.compile_mode, runtime.deterministic],
        "versions": versions(),
        "zoo_sources": _own_sources(),
    }


def _network(network: Network) -> str:
    """The network's code where it was planned; a foreign model's name and arguments, its code goes by version."""
    if network.plan is not None:
        return _digest(eject(network.plan))
    return f"{network.name} {_canonical(plain_arguments(network))}"


def _optimizers(optimization: Optimization) -> list[Any]:
    """Each optimizer's class, and its groups' arguments as built."""
    return [
        [
            f"{type(optimizer).__module__}.{type(optimizer).__qualname__}",
            [
                {name: repr(group[name]) for name in sorted(group) if name != "params"}
                for group in optimizer.param_groups
            ],
        ]
        for optimizer in optimization.optimizers
    ]


def _tensors_digest(module: nn.Module) -> str:
    """Of every parameter and buffer: name, type, shape and bytes."""
    return _digest(
        part
        for name, tensor in module.state_dict().items()
        for part in (
            f"{name} {tensor.dtype} {list(tensor.shape)}",
            tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(),
        )
    )


@cache
def _own_sources() -> str:
    """zoo's own code and architectures: between two releases the version says nothing."""
    root = Path(__file__).parents[1]
    files = sorted(path for path in root.rglob("*") if path.suffix in (".py", ".yaml"))
    return _digest(part for path in files for part in (os.fspath(path.relative_to(root)), path.read_bytes()))


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, default=repr)


def _digest(parts: str | Iterable[str | bytes]) -> str:
    sha = hashlib.sha256()
    for part in [parts] if isinstance(parts, str) else parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(len(data).to_bytes(8))
        sha.update(data)
    return sha.hexdigest()
