"""The plan of the spec that tests of identity edit."""

from __future__ import annotations

import pytest

from harness.plan import Plan
from tests.plan.questions import tree, written


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """As it stands, unedited."""
    return written(tmp_path_factory.mktemp("plain"), tree())
