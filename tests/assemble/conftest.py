"""A small recipe for whole runs and the command line, those of its own tests."""

from tests.cli.conftest import recipe, zoo

__all__ = ["recipe", "zoo"]
