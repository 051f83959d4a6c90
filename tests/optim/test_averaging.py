"""EMA, Lookahead and SWA against the sums done by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn, update_bn

from tests.optim.conftest import backward, small_net
from zoo.optim import EMA, SWA, Lookahead
from zoo.optim.averaging import WeightAverage
from zoo.optim.frozen_statistics import freeze_statistics, into_training


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


def test_a_warm_up_lets_the_decay_rise() -> None:
    """After n updates (1 + n) / (10 + n), as TensorFlow's ExponentialMovingAverage has it; the first takes all."""
    model = Scalar()
    ema = EMA(model, decay=0.25, warmup=True)
    decays, expected = [], 0.0
    for step in range(1, 6):
        decays.append(ema.present_decay)
        model.put(float(step))
        ema.after_step(step)
        decay = 0.0 if step == 1 else min(0.25, (1 + step - 1) / (10 + step - 1))
        expected = decay * expected + (1 - decay) * step
    assert decays == [0.0, 2 / 11, 3 / 12, 0.25, 0.25]
    assert averaged(model, ema)[0] == pytest.approx(expected, abs=1e-5)
    plain = EMA(Scalar(), decay=0.25)
    plain.updates = 1
    assert plain.present_decay == 0.25  # a control


def test_a_buffer_that_is_put_in_anew_is_followed() -> None:
    model = Scalar()
    ema = EMA(model, decay=0.5)
    for step in (1, 2):
        model.put(float(step))
        model.mean = torch.full((), 100.0 * step)  # another tensor than the one that was there
        ema.after_step(step)
    assert averaged(model, ema) == (1.5, 150.0, 2)


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


class NormNet(nn.Sequential):
    """Two batch norms, one without statistics of its own, and dropout, which draws."""

    def __init__(self) -> None:
        torch.manual_seed(2)
        super().__init__(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, momentum=0.4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(),
            nn.BatchNorm1d(24, track_running_stats=False), nn.Linear(24, 5),
        )  # fmt: skip


def training_images() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(9)
    return [torch.randn(size, 3, 4, 4, generator=generator) * 2 + 1 for size in (8, 8, 5)]


def test_swa_takes_batch_norms_statistics_anew_as_torch_does() -> None:
    model, other = NormNet(), NormNet()
    swa = SWA(model, steps_per_epoch=2, start_epoch=1)
    theirs = AveragedModel(other, multi_avg_fn=get_swa_multi_avg_fn())
    for net in (model, other):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        torch.manual_seed(0)
        for step in range(1, 7):
            optimizer.zero_grad()
            backward(net, step)
            optimizer.step()
            if net is model:
                swa.after_step(step)
            elif step % 2 == 0:
                theirs.update_parameters(other)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with swa.applied():
        stale = model[1].running_mean.clone()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    swa.refresh_statistics(iter(training_images()))
    assert torch.get_rng_state().equal(state)  # dropout drew elsewhere
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    assert model[1].momentum == 0.4
    torch.manual_seed(1)
    update_bn(training_images(), theirs.module)
    with swa.applied():
        for (name, mine), reference in zip(
            model.state_dict().items(), theirs.module.state_dict().values(), strict=True
        ):
            torch.testing.assert_close(mine, reference, msg=name)
        assert not torch.allclose(stale, model[1].running_mean)  # the control: the mean of statistics is another
        assert int(model[1].num_batches_tracked) == 3


class TwoNorms(nn.Sequential):
    """A batch norm whose statistics stand still, and behind it one that learns."""

    def __init__(self) -> None:
        torch.manual_seed(2)
        super().__init__(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.BatchNorm2d(6), nn.Flatten())
        self[1].running_mean.fill_(0.3)
        self[1].running_var.fill_(1.7)
        freeze_statistics(self, ["1"])


def test_swa_leaves_statistics_alone_that_stand_still_and_uses_them() -> None:
    model = TwoNorms()
    before = {name: tensor.clone() for name, tensor in model[1].state_dict().items()}
    swa = SWA(model, steps_per_epoch=1, start_epoch=1)
    into_training(model)
    swa.after_step(1)
    swa.refresh_statistics(training_images())
    reference, anew = TwoNorms(), TwoNorms()
    for net, learning in ((reference, [3]), (anew, [1, 3])):
        for number in learning:
            net[number].train()
            net[number].momentum = None
        for images in training_images():
            net(images)
    with swa.applied():
        assert all(torch.equal(tensor, before[name]) for name, tensor in model[1].state_dict().items())
        torch.testing.assert_close(model[3].running_var, reference[3].running_var)
        assert not torch.allclose(model[3].running_var, anew[3].running_var)  # a control


def test_swa_reads_no_image_where_all_statistics_stand_still() -> None:
    model = TwoNorms()
    freeze_statistics(model, ["*"])
    swa = SWA(model, steps_per_epoch=1, start_epoch=1)
    swa.after_step(1)
    swa.refresh_statistics(pytest.fail("it reads the training set") for _ in range(1))


@pytest.mark.parametrize("kind", ["ema", "lookahead"])
def test_averages_keep_statistics_that_stand_still_bit_for_bit(kind: str) -> None:
    model = into_training(TwoNorms())
    averaging = EMA(model, decay=0.9) if kind == "ema" else Lookahead(model, 40)
    for step in range(1, 41):
        with torch.no_grad():
            model(training_images()[0])
        averaging.after_step(step)
    with averaging.applied():
        still, moved = TwoNorms()[1].state_dict(), TwoNorms()[3].state_dict()
        assert all(torch.equal(tensor, still[name]) for name, tensor in model[1].state_dict().items())
        assert not torch.equal(model[3].running_mean, moved["running_mean"])  # a control


def test_swa_reads_no_image_where_nothing_is_to_be_done() -> None:
    def untouched() -> Iterator[torch.Tensor]:
        pytest.fail("it reads the training set")
        yield

    model = NormNet()
    swa = SWA(model, steps_per_epoch=1, start_epoch=1)
    swa.refresh_statistics(untouched())  # nothing was averaged yet
    swa.after_step(1)
    swa.refresh_statistics(training_images())
    swa.refresh_statistics(untouched())  # done already
    again = SWA(model, steps_per_epoch=1, start_epoch=1)
    again.load_state_dict(swa.state_dict())
    again.refresh_statistics(untouched())  # a resumed run knows it too
    plain = SWA(small_net(), steps_per_epoch=1, start_epoch=1)
    plain.after_step(1)
    plain.refresh_statistics(untouched())  # without batch norm
    for other in (EMA(model), Lookahead(model, 10)):
        other.after_step(5)
        other.refresh_statistics(untouched())


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


@pytest.mark.parametrize("forged", [torch.zeros(3), torch.zeros(8, 3, 3, 3, dtype=torch.int64)])
def test_an_average_of_another_kind_is_refused(forged: torch.Tensor) -> None:
    average = EMA(small_net())
    state = average.state_dict()
    state["average"] = {**state["average"], "0.weight": forged}
    with pytest.raises(
        ValueError, match=r"the average of 0\.weight is \[.*\] .*, the network has \[8, 3, 3, 3\] float32"
    ):
        average.load_state_dict(state)


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
