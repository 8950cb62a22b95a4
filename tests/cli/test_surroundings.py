"""Commands in surroundings that are not as usual: terminals, pipes, homes, temporary folders, busy databases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.schedule.ray import cluster
from tests.results.boards import Board, write_folders, write_store
from tests.results.ingredients import QUICK
from tests.spec.writing import write_spec

HARNESS = [sys.executable, "-m", "harness.cli"]
ROOT = Path(__file__).parents[2]


def _harness(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HARNESS_OFFLINE": "1"} | variables
    return subprocess.run(
        [*HARNESS, *arguments], cwd=folder, env=environment, capture_output=True, timeout=200
    )


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `runs/results.duckdb`, whose report has letters beyond ASCII."""
    folder = tmp_path_factory.mktemp("board")
    write_store(
        folder / "runs" / "results.duckdb", Board(methods=("od",), students=("3L-192",), tasks=QUICK[:1])
    )
    return folder


TERMINALS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "C": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.mark.parametrize("terminal", TERMINALS)
def test_a_terminal_without_a_letter_shows_a_stand_in(board: Path, terminal: str) -> None:
    done = _harness(board, "report", **TERMINALS[terminal])
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"rank" in done.stdout
    assert b"?" in done.stdout


@pytest.mark.parametrize("arguments", [["methods"], ["methods", "--json"], ["--help"]])
def test_a_reader_that_leaves_early_ends_the_command_quietly(tmp_path: Path, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [*HARNESS, *arguments],
            cwd=tmp_path,
            env=environment,
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=200,
        )
    assert (done.returncode, done.stderr) == (0, b"")


COMMANDS: list[tuple[list[str], int]] = [
    (["--help"], 0),
    (["methods", "--json"], 0),
    (["validate", "quickstart"], 0),
    (["plan", "nothing-of-the-kind"], 2),
    (["nothing-of-the-kind"], 2),
]
"""Commands, and how each of them ends."""
ONE_AFTER_ANOTHER = """
import json, sys
from pathlib import Path
from harness.cli.main import main
codes = []
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as left:
        codes.append(left.code)
Path("codes").write_text(json.dumps(codes))
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_what_the_caller_has_closed_changes_no_exit_code(closed: str, tmp_path: Path) -> None:
    done = _redirected(tmp_path, closed, [arguments for arguments, _ in COMMANDS])
    assert json.loads((tmp_path / "codes").read_text()) == [code for _, code in COMMANDS]
    assert bool(done.stdout) == (">&-" not in closed.split())
    assert bool(done.stderr) == ("2>" not in closed)
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["methods", "--json"]])
def test_output_that_cannot_be_written_is_one_line(arguments: list[str], tmp_path: Path) -> None:
    done = _redirected(tmp_path, ">/dev/full", [arguments])
    assert json.loads((tmp_path / "codes").read_text()) == [2]
    assert done.stderr == b"No space left on device where the output goes; print to another place\n"


def _redirected(
    folder: Path, redirection: str, commands: list[list[str]]
) -> subprocess.CompletedProcess[bytes]:
    """Commands in one program that a shell starts with this redirection."""
    program = [sys.executable, "-c", ONE_AFTER_ANOTHER, json.dumps(commands)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HARNESS_OFFLINE": "1"}
    return subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *program],
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=200,
    )


def test_a_home_that_cannot_be_written_names_the_variable_that_helps(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("no folder")
    spec = write_spec(tmp_path)
    variables = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": "", "HARNESS_CACHE": ""}
    done = _harness(tmp_path, "plan", str(spec), **variables)
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert f"the cache {tmp_path / 'home' / '.cache' / 'distil-harness'} cannot be written" in line
    assert "HARNESS_CACHE" in line


def test_a_home_that_cannot_be_written_keeps_no_token_of_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    cluster.keep_token_out_of_home()
    assert "RAY_AUTH_TOKEN" not in os.environ
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    cluster.keep_token_out_of_home()
    assert len(os.environ.pop("RAY_AUTH_TOKEN")) == 64


@pytest.mark.parametrize("length", [1, 30, 60, 100, 180])
def test_sockets_of_ray_fit_whatever_the_temporary_folder(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/" + "t" * length)
    folder = cluster.socket_folder() or f"/{'t' * length}/ray"
    socket = f"{folder}/session_2026-12-31_23-59-59_999999_{2**22}/sockets/plasma_store"
    assert len(socket.encode()) <= cluster.LONGEST_SOCKET


@pytest.fixture
def held(board: Path) -> Iterator[int]:
    """Another program has the database open; its process id."""
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    database = board / "runs" / "results.duckdb"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"open\n"
        yield program.pid
        program.kill()


def test_a_database_that_another_program_holds_names_it_at_once(board: Path, held: int) -> None:
    from harness.errors import InputError
    from harness.results.connect import BRIEFLY, PATIENCE
    from harness.results.store import Store

    store = Store(board / "runs" / "results.duckdb")
    start = time.monotonic()
    with pytest.raises(InputError, match=rf"held open by process {held} \(.*import duckdb") as refused:
        store.frame("SELECT 1")
    assert "\n" not in str(refused.value)
    assert BRIEFLY < time.monotonic() - start < PATIENCE / 2


def test_gc_removes_no_student_unless_weights_are_named(tmp_path: Path) -> None:
    from harness.records.folder import trial_folders

    write_folders(
        tmp_path / "runs", Board(methods=("od",), students=("3L-192",), tasks=QUICK[:1], seeds=(1,))
    )
    (student,) = [f for f in trial_folders(tmp_path / "runs") if (t := f.read_trial()) and t.kind == "distil"]
    for part in (student.model, student.checkpoint):
        part.mkdir()
        (part / "data").write_bytes(b"0" * 1000)
    listed = _harness(tmp_path, "gc", "--weights").stdout.decode()
    assert "students on the board that lose their weights: 1" in listed
    done = _harness(tmp_path, "gc", "--yes")
    assert done.returncode == 0
    assert (student.model.is_dir(), student.checkpoint.is_dir()) == (True, False)
    _harness(tmp_path, "gc", "--weights", "--yes")
    assert not student.model.exists()
