"""Wherever a command writes, a place that cannot be written is told in one line before anything else happens."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import main

IN_FOLDER = {
    "run --runs-dir": ["run", "quickstart", "--runs-dir"],
    "import --runs-dir": ["import", "bundle.zip", "--runs-dir"],
    "schema --out": ["schema", "--out"],
    "new method --dir": ["new", "method", "mine", "--dir"],
}
IN_FILE = {
    "run --db": ["run", "quickstart", "--db"],
    "import --db": ["import", "bundle.zip", "--db"],
    "ingest --db": ["ingest", "--db"],
    "export FILE": ["export", "--format", "csv"],
    "export --out": ["export", "--format", "csv", "--out"],
}
NEW = {"bundle FILE": ["bundle"], "export --model --out": ["export", "--model", "3f2a91", "--out"]}
"""Commands that write into a folder, to a file or to something new, up to the place that is named last."""

NOWHERE = ["/proc/new", "/proc/new/below", "file/below", "file/below/it", "link/below"]
BAD = {
    **{name: (words, [*NOWHERE, "file", "link", "/dev/full"]) for name, words in IN_FOLDER.items()},
    **{name: (words, [*NOWHERE, "folder", "link", "/dev/full"]) for name, words in IN_FILE.items()},
    **{name: (words, [*NOWHERE, "file", "folder", "link", "/dev/full"]) for name, words in NEW.items()},
}
CASES = [(name, place) for name, (_, places) in BAD.items() for place in places]

Run = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Run:
    """The one line with which a command is refused."""

    def run(*arguments: str) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(arguments)
        printed = capsys.readouterr()
        assert (left.value.code, printed.out) == (2, "")
        (line,) = printed.err.splitlines()
        return line

    return run


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one of everything that is in the way."""
    for name in ("folder", "runs"):
        (tmp_path / name).mkdir()
    for name in ("file", "bundle.zip"):
        (tmp_path / name).write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("command", "place"), CASES)
def test_a_place_that_cannot_be_written_is_named(command: str, place: str, world: Path, refused: Run) -> None:
    before = sorted(world.rglob("*"))
    line = refused(*BAD[command][0], place)
    assert line.startswith(f"{command.split()[-1]} {place}: "), line
    assert "; name a" in line
    assert sorted(world.rglob("*")) == before
    assert (world / "file").read_text() == "kept"
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("place", ["folder", "/dev/full"])
@pytest.mark.parametrize("command", ["report", "status", "show 3f2a91"])
def test_what_is_read_as_a_database_is_a_file(command: str, place: str, world: Path, refused: Run) -> None:
    assert (
        refused(*command.split(), "--db", place)
        == f"{place}: is no file, and so no database; name one with --db"
    )


COMMANDS = (
    "plan quickstart",
    "report",
    "specs",
    "methods",
    *(" ".join([*w, "new"]) for w, _ in BAD.values()),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_current_folder_that_has_been_removed_is_told(command: str, world: Path, refused: Run) -> None:
    (world / "gone").mkdir()
    os.chdir(world / "gone")
    (world / "gone").rmdir()
    assert refused(*command.split()) == (
        "the folder that this command was started in has been removed; change to one that exists"
    )
