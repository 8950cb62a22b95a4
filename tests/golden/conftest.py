"""Runs a test once for every case of its families that the folder holds, whatever their names, shapes and
seeds.

    @pytest.mark.golden("hidden-mse")                # one or more families
    def test_the_loss_is_that_of_the_peer(golden_case): ...

`golden_case` is a `cases.GoldenCase`. Without a folder, or without a case of the families in it, the test is
skipped with the reason.
"""

from __future__ import annotations

import pytest

from .cases import find_cases


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "golden(*families): run the test for every golden case of these families"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise `golden_case` over the cases found."""
    if "golden_case" not in metafunc.fixturenames:
        return
    mark = metafunc.definition.get_closest_marker("golden")
    if mark is None or not mark.args:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid} takes golden_case but has no @pytest.mark.golden(family, ...)"
        )
    folder = metafunc.config.getoption("--golden-dir")
    cases = find_cases(folder) if folder else []
    params = [pytest.param(case, id=case.name) for case in cases if case.family in mark.args]
    if not params:
        reason = (
            f"no case of {', '.join(mark.args)} in {folder}"
            if folder
            else "no --golden-dir DIR and no HARNESS_GOLDEN"
        )
        params = [pytest.param(None, id="none", marks=pytest.mark.skip(reason=reason))]
    metafunc.parametrize("golden_case", params)
