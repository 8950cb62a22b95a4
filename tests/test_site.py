"""The documentation is a site: it builds without a warning, and every page of docs/ is in its navigation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_the_site_builds_without_a_warning_and_lists_every_page(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="mkdocs-material, of the docs extra, is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # about the end of mkdocs 1, in 2027
    done = subprocess.run(
        command, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    start = (tmp_path / "site" / "index.html").read_text("utf-8")
    for page in ROOT.glob("docs/*.md"):
        assert f'href="{page.stem}/"' in start, page
        assert (tmp_path / "site" / page.stem / "index.html").is_file()
