"""A small recipe for whole runs, the one of the command line's tests."""

from tests.cli.conftest import recipe

__all__ = ["recipe"]
