"""The compiler's stand-in: nothing is imported while nobody asks, the real compiler when somebody does."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def _python(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_stand_in_spares_the_import_and_gives_way_to_the_real_compiler() -> None:
    _python("""
        import sys, torch
        from zoo.graph.lean_meta import lean_meta
        with lean_meta(), torch.device("meta"):
            torch.nn.Conv2d(3, 4, 3)(torch.zeros(1, 3, 8, 8))
        assert "torch._dynamo" not in sys.modules
        with lean_meta():
            from torch._dynamo.utils import is_compile_supported
        import torch._dynamo.utils
        assert torch._dynamo.utils.is_compile_supported is is_compile_supported
        assert torch._dynamo.utils.__spec__.origin and callable(torch._dynamo.optimize)
    """)
