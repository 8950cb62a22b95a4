"""The tiny world of the tests of trials."""

from tests.trials.conftest import world

__all__ = ["world"]
