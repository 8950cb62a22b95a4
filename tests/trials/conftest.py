"""Fixtures over the tiny world."""

from __future__ import annotations

import pytest

from .world import World, make_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One teacher and one corpus for all tests; runs go to folders of their own."""
    return make_world(tmp_path_factory.mktemp("world"))
