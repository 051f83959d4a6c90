"""The summary: the originals' tables row for row, counts exact, shared parameters once, nothing allocated."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchinfo
from rich.console import Console
from torch import nn

import zoo
from tests.graph.plan_world import plan_of_text
from zoo.architectures import architecture_names
from zoo.diagnostics import Diagnostics
from zoo.graph import compile_plan
from zoo.models import load_plan
from zoo.summary import human_count, layer_table, summarize, torchsummary_text, totals_text

Golden = Callable[[str, str], None]

# The original projects' texts: which file, which network, and what each says of parameters and sizes.
SEEDS = {
    "000": ("cifar_resnet18", {}, 49, "11,173,962", None),
    "001": ("custom_resnet", {"head_bias": False}, 29, "6,573,120", ("0.01", "6.44", "25.07", "31.53")),
    "002": ("era_resnet18", {}, 68, "11,173,962", ("0.01", "7.95", "42.63", "50.58")),
    "004": ("custom_resnet", {}, 29, "6,573,130", None),
}


def table(name: str, **params: object) -> str:
    module = zoo.load_model(name, **params)
    return torchsummary_text(summarize(module, {"input": (3, 32, 32)}, name=name))


def rows(text: str) -> list[str]:
    """The table's rows, blanks folded."""
    return [" ".join(line.split()) for line in text.splitlines() if re.match(r"\s*\w+-\d+\s+\[", line)]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_tables_of_the_originals_row_for_row(seed: str, shared_dir: Path) -> None:
    name, params, count, total, sizes = SEEDS[seed]
    [path] = (shared_dir / "seeds").glob(f"{seed}_*.txt")
    original = path.read_text(encoding="utf-8")
    ours = table(name, **params)
    assert rows(ours) == rows(original)
    assert len(rows(ours)) == count
    assert total in original
    assert f"Total params: {total}" in ours
    assert f"Trainable params: {total}" in ours
    for size in sizes or ():
        assert f"MB): {size}" in original
        assert f"MB): {size}" in ours


def test_another_network_has_other_rows(shared_dir: Path) -> None:
    [path] = (shared_dir / "seeds").glob("000_*.txt")
    assert rows(table("era_resnet18")) != rows(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_tables_stay_as_they_are(seed: str, golden: Golden) -> None:
    name, params, *_ = SEEDS[seed]
    golden(f"torchsummary_{seed}.txt", table(name, **params) + "\n")


def test_shared_parameters_count_once_where_torchinfo_counts_them_twice() -> None:
    module = nn.Sequential(nn.Linear(8, 8, bias=False), nn.ReLU(), nn.Linear(8, 8, bias=False))
    module[2].weight = module[0].weight
    ours = summarize(module, {"input": (8,)}, name="tied")
    assert ours.total_params == 64
    assert [row.params for row in ours.rows] == [64, 0, 0]
    assert torchinfo.summary(module, (1, 8), verbose=0).total_params == 128  # the control


def test_every_parameter_stands_in_some_row() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.attention(x, x, x)[0]
            return result

    ours = summarize(Net(), {"input": (4, 8)}, name="attention")
    assert sum(row.params for row in ours.rows) == ours.total_params


@pytest.mark.parametrize("name", architecture_names())
def test_the_rows_of_a_shipped_architecture_add_up(name: str) -> None:
    plan = load_plan(name, Diagnostics())
    assert plan is not None
    inputs = {key: spec.shape[1:] for key, spec in plan.inputs.items()}
    ours = summarize(compile_plan(plan, device="meta"), inputs, name=name)
    assert sum(row.params for row in ours.rows) == ours.total_params > 0
    activations = sum(row.output_shape is not None and row.type != "Parameter" for row in ours.rows)
    assert activations


def test_a_networks_own_parameters_are_rows() -> None:
    text = "input: [4, 8]\nlayers:\n  pos: {op: Parameter, shape: [1, 4, 8]}\n  sum: {op: add, from: [input, pos]}\n"
    module = compile_plan(plan_of_text(text + "  fc: {op: Linear, out_features: 2}\n"), device="meta")
    ours = summarize(module, {"input": (4, 8)}, name="net")
    assert [(row.name, row.type, row.params) for row in ours.rows] == [("pos", "Parameter", 32), ("fc", "Linear", 18)]
    assert ours.activation_megabytes == 2 * 4 * 8 / (1 << 20)


def test_a_network_of_buffers_alone_is_summed_up_where_they_are() -> None:
    text = "input: [4, 8]\nlayers:\n  pos: {op: Buffer, shape: [1, 4, 8]}\n  sum: {op: add, from: [input, pos]}\n"
    module = compile_plan(plan_of_text(text), device="meta")
    assert summarize(module, {"input": (4, 8)}, name="net").total_params == 0
    assert summarize(nn.ReLU(), {"input": (4,)}, name="relu").total_params == 0


def test_flops_are_two_per_multiply_and_add() -> None:
    module = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(16 * 64, 10, bias=False))
    ours = summarize(module, {"input": (3, 8, 8)}, name="small")
    assert ours.flops == 2 * (16 * 64 * 27 + 16 * 64 * 10)


class Bilinear(nn.Module):
    """Two products of which torch's own counter knows neither."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = nn.Bilinear(6, 6, 5, bias=False)
        self.vector = nn.Parameter(torch.zeros(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.pair(x, x) @ self.vector
        return scores


def test_products_with_vectors_and_of_three_are_counted() -> None:
    assert summarize(Bilinear(), {"input": (6,)}, name="products").flops == 2 * (5 * 6 * 6) + 2 * 5


def test_names_are_no_markup() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    summary = summarize(module, {"input": (4,)}, name="net [small] [/x]")
    text = io.StringIO()
    Console(file=text, width=100).print(layer_table(summary))
    assert "net [small] [/x]" in text.getvalue()


def test_an_output_that_is_nothing_is_left_out() -> None:
    text = """
input: [6, 8]
layers:
  a: {op: MultiheadAttention, from: [input, input, input], num_heads: 2, batch_first: true, call: {need_weights: false}}
  b: {op: relu, from: a.0}
"""
    summary = summarize(compile_plan(plan_of_text(text)), {"input": (6, 8)}, name="attention")
    stream = io.StringIO()
    Console(file=stream, width=100).print(layer_table(summary))
    assert "6 x 8" in stream.getvalue()
    assert "|" not in stream.getvalue()


def test_the_mode_comes_back_and_frozen_parameters_are_told() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    module[0].requires_grad_(False)
    ours = summarize(module, {"input": (4,)}, name="half")
    assert module.training
    assert (ours.total_params, ours.trainable_params) == (30, 10)
    assert "20 of them frozen" in totals_text(ours)


def test_a_norm_that_stands_still_stays_so() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    module[1].eval()
    summarize(module, {"input": (3, 8, 8)}, name="frozen")
    assert [each.training for each in module] == [True, False]
    assert module.training


def test_a_table_for_a_terminal_fits_eighty_columns() -> None:
    from rich.console import Console

    module = zoo.load_model("custom_resnet")
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(layer_table(summarize(module, {"input": (3, 32, 32)}, name="custom_resnet")))
    text = console.export_text()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "4,718,592" in text or "2,359,296" in text


def test_counts_in_three_figures() -> None:
    assert [human_count(n) for n in (0, 999, 6_573_130, 1.114e9)] == ["0 ", "999 ", "6.57 M", "1.11 G"]
    assert [human_count(n) for n in (999_499, 999_999, 999_999_999)] == ["999 k", "1 M", "1 G"]


def test_a_table_for_a_terminal_that_wants_no_colour_has_no_escape_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    def printed(what: Any) -> str:
        stream = io.StringIO()
        Console(file=stream, force_terminal=True, width=80).print(what)
        return stream.getvalue()

    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in printed(layer_table(summarize(nn.Linear(4, 4), {"input": (4,)}, name="small")))
    assert "\x1b" in printed("[bold]bold[/]")  # the control: rich drops colours alone
