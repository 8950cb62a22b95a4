"""The wheel is a whole product: installed outside the checkout it has the shipped specs, the board and its theme."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tomllib
import urllib.request
import venv
from pathlib import Path

import pytest

from tests.leaderboard.serving import free_port, primary_colour, serving

ROOT = Path(__file__).resolve().parent.parent
THEME = ROOT / "leaderboard" / ".streamlit" / "config.toml"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of a fresh environment that holds the wheel; what the harness depends on is this
    environment's."""
    pytest.importorskip("hatchling", reason="the build backend, of the dev extra, is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    _pip(*build)
    (built,) = folder.glob("*.whl")
    home = folder / "environment"
    venv.create(home, with_pip=False)
    places = {"base": str(home), "platbase": str(home)}
    packages = Path(sysconfig.get_path("purelib", "venv", places))
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    programs = Path(sysconfig.get_path("scripts", "venv", places))
    _pip("--python", str(programs / "python"), "install", "--quiet", "--no-deps", "--no-index", str(built))
    return programs


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], check=True)


def _harness(programs: Path, folder: Path, *arguments: str) -> str:
    command = [str(programs / "harness"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_it_is_the_wheel_that_is_tried(installed: Path, tmp_path: Path) -> None:
    code = "import harness, leaderboard; print(harness.__file__, leaderboard.__file__)"
    command = [str(installed / "python"), "-c", code]
    places = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()
    assert all(Path(place).is_relative_to(installed.parent) for place in places)


def test_a_shipped_spec_is_planned_by_its_name(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    assert "Plan of quickstart" in _harness(installed, tmp_path, "plan", "quickstart")


def test_the_board_opens_with_its_theme(installed: Path, tmp_path: Path) -> None:
    port = free_port()
    command = [str(installed / "harness"), "leaderboard", "--port", str(port)]
    with serving(command, port, tmp_path) as server:
        with urllib.request.urlopen(server.address, timeout=20) as answer:
            assert answer.status == 200
        theme = tomllib.loads(THEME.read_text("utf-8"))["theme"]
        assert primary_colour(port) == theme["light"]["primaryColor"]
