"""Options and fixtures that every test may use.

`--golden-dir DIR` (or the variable HARNESS_GOLDEN) names a folder of golden cases, `HARNESS_DATA` one of real
data in hub layout. Tests that need what is not there are skipped with the reason. Of the cases of a test that is marked
`some(N)` about one in N is tried, always the same ones, so that the suite ends within minutes; `--thorough`, or naming a
test, tries all.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import pytest

# Set before any test module is imported: libraries read these once, at import.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--golden-dir`."""
    parser.addoption(
        "--golden-dir",
        metavar="DIR",
        type=Path,
        default=os.environ.get("HARNESS_GOLDEN") or None,
        help="folder of golden cases (NAME.json, NAME.safetensors); default: the variable HARNESS_GOLDEN",
    )
    parser.addoption("--thorough", action="store_true", help="every case of tests that are marked `some(N)`")


def pytest_configure(config: pytest.Config) -> None:
    """A folder of golden cases that was named and is missing is an error, not a reason to skip."""
    folder = config.getoption("--golden-dir")
    if folder is not None and not folder.is_dir():
        raise pytest.UsageError(f"--golden-dir (or HARNESS_GOLDEN): {folder} is not a folder")
    config.addinivalue_line("markers", "some(n): about one in n of the cases is tried without --thorough")


GOLDEN_RATIO = (5**0.5 - 1) / 2
"""Its multiples, modulo 1, are spread evenly over all cases and over every parameter of them."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the cases of tests marked `some(N)` that are not tried."""
    if config.getoption("--thorough") or any("::" in argument for argument in config.args):
        return
    cases: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("some"):
            cases[item.nodeid.partition("[")[0]].append(item)
    left_out = {
        item
        for of_test in cases.values()
        for number, item in enumerate(of_test)
        if number * GOLDEN_RATIO % 1 >= 1 / item.get_closest_marker("some").args[0]  # type: ignore[union-attr]
    }
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def golden_dir(pytestconfig: pytest.Config) -> Path:
    """Folder of golden cases."""
    folder: Path | None = pytestconfig.getoption("--golden-dir")
    if folder is None:
        pytest.skip("no golden cases: give --golden-dir DIR or set HARNESS_GOLDEN")
    return folder


@pytest.fixture(scope="session")
def harness_data() -> Path:
    """Folder of real data in hub layout."""
    named = os.environ.get("HARNESS_DATA")
    if not named:
        pytest.skip("no real data: HARNESS_DATA is not set")
    folder = Path(named)
    if not folder.is_dir():
        pytest.skip(f"no real data: HARNESS_DATA names {folder}, which is not a folder")
    return folder
