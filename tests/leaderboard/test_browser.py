"""The pages in a real browser: they open without an error, keep to this machine, and an address brings
back what was seen.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.ranking.board import read_board
from harness.ranking.cells.scope import Filters
from harness.results.store import Store
from tests.leaderboard.serving import Served, chromium, served

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on the PATH"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
PAGES = (
    "Ranking",
    "Tasks",
    "Languages",
    "Layer mappings",
    "Why",
    "Trade-off",
    "Compare",
    "Published",
    "Runs",
    "Trial",
)
PATIENCE = 90_000
"""Milliseconds a page may take when the machine is busy with other things."""
PROBE = re.compile(r"/\w+/_stcore/(health|host-config)$")
"""Streamlit looks for its server below the address it was opened at first, and says so in the console when
it was not there.
"""


@dataclass
class Watched:
    """A page and what went wrong on it."""

    page: sync_api.Page
    address: str
    troubles: list[str] = field(default_factory=list)

    def settled(self, heading: str) -> None:
        """Wait until the page shows its heading and the server has nothing more to send."""
        self.page.get_by_role("heading", name=heading, exact=True, level=1).wait_for(timeout=PATIENCE)
        idle = "document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'"
        self.page.wait_for_function(idle, timeout=PATIENCE)
        assert self.page.locator("[data-testid=stException]").count() == 0

    def text(self) -> str:
        """What the page says, once charts are drawn and it has stopped changing."""
        main, before = self.page.locator("[data-testid=stMain]"), ""
        for _ in range(60):
            now = str(main.inner_text())
            if now == before:
                return now
            before = now
            self.page.wait_for_timeout(700)
        return before


@pytest.fixture(scope="module")
def server(databases: dict[str, Path]) -> Iterator[Served]:
    """A leaderboard over the fullest synthetic database."""
    with served(databases["full"]) as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    """Debian's chromium."""
    with chromium() as started:
        yield started


def _watch(browser: sync_api.Browser, address: str, **options: object) -> Watched:
    page = browser.new_context(viewport={"width": 1300, "height": 950}, **options).new_page()  # type: ignore[arg-type]
    page.set_default_timeout(PATIENCE)
    watched = Watched(page, address)
    local = (address, address.replace("http", "ws"), "data:", "blob:")

    def on_console(message: sync_api.ConsoleMessage) -> None:
        if message.type == "error" and not PROBE.search(message.location.get("url", "")):
            watched.troubles.append(f"console: {message.text}")

    def on_request(request: sync_api.Request) -> None:
        if not request.url.startswith(local):
            watched.troubles.append(f"request to {request.url}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: watched.troubles.append(f"script: {error}"))
    page.on("request", on_request)
    return watched


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_opens_without_an_error_or_a_request_elsewhere(
    server: Served, browser: sync_api.Browser, scheme: str, tmp_path: Path
) -> None:
    watched = _watch(browser, server.address, color_scheme=scheme)
    watched.page.goto(server.address)
    for name in PAGES:
        if name != "Ranking":
            watched.page.locator("[data-testid=stSidebarNav]").get_by_text(name, exact=True).click()
        watched.settled("Published figures" if name == "Published" else name)
        watched.page.screenshot(path=tmp_path / f"{name}.png")
        assert watched.page.locator("[data-testid=stMain]").inner_text().strip() != name
    watched.page.context.close()
    assert watched.troubles == []


def test_a_filter_goes_into_the_address_and_the_address_brings_it_back(
    server: Served, browser: sync_api.Browser
) -> None:
    watched = _watch(browser, server.address)
    watched.page.goto(f"{server.address}/?suite=GLUE")
    watched.settled("Ranking")
    watched.page.get_by_text("Mean over 5 tasks: cola").wait_for()
    watched.page.get_by_text("minilmv2 · ").first.wait_for()
    before = watched.text()
    box = watched.page.locator("[data-testid=stMultiSelect]").filter(has_text="Family")
    option = watched.page.get_by_role("option", name="HS", exact=True)
    for _ in range(10):  # a list that was opened while the page was still drawing may close again
        box.locator("input").click()
        try:
            option.click(timeout=4000)
            break
        except sync_api.TimeoutError:
            continue
    watched.page.keyboard.press("Escape")  # an open list hides the page from readers of roles
    watched.page.wait_for_url(re.compile("family=HS"))
    watched.page.get_by_text("minilmv2 · ").first.wait_for(state="hidden")
    watched.page.get_by_text("hs-uniform · ").first.wait_for()
    watched.settled("Ranking")
    shared, seen = watched.page.url, watched.text()
    assert seen != before
    other = _watch(browser, server.address)
    other.page.goto(shared)
    other.settled("Ranking")
    other.page.get_by_text("Mean over 5 tasks: cola").wait_for()
    other.page.get_by_text("hs-uniform · ").first.wait_for()
    assert other.text() == seen
    for one in (watched, other):
        one.page.context.close()
        assert one.troubles == []


def test_a_shared_comparison_shows_the_same_two_rows(
    server: Served, browser: sync_api.Browser, databases: dict[str, Path]
) -> None:
    board = read_board(Store(databases["full"])).ranking(Filters(suite="GLUE"))
    rows = board.ranked["config_id"].head(2).tolist()
    watched = _watch(browser, server.address)
    watched.page.goto(f"{server.address}/compare?suite=GLUE&rows={rows[0]}&rows={rows[1]}")
    watched.settled("Compare")
    watched.page.get_by_role("heading", name=re.compile("vs\\.")).wait_for()
    assert "all intervals hold at once" in watched.text()
    assert all(row in watched.page.url for row in rows)
    watched.page.context.close()
    assert watched.troubles == []


def test_pages_follow_a_run_that_writes_while_they_are_read(
    server: Served, browser: sync_api.Browser, databases: dict[str, Path]
) -> None:
    store = Store(databases["full"])
    watched = _watch(browser, server.address)
    watched.page.goto(f"{server.address}/runs")
    watched.settled("Runs")
    from results.boards import Board, entries
    from results.ingredients import QUICK

    board = Board(methods=("minilmv2",), students=("4L-312",), seeds=(9,), tasks=QUICK[:1], teacher="late")
    before = store.frame("SELECT count(*) AS n FROM trials")["n"].iloc[0]
    for trial, result, _ in entries(board):
        store.record(trial, result)
    after = int(store.frame("SELECT count(*) AS n FROM trials")["n"].iloc[0])
    assert after > before
    watched.page.get_by_text(f"of {after:,}").first.wait_for()
    watched.settled("Runs")
    watched.page.context.close()
    assert watched.troubles == []


def test_readers_see_no_error_and_the_last_state_while_a_run_writes(
    server: Served, browser: sync_api.Browser, databases: dict[str, Path]
) -> None:
    from benchmarks.readers import read_while_writing

    seen = read_while_writing(browser, server, Store(databases["full"]), sessions=3, seconds=4)
    assert seen.troubles == []
    assert seen.written > 0
    assert seen.loads >= 3
