"""Times how fast the leaderboard answers on a large board: `python -m benchmarks.leaderboard [--db FILE]`.

A synthetic board of some 200,000 score rows (invented scores of about 2,000 models in real records) is built
once, served, and looked at with chromium. Medians of five, wall time as a reader sees it: a new session's
navigation until the ranking (answer, chart and table) stands, in a browser that has never been here and in one
that has, and the change of a filter until the page has followed. What Streamlit itself takes is shown by an
empty page (one line, one filter, a chart of three bars, a table of three rows) under the same watch. Beside
them the CPU time of the server, which tells more on a busy machine, and `harness report`.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Locator, Page, ViewportSize

from harness.results.store import Store
from harness.spec.languages import XNLI15
from tests.leaderboard.serving import Served, chromium, served, served_empty
from tests.results.boards import Board, write_store
from tests.results.ingredients import GLUE, METHODS, STUDENTS, XNLI, TaskShape

TIMES = 5
VIEW: ViewportSize = {"width": 1300, "height": 950}
MORE_GLUE = (
    TaskShape("stsb", "GLUE", metrics=("pearson", "spearman"), top=0.88),
    TaskShape("qqp", "GLUE", metrics=("accuracy", "f1"), top=0.9),
    TaskShape("mnli", "GLUE", labels=3, top=0.84),
    TaskShape("mnli-mm", "GLUE", labels=3, top=0.84),
)
LARGE = Board(
    methods=tuple(METHODS),
    students=tuple(STUDENTS),
    tasks=(*GLUE, *MORE_GLUE, *XNLI),
    learning_rates=(2e-5, 3e-5),
    distil_rates=tuple(round(1e-4 + 1e-5 * step, 6) for step in range(22)),
    languages=XNLI15,
)
"""660 configurations of three seeds, GLUE and XNLI."""
FAMILIES = ("HS", "MHA", "OD", "composite", "control")
"""One filter change each; none is answered from another's cache."""
COUNTED = re.compile(r"^Draw all \d+ configurations$")
FOLLOWED = """before => {
  const app = document.querySelector('[data-testid=stApp]');
  const said = [...document.querySelectorAll('[data-testid=stCheckbox]')].map(box => box.innerText.trim());
  return app.dataset.testScriptState === 'notRunning'
    && said.some(text => text.startsWith('Draw all ') && text !== before);
}"""


@dataclass(frozen=True)
class Elapsed:
    """Cost of one interaction."""

    wall: float
    """Seconds until the reader sees the result."""
    cpu: float
    """CPU seconds of the server."""


def main() -> None:
    """Build, serve, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--db",
        type=Path,
        default=Path("runs/benchmark/leaderboard.duckdb"),
        help="database to serve, built first if it is missing",
    )
    database = parser.parse_args().db.resolve()
    if not database.exists():
        print(f"building {database}", flush=True)
        write_store(database, LARGE)
    counts = "(SELECT count(*) FROM scores) AS scores, (SELECT count(*) FROM models) AS models"
    scores, models = Store(database).frame(f"SELECT {counts}").iloc[0]
    print(f"{scores:,} score rows of {models:,} models")
    _print_times("harness report", [_report(database) for _ in range(TIMES)])
    with served(database) as server, chromium() as browser:
        _navigation(browser, server)  # warms the server
        with served_empty() as empty:
            _print_times(
                "an empty Streamlit page, new browser", [_navigation(browser, empty) for _ in range(TIMES)]
            )
            _print_times("an empty Streamlit page, filter change", _filter_changes(browser, empty))
        _print_times(
            "navigation to the ranking, new browser", [_navigation(browser, server) for _ in range(TIMES)]
        )
        _print_times("navigation to the ranking, known browser", _returns(browser, server))
        _print_times("filter change", _filter_changes(browser, server))


def _print_times(title: str, timings: list[Elapsed]) -> None:
    wall, cpu = (statistics.median(getattr(one, name) for one in timings) for name in ("wall", "cpu"))
    every = ", ".join(f"{one.wall:.2f}" for one in timings)
    print(f"{title}: median {wall:.2f} s ({every}), CPU {cpu:.2f} s", flush=True)


def _report(database: Path) -> Elapsed:
    before = psutil.Process().cpu_times()
    start = time.perf_counter()
    command = [sys.executable, "-m", "harness.cli", "report", "--db", str(database)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, psutil.Process().cpu_times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Elapsed(wall, used)


def _navigation(browser: Browser, server: Served) -> Elapsed:
    """A new session in a browser without cache: nothing of Streamlit's front end is cached."""
    page = browser.new_context(viewport=VIEW).new_page()
    timings = _timed(server, lambda: _open(page, server))
    page.context.close()
    return timings


def _returns(browser: Browser, server: Served) -> list[Elapsed]:
    """New sessions in a browser that has opened the board before."""
    context = browser.new_context(viewport=VIEW)
    timings = []
    for _ in range(TIMES + 1):
        page = context.new_page()
        timings.append(_timed(server, partial(_open, page, server)))
        page.close()
    context.close()
    return timings[1:]


def _open(page: Page, server: Served) -> None:
    page.goto(server.address, wait_until="commit")
    page.locator(".answer").first.wait_for()
    page.locator("[data-testid=stVegaLiteChart] :is(svg, canvas)").first.wait_for()
    page.locator("[data-testid=stDataFrame] canvas").first.wait_for()


def _timed(server: Served, act: Callable[[], None]) -> Elapsed:
    process = psutil.Process(server.pid)
    before, start = process.cpu_times(), time.perf_counter()
    act()
    wall = time.perf_counter() - start
    time.sleep(1.0)  # what the server still does afterwards counts as its work, not as waiting
    after = process.cpu_times()
    return Elapsed(wall, after.user + after.system - before.user - before.system)


def _filter_changes(browser: Browser, server: Served) -> list[Elapsed]:
    page = browser.new_context(viewport=VIEW).new_page()
    _open(page, server)
    found = []
    for family in FAMILIES:
        page.wait_for_timeout(1500)
        box = page.locator("[data-testid=stMultiSelect]").filter(has_text="Family")
        box.locator("input").click()
        option = page.get_by_role("option", name=family, exact=True)
        option.wait_for()
        page.wait_for_timeout(300)
        found.append(_timed(server, partial(_choose, page, option, family)))
    page.context.close()
    return found


def _choose(page: Page, option: Locator, family: str) -> None:
    """Add a family to the filter; done once the page counts other rows and the script has finished."""
    before = page.get_by_text(COUNTED).inner_text()
    option.click()
    page.wait_for_function(FOLLOWED, arg=before)
    assert family in page.url


if __name__ == "__main__":
    main()
