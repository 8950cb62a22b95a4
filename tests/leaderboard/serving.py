"""A leaderboard served over one database, and a browser to look at it with; for tests and benchmarks."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


EMPTY = """
import altair, pandas, streamlit
families = ["HS", "MHA", "OD", "composite", "control"]
picked = streamlit.sidebar.multiselect("Family", families, key="family", bind="query-params")
streamlit.html('<div class="answer">.</div>')
streamlit.toggle(f"Draw all {len(picked)} configurations", key="all")
rows = pandas.DataFrame({"a": [1, 2, 3], "b": [1, 2, 3]})
streamlit.altair_chart(altair.Chart(rows).mark_bar().encode(x="a", y="b"))
streamlit.dataframe(rows)
"""


@dataclass(frozen=True)
class Served:
    """A server under way."""

    address: str
    pid: int


@contextmanager
def served(database: Path) -> Iterator[Served]:
    """`streamlit run leaderboard/app.py` over `database` on a free port, until the block is left."""
    with _streamlit("leaderboard/app.py", "--", "--db", str(database)) as server:
        yield server


@contextmanager
def served_empty() -> Iterator[Served]:
    """Streamlit with next to nothing on its page, for comparison."""
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder) / "app.py"
        app.write_text(EMPTY, encoding="utf-8")
        with _streamlit(str(app)) as server:
            yield server


@contextmanager
def _streamlit(app: str, *arguments: str) -> Iterator[Served]:
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", app, "--server.port", str(port), *arguments]
    with serving(command, port, ROOT) as server:
        yield server


def free_port() -> int:
    """A port of this machine that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def primary_colour(port: int) -> str:
    """The primary colour of the light theme that the server at `port` sends to a browser."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
    from websockets.sync.client import connect

    with connect(f"ws://127.0.0.1:{port}/_stcore/stream", subprotocols=["streamlit"]) as browser:
        asked = BackMsg()
        asked.rerun_script.query_string = ""
        browser.send(asked.SerializeToString())
        while True:
            answer = ForwardMsg.FromString(browser.recv(timeout=60))
            if answer.HasField("new_session"):
                return str(answer.new_session.custom_theme.light.primary_color)


@contextmanager
def serving(command: Sequence[str], port: int, folder: Path) -> Iterator[Served]:
    """The server that `command`, run in `folder`, starts at `port`, until the block is left."""
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            _wait_for(f"{address}/_stcore/health")
            yield Served(address, process.pid)
        finally:
            process.terminate()
            process.wait(timeout=20)


def _wait_for(address: str, patience: float = 120.0) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The chromium on the PATH, headless."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()
