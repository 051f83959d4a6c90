"""The compiler's stand-ins: nothing is imported while nobody asks, the real compiler when somebody does."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from itertools import product
from typing import Any

import pytest
import torch
from torch.fx.experimental import symbolic_shapes as real

from zoo.graph import lean_meta as lean

TRUTHS = [(True,), (False,)]
PAIRS = list(product((True, False), repeat=2))
SIZES = [(3, 3), (3, 4), ((2, 3), [2, 3]), ((2, 3), (2,)), (torch.Size([2]), [5]), ([], ()), ((1, (2,)), (1, (2,)))]
ASKED: dict[str, list[Any]] = {
    "expect_true": TRUTHS,
    "guard_or_false": TRUTHS,
    "guard_or_true": TRUTHS,
    "guard_size_oblivious": TRUTHS,
    "statically_known_true": TRUTHS,
    "guarding_hint_or_throw": [*TRUTHS, (3,)],
    "size_hint": [(3,), (0,)],
    "has_guarding_hint": [(3,), (0,)],
    "has_hint": [(3,), (0,)],
    "sym_and": [(True,), (False,), *PAIRS, (True, True, False)],
    "sym_or": [(True,), (False,), *PAIRS, (False, False, True)],
    "sym_eq": SIZES,
    "is_nested_int": [(3,), (0,)],
}
STAND_IN = lean._STAND_INS[lean.SYMBOLS]


def _python(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_stand_ins_spare_the_imports_and_give_way_to_the_real_compiler() -> None:
    _python("""
        import sys, torch
        from zoo.graph.lean_meta import COMPILER, SYMBOLS, lean_meta
        with lean_meta(), torch.device("meta"):
            torch.nn.Conv2d(3, 4, 3)(torch.zeros(1, 3, 8, 8))
            import torchvision
        assert not {COMPILER, SYMBOLS, "sympy"} & set(sys.modules)
        with lean_meta():
            from torch._dynamo.utils import is_compile_supported, counters
            assert torchvision.ops.roi_align.__globals__["is_compile_supported"]("cpu") == is_compile_supported("cpu")
        import torch._dynamo.utils
        assert torch._dynamo.utils.counters is counters
        assert torch._dynamo.utils.__spec__.origin and callable(torch._dynamo.optimize)
    """)


def test_the_symbols_give_way_without_the_compiler() -> None:
    _python("""
        import sys, torch
        from zoo.graph.lean_meta import lean_meta
        with lean_meta():
            import sympy as kept
            assert not isinstance(3, kept.Basic)
            import torch.utils._sympy.functions
            assert sys.modules["sympy"].Basic is kept.Basic and isinstance(kept.Symbol("x"), kept.Basic)
            import sympy.core.numbers
            assert type(sys.modules["torch._dynamo"]).__name__ == "_StandIn"
        assert "torch._dynamo" not in sys.modules
    """)


def test_a_part_of_the_compiler_is_the_real_one() -> None:
    _python("""
        import sys, torch
        from zoo.graph.lean_meta import lean_meta
        with lean_meta():
            from torch.fx.experimental.symbolic_shapes import ShapeEnv, expect_true
            assert "torch._dynamo.config" not in sys.modules
            import torch._dynamo.config
        assert torch._dynamo.config is sys.modules["torch._dynamo.config"] and torch._dynamo.config.__spec__.origin
        assert sys.modules["torch.fx.experimental.symbolic_shapes"].ShapeEnv is ShapeEnv
    """)


def test_without_them_the_imports_happen() -> None:
    _python("""
        import sys, torch
        with torch.device("meta"):
            torch.nn.Conv2d(3, 4, 3)(torch.zeros(1, 3, 8, 8))
        assert "sympy" in sys.modules
    """)


@pytest.mark.filterwarnings("ignore:.*guard_size_oblivious:FutureWarning")
@pytest.mark.parametrize("name", [name for name in ASKED if hasattr(real, name)])  # every torch lacks some
def test_each_answers_for_plain_values_as_the_real_function_does(name: str) -> None:
    for arguments in ASKED[name]:
        answer, due = getattr(STAND_IN, name)(*arguments), getattr(real, name)(*arguments)
        assert (answer, type(answer)) == (due, type(due)), arguments


def test_every_question_is_held_against_its_original() -> None:
    assert set(ASKED) == {name for name, value in vars(STAND_IN).items() if callable(value)}


def test_what_is_symbolic_goes_to_the_real_function() -> None:
    environment = real.ShapeEnv()
    size = environment.create_unbacked_symint()
    assert STAND_IN.guard_or_false(size == 3) is False
    assert STAND_IN.guard_or_true(size == 3) is True
    assert STAND_IN.statically_known_true(size == 3) is False
    assert STAND_IN.is_nested_int(size) is False
    assert isinstance(STAND_IN.sym_and(True, size == 3), torch.SymBool)
    assert isinstance(STAND_IN.sym_or(False, size == 3), torch.SymBool)
    assert isinstance(STAND_IN.sym_eq((2, size), (2, 3)), torch.SymBool)
    with pytest.raises(AssertionError):
        STAND_IN.expect_true(1)
