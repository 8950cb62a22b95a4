"""Options that several commands share, and the objects that commands build from them."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from harness.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.ranking.board import Board
    from harness.results.store import Store


def _spec_file(named: Path) -> Path:
    from harness.spec.catalog import spec_file

    return spec_file(named)


def complete_spec(incomplete: str) -> list[str]:
    """What a shell offers for a spec: those that ship, and YAML files and folders."""
    from harness.spec.catalog import shipped_spec_files

    names = [name for name in shipped_spec_files() if name.startswith(incomplete)]
    typed = Path(incomplete)
    folder = typed if incomplete.endswith("/") else typed.parent
    beside = sorted(folder.glob("*")) if folder.is_dir() else []
    shown = [
        f"{path}/" if path.is_dir() else str(path)
        for path in beside
        if path.is_dir() or path.suffix == ".yaml"
    ]
    return names + [path for path in shown if path.startswith(incomplete) and not path.startswith(".")]


SpecPath = Annotated[
    Path,
    typer.Argument(
        metavar="SPEC",
        help="YAML file of a benchmark, or the name of one that ships (`harness specs`).",
        show_default=False,
        callback=_spec_file,
        autocompletion=complete_spec,
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback behind an error.")]
Settings = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Replace one value of the spec; may be repeated. Example: --set distil.steps=100. The name of an entry that "
        "the spec writes out stands for it: --set 'grid.method=[NAME]'",
    ),
]
Catalogs = Annotated[
    list[Path],
    typer.Option(
        "--catalog",
        metavar="DIR",
        help="Folder with methods/, students/, teachers/, corpora/ or tasks/ of your own, "
        "searched first; may be repeated.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Local folder in the hub's layout, searched before every other source. "
        "Default: the variable HARNESS_DATA.",
        show_default=False,
    ),
]
RunsDir = Annotated[
    Path, typer.Option("--runs-dir", metavar="DIR", help="Folder in which each trial has a folder.")
]
Database = Annotated[
    Path | None,
    typer.Option(
        "--db",
        metavar="FILE",
        help="Database file. Default: results.duckdb in --runs-dir.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
RUNS = Path("runs")


class _PlainFlags:
    """Flags without a type in the help: `--json`, not `--json <bool>`."""

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if isinstance(param, TyperOption) and param.is_bool_flag:
                param.metavar = ""
        return params


class Command(_PlainFlags, TyperCommand):
    """A command."""


class CommandGroup(_PlainFlags, TyperGroup):
    """A command of commands."""


class BackendName(StrEnum):
    """The backends that run trials."""

    ray = "ray"
    local = "local"


def console() -> Console:
    """Console for tables: as wide as the terminal, or as wide as needed where the output is not a terminal."""
    from rich.console import Console

    here = Console(highlight=False)
    return here if here.is_terminal else Console(highlight=False, width=200)


def database(db: Path | None, runs_dir: Path) -> Store:
    """The database that `--db` and `--runs-dir` select."""
    from harness.results.store import Store

    return Store(db or runs_dir / "results.duckdb")


def shipped() -> Store:
    """The shipped board's database; what it is, and which of its files were left out, are written to stderr."""
    from harness.assets.sources import Sources
    from harness.results.shipped_board import shipped_board

    board = shipped_board(Sources.from_environment().cache_dir)
    for line in (board.sentence(), *board.problems):
        print(line, file=sys.stderr)
    return board.store


def known_suite(board: Board, suite: str) -> str:
    """`suite`, if it has results; else InputError."""
    from harness.registry import did_you_mean

    if suite not in board.suites():
        hint = did_you_mean(suite, board.suites()) if board.suites() else "nothing has been scored yet"
        raise InputError(f"no results of suite {suite!r}; {hint}")
    return suite


def example(text: str) -> str:
    """The example that closes a command's help."""
    return f"Example: [bold]{text}[/bold]"
