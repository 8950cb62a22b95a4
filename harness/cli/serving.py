"""`harness leaderboard`: the pages of the leaderboard in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import RUNS, Database, Debug, RunsDir, example
from harness.errors import InputError

PORT = 8501


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog=example("harness leaderboard --runs-dir runs"))(leaderboard)


def leaderboard(
    runs_dir: RunsDir = RUNS,
    db: Database = None,
    port: Annotated[int, typer.Option(metavar="PORT", min=1, max=65535, help="Port to serve at.")] = PORT,
    debug: Debug = False,
) -> None:
    """Serve the leaderboard on this machine only, until Ctrl-C; open the address that it prints."""
    from streamlit.web.cli import main as streamlit

    arguments = ["run", str(_app()), "--server.port", str(port)]
    if db is not None or runs_dir != RUNS:
        arguments += ["--", "--db", str((db or runs_dir / "results.duckdb").absolute())]
    streamlit(arguments, prog_name="streamlit", standalone_mode=False)


def _app() -> Path:
    """The script that Streamlit runs; its theme and address lie beside it, in `.streamlit/config.toml`."""
    from importlib.util import find_spec

    module = find_spec("leaderboard")
    if module is None or module.origin is None:
        raise InputError("the package `leaderboard` is not installed; install distil-harness again")
    return Path(module.origin).with_name("app.py")
