"""Options and fixtures that every test may use.

`--golden-dir DIR` (or the variable HARNESS_GOLDEN) names a folder of golden cases, `HARNESS_DATA` one of real
data in hub layout. Tests that need what is not there are skipped with the reason.
"""

from __future__ import annotations

import os
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


def pytest_configure(config: pytest.Config) -> None:
    """A folder of golden cases that was named and is missing is an error, not a reason to skip."""
    folder = config.getoption("--golden-dir")
    if folder is not None and not folder.is_dir():
        raise pytest.UsageError(f"--golden-dir (or HARNESS_GOLDEN): {folder} is not a folder")


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
