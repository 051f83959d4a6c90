"""EMA, Lookahead and SWA against the sums done by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.optim.conftest import backward, small_net
from zoo.optim import EMA, SWA, Lookahead
from zoo.optim.averaging import WeightAverage


class Scalar(nn.Module):
    """One weight and one counter, set from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def put(self, value: float) -> None:
        with torch.no_grad():
            self.weight.fill_(value)
        self.mean.fill_(10 * value)
        self.count += 1

    @property
    def now(self) -> tuple[float, float, int]:
        return round(self.weight.item(), 5), round(self.mean.item(), 4), int(self.count)


def averaged(model: Scalar, averaging: EMA | Lookahead | SWA) -> tuple[float, float, int]:
    with averaging.applied():
        return model.now


def test_ema_by_hand() -> None:
    model = Scalar()
    ema = EMA(model, decay=0.9, every=2)
    for step, value in enumerate([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], start=1):
        model.put(value)
        ema.after_step(step)
    # 2, then 0.9 x 2 + 0.1 x 4 = 2.2, then 0.9 x 2.2 + 0.1 x 6 = 2.58; counters are copied, not averaged
    assert averaged(model, ema) == (2.58, 25.8, 6)
    assert model.now == (6.0, 60.0, 6)


def test_ema_equals_torchs() -> None:
    model, other = small_net(), small_net()
    ema = EMA(model, decay=0.95)
    theirs = AveragedModel(other, multi_avg_fn=get_ema_multi_avg_fn(0.95), use_buffers=True)
    for net, follow in ((model, ema.after_step), (other, lambda _: theirs.update_parameters(other))):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for step in range(1, 8):
            optimizer.zero_grad()
            backward(net, step)
            optimizer.step()
            follow(step)
    with ema.applied():
        for (name, mine), reference in zip(
            model.state_dict().items(), theirs.module.state_dict().values(), strict=True
        ):
            if mine.is_floating_point():  # torch averages counters in whole numbers; here they are copied
                torch.testing.assert_close(mine, reference, msg=name)
    assert not torch.allclose(model[0].weight, theirs.module[0].weight)  # a control: they do differ from the net's


def test_lookahead_by_hand() -> None:
    model = Scalar()
    lookahead = Lookahead(model, total_steps=4, every=2, decay=0.8, power=1)
    seen = []
    for step in range(1, 5):
        model.put(model.weight.item() + 1)
        lookahead.after_step(step)
        seen.append(model.now[0])
    # After step 2 the slow weights keep 0.8 x 2/4 = 0.4 of 0 and take 0.6 of 2 = 1.2, and the net goes on from there.
    # After step 4 they keep 0.8 of 1.2 and take 0.2 of 3.2 = 1.6.
    assert seen == [1.0, 1.2, 2.2, 1.6]
    assert averaged(model, lookahead)[0] == 1.6


def test_lookaheads_result_are_the_slow_weights() -> None:
    model = Scalar()
    lookahead = Lookahead(model, total_steps=100, every=5)
    for step in range(1, 8):
        model.put(float(step))
        lookahead.after_step(step)
    slow = 5.0 * (1 - 0.95**5 * 0.05**3)
    assert averaged(model, lookahead)[0] == pytest.approx(slow, abs=1e-4)
    assert model.now[0] == 7.0
    assert lookahead.decay_at(100) == 0.95**5


def test_swa_is_the_plain_mean() -> None:
    model = Scalar()
    swa = SWA(model, steps_per_epoch=2, start_epoch=1.5, every_epochs=1)
    for step in range(1, 8):
        model.put(float(step))
        swa.after_step(step)
    assert averaged(model, swa) == (5.0, 50.0, 7)  # of 3, 5 and 7


def test_before_the_first_update_the_model_stands_for_itself() -> None:
    model = Scalar()
    model.put(3.0)
    for averaging in (EMA(model, every=5), Lookahead(model, 10), SWA(model, 10, 5)):
        model.put(4.0)
        assert averaged(model, averaging)[0] == 4.0


@pytest.mark.parametrize("kind", ["ema", "lookahead", "swa"])
def test_state_resumes_bit_for_bit(kind: str) -> None:
    def make(model: nn.Module) -> EMA | Lookahead | SWA:
        if kind == "ema":
            return EMA(model, 0.9)
        return Lookahead(model, 20) if kind == "lookahead" else SWA(model, 2, 1)

    def train(model: nn.Module, averaging: EMA | Lookahead | SWA, first: int, last: int) -> None:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(first, last):
            optimizer.zero_grad()
            backward(model, step)
            optimizer.step()
            averaging.after_step(step)

    whole = small_net()
    average = make(whole)
    train(whole, average, 1, 12)
    first = small_net()
    before = make(first)
    train(first, before, 1, 7)
    second = small_net(seed=1)
    after = make(second)
    second.load_state_dict(first.state_dict())
    after.load_state_dict(before.state_dict())
    train(second, after, 7, 12)
    with average.applied(), after.applied():
        for name, tensor in whole.state_dict().items():
            assert torch.equal(tensor, second.state_dict()[name]), name
    assert not torch.equal(whole[0].weight, first[0].weight)


def test_applied_gives_everything_back_even_after_an_error() -> None:
    model = small_net().to(memory_format=torch.channels_last)
    average = WeightAverage(model)
    backward(model, 1)
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def fail() -> None:
        assert not torch.equal(model[0].weight, before["0.weight"])
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"), average.applied():
        fail()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model[0].weight.stride() == before["0.weight"].stride()
