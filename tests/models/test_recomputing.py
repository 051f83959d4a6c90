"""Activations that are computed twice: the same numbers to the last bit, and less kept in between."""

from __future__ import annotations

import pickle
import weakref
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.ops import StochasticDepth

from tests.train.small_world import Small, in_ranks, small_training
from zoo.errors import UsageError
from zoo.models.recomputing import outermost_fitting, recompute
from zoo.optim.frozen_statistics import freeze_statistics, into_training
from zoo.train import fit, read_checkpoint

State = dict[str, Tensor]


class Residual(nn.Module):
    """A block with all that draws or remembers: batch norm, dropout, stochastic depth."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.dropout, self.depth = nn.Dropout(0.3), StochasticDepth(0.3, "row")

    def forward(self, x: Tensor) -> Tensor:
        out = self.dropout(self.norm1(self.conv1(x)).relu())
        return (x + self.depth(self.norm2(self.conv2(out)))).relu()


class Net(nn.Module):
    """A stem, blocks, one of which runs twice, and a head."""

    def __init__(self, block: Callable[[], nn.Module] = Residual, *, shared: bool = False) -> None:
        super().__init__()
        self.stem, self.shared = nn.Conv2d(3, 6, 3, padding=1), shared
        self.blocks = nn.ModuleList(block() for _ in range(3))
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in [*self.blocks, *self.blocks[:1]] if self.shared else self.blocks:
            x = block(x)
        return self.fc(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]


def torchs_own(model: nn.Module, names: Sequence[str]) -> None:
    """What torch's documentation has, and no more: a control."""
    for name in names:
        module = model.get_submodule(name)
        forward = module.forward
        object.__setattr__(
            module,
            "forward",
            lambda *args, forward=forward, **kw: checkpoint(forward, *args, use_reentrant=False, **kw),
        )


def trained(
    net: Callable[[], nn.Module] = Net,
    apply: Callable[[nn.Module, Sequence[str]], None] | None = None,
    *,
    prepare: Callable[[nn.Module], Any] = lambda model: None,
    autocast: bool = False,
    names: Sequence[str] = ("blocks.0", "blocks.1", "blocks.2"),
) -> tuple[list[float], State, State]:
    """Losses, gradients of the last step, and the state after three steps."""
    torch.manual_seed(1)
    model = net()
    prepare(model)
    if apply is not None:
        apply(model, names)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    into_training(model)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        images, labels = torch.randn(8, 3, 8, 8), torch.arange(8) % 4
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logits = model(images)
        loss = nn.functional.cross_entropy(logits.float(), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    grads = {name: tensor.grad.clone() for name, tensor in model.named_parameters() if tensor.grad is not None}
    return losses, grads, model.state_dict()


def assert_same(one: tuple[list[float], State, State], other: tuple[list[float], State, State]) -> None:
    assert one[0] == other[0]
    for mine, others in zip(one[1:], other[1:], strict=True):
        assert list(mine) == list(others)
        assert all(torch.equal(mine[name], others[name]) for name in mine)


def freeze(model: nn.Module) -> None:
    for name in ("stem", "blocks.0", "blocks.1.norm1"):
        model.get_submodule(name).requires_grad_(False)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(
    "prepare",
    [
        pytest.param(lambda model: None, id="plain"),
        pytest.param(lambda model: model.to(memory_format=torch.channels_last), id="channels_last"),
        pytest.param(freeze, id="frozen"),
        pytest.param(lambda model: freeze_statistics(model, ["blocks.1"]), id="frozen_statistics"),
        pytest.param(lambda model: setattr(model, "shared", True), id="shared"),
    ],
)
def test_the_numbers_are_the_same(prepare: Callable[[nn.Module], Any], autocast: bool) -> None:
    plain = trained(prepare=prepare, autocast=autocast)
    assert_same(trained(apply=recompute, prepare=prepare, autocast=autocast), plain)


def test_control_without_the_copies_statistics_move_twice() -> None:
    (losses, _, state), (others, _, other) = trained(), trained(apply=torchs_own)
    assert losses == others
    differing = {name for name in state if not torch.equal(state[name], other[name])}
    assert {name.rpartition(".")[2] for name in differing} == {"running_mean", "running_var", "num_batches_tracked"}
    assert other["blocks.0.norm1.num_batches_tracked"] == 2 * state["blocks.0.norm1.num_batches_tracked"]


def instance_norms() -> nn.Module:
    norm = nn.InstanceNorm2d(6, affine=True, track_running_stats=True)
    return nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), norm, nn.Conv2d(6, 6, 1))  # torch stops before what is last


def spectral_norms() -> nn.Module:
    """Each pass turns a vector further, and the weights follow it: the second pass has to begin where the first did."""
    return nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Conv2d(6, 6, 3, padding=1)), nn.Tanh())


@pytest.mark.parametrize("block", [instance_norms, spectral_norms])
def test_whatever_a_module_remembers_it_remembers_once(block: Callable[[], nn.Module]) -> None:
    plain = trained(lambda: Net(block))
    assert_same(trained(lambda: Net(block), recompute), plain)
    control = trained(lambda: Net(block), torchs_own)
    assert not all(torch.equal(plain[2][name], control[2][name]) for name in plain[2])


class Dense(nn.Module):
    """Reads a list that grows behind it, a keyword, and gives several values."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(6 * (number + 1), 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)

    def forward(self, features: list[Tensor], *, scale: dict[str, Tensor]) -> dict[str, Any]:
        new = self.norm(self.conv(torch.cat(features, 1))).relu() * scale["by"]
        return {"new": new, "pair": (new.mean(), None)}


class DenseNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(3, 6, 1), nn.ModuleList(map(Dense, range(3)))
        self.scale, self.fc = nn.Parameter(torch.tensor(1.5)), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        features, extra = [self.stem(x)], torch.zeros(())
        for block in self.blocks:
            output = block(features, scale={"by": self.scale})
            features.append(output["new"])
            extra = extra + output["pair"][0]
        return self.fc(features[-1].mean(dim=(2, 3))) + extra  # type: ignore[no-any-return]


def test_lists_dicts_and_keywords_go_in_and_out() -> None:
    assert_same(trained(DenseNet, recompute), trained(DenseNet))
    with pytest.raises(RuntimeError):  # a control: the list is longer by the time of the second pass
        trained(DenseNet, torchs_own)


def test_what_is_computed_in_between_is_not_kept() -> None:
    alive = []
    for apply in (None, recompute):
        model = Net()
        if apply is not None:
            apply(model, outermost_fitting(model, ["blocks"]))
        inside: list[weakref.ref[Tensor]] = []
        for block in model.blocks:
            block.conv2.register_forward_pre_hook(lambda _, args, inside=inside: inside.append(weakref.ref(args[0])))
        loss = model.train()(torch.randn(2, 3, 8, 8)).sum()
        alive.append(sum(ref() is not None for ref in inside))
        loss.backward()
    assert alive == [3, 0]


def test_without_gradients_and_in_evaluation_nothing_is_computed_twice() -> None:
    model, images, calls = Net(), torch.randn(2, 3, 8, 8), []
    recompute(model, outermost_fitting(model, ["blocks"]))
    for block in model.blocks:
        block.conv1.register_forward_hook(lambda *_: calls.append(1))
    model.eval()(images).sum().backward()
    with torch.no_grad():
        model.train()(images)
    assert len(calls) == 6
    model(images).sum().backward()
    assert len(calls) == 12


def test_hooks_see_what_they_would_see() -> None:
    """As class activation maps have them: the values of a layer inside, and the gradient that comes back to it."""
    seen: list[Tensor] = []
    for apply in (False, True):
        torch.manual_seed(1)
        model = Net().eval()
        if apply:
            recompute(model, ["blocks.0", "blocks.1", "blocks.2"])
        handles = [
            model.blocks[2].conv2.register_forward_hook(lambda module, args, output: seen.append(output.detach())),
            model.blocks[2].register_full_backward_hook(lambda module, grads, output: seen.append(grads[0])),
        ]
        torch.manual_seed(2)
        model(torch.randn(2, 3, 8, 8)).sum().backward()
        for handle in handles:
            handle.remove()
    assert len(seen) == 4
    assert torch.equal(seen[0], seen[2])
    assert torch.equal(seen[1], seen[3])


@pytest.mark.parametrize("copied", [deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_stands_on_its_own(copied: Callable[[nn.Module], nn.Module]) -> None:
    torch.manual_seed(1)
    model = Net()
    recompute(model, ["blocks.0", "blocks.1"])
    names, copy = list(model.state_dict()), copied(model)
    assert list(copy.state_dict()) == names == list(Net().state_dict())
    assert [name for name, _ in copy.named_modules()] == [name for name, _ in Net().named_modules()]
    before = deepcopy(model.state_dict())
    copy.train()(torch.randn(4, 3, 8, 8)).sum().backward()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert copy.get_buffer("blocks.0.norm1.num_batches_tracked") == 1


def test_what_writes_over_its_input_is_refused() -> None:
    model = Net(lambda: nn.Sequential(nn.SiLU(inplace=True), nn.Conv2d(6, 6, 1)))
    recompute(model, ["blocks.0"])
    with pytest.raises(UsageError, match=r"blocks\.0 writes over its input"):
        model.train()(torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["blocks"], ["blocks.0", "blocks.1", "blocks.2"]),
        (["blocks.1", "blocks.1.conv1", "*.norm?"], ["blocks.0.norm1", "blocks.0.norm2", "blocks.1"]),
        (["*"], ["stem", "blocks.0", "blocks.1", "blocks.2", "fc"]),
        (["block"], []),
    ],
)
def test_the_outermost_modules_are_taken(patterns: list[str], names: list[str]) -> None:
    found = outermost_fitting(Net(), patterns)
    assert list(found)[: len(names)] == names
    assert len(found) == len(names) or patterns[-1] == "*.norm?"


SMALLS = {
    "plain": Small(),
    "clipped": Small(train={"epochs": 2, "grad_clip": 0.5, "accumulate": 3}),
    "averaged": Small(ema=True, precision="bf16"),
}


@pytest.mark.parametrize("name", list(SMALLS))
def test_a_training_is_bit_for_bit_the_one_without(name: str) -> None:
    states = []
    for on in (False, True):
        small = Small(**{**vars(SMALLS[name]), "recomputed": on})
        training = small_training(small, None)
        events = [str(getattr(event, "train", None)) for event in fit(training)]
        averages = [average.state_dict() for average in training.averaging]
        states.append((events, {**training.model.state_dict(), **(averages[0]["average"] if averages else {})}))
    assert states[0][0] == states[1][0]
    assert all(torch.equal(tensor, states[1][1][name]) for name, tensor in states[0][1].items())


def test_several_devices_learn_the_same(tmp_path: Path) -> None:
    models = []
    for name, on in (("without", False), ("with", True)):
        assert [code for code, _ in in_ranks(tmp_path / name, Small(train={"epochs": 1}, recomputed=on))] == [0, 0]
        models.append(read_checkpoint(tmp_path / name / "checkpoints" / "last").model)
    assert all(torch.equal(tensor, models[1][name]) for name, tensor in models[0].items())


@pytest.mark.slow
def test_compiled_it_learns_the_same() -> None:
    """Of kernels that were fused otherwise the last bits may differ; statistics still move once."""
    results = []
    for on in (False, True):
        torch.manual_seed(1)
        model = Net().train()
        for block in model.blocks:
            block.dropout.p = block.depth.p = 0.0
        if on:
            recompute(model, ["blocks.0", "blocks.1", "blocks.2"])
        torch.compile(model, dynamic=False)(torch.randn(8, 3, 8, 8)).square().sum().backward()
        grads = {name: tensor.grad for name, tensor in model.named_parameters()}
        results.append({**grads, **dict(model.named_buffers())})
    for name, tensor in results[0].items():
        assert torch.allclose(tensor.float(), results[1][name].float(), rtol=1e-4, atol=1e-5), name
    assert results[1]["blocks.0.norm1.num_batches_tracked"] == 1
