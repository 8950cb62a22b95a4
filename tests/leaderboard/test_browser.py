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
HEADINGS = {"Published": "Published figures"}
"""Page -> its heading, where that is not its name."""
WIDTHS = (1440, 1024, 480)
PATIENCE = 90_000
"""Milliseconds a page may take when the machine is busy with other things."""
PROBE = re.compile(r"/\w+/_stcore/(health|host-config)$")
"""Streamlit looks for its server below the address it was opened at first, and says so in the console when
it was not there.
"""


PALE = """() => {
  const parse = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
  const over = (top, below) => {
    const alpha = top.length > 3 ? top[3] : 1;
    return [0, 1, 2].map(i => top[i] * alpha + below[i] * (1 - alpha));
  };
  const light = colour => {
    const [r, g, b] = colour.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = new Set();
  const walker = document.createTreeWalker(document.querySelector('[data-testid=stApp]'), NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement, words = node.textContent.trim();
    if (!words || !element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    if (element.closest('svg, canvas, style, [aria-disabled=true], :disabled')) continue;
    if (element.closest('[data-testid=stIconMaterial], [data-testid^=stSliderT]')) continue;
    const chain = [];
    for (let one = element; one; one = one.parentElement) chain.unshift(one);
    let ground = [255, 255, 255], opacity = 1;
    for (const one of chain) {
      const style = getComputedStyle(one);
      ground = over(parse(style.backgroundColor), ground);
      opacity *= Number(style.opacity);
    }
    const style = getComputedStyle(element), ink = parse(style.color);
    if (words === '●' || opacity === 0 || (ink.length > 3 && ink[3] === 0)) continue;
    const seen = over([...ink.slice(0, 3), (ink.length > 3 ? ink[3] : 1) * opacity], ground);
    const [high, low] = [light(seen), light(ground)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05), size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) found.add(`${ratio.toFixed(2)} ${words.slice(0, 40)}`);
  }
  return [...found];
}"""
"""Text that is paler than WCAG 2's level AA asks (4.5 : 1, large text 3 : 1). Canvases are not seen; the value of a slider
stands above its thumb, not on it, and has the thumb's colour."""


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
    pale: dict[str, list[str]] = {}
    for name in PAGES:
        if name != "Ranking":
            watched.page.locator("[data-testid=stSidebarNav]").get_by_text(name, exact=True).click()
        watched.settled(HEADINGS.get(name, name))
        assert watched.page.locator("[data-testid=stMain]").inner_text().strip() != name
        for width in WIDTHS if scheme == "light" else WIDTHS[:1]:
            watched.page.set_viewport_size({"width": width, "height": 950})
            watched.text()
            watched.page.screenshot(path=tmp_path / f"{name}-{width}.png")
            assert watched.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, width)
        watched.page.set_viewport_size({"width": WIDTHS[0], "height": 950})
        pale[name] = watched.page.evaluate(PALE)
    assert pale == {name: [] for name in PAGES}
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


def test_pages_are_reached_by_key(server: Served, browser: sync_api.Browser) -> None:
    watched = _watch(browser, server.address)
    watched.page.goto(server.address)
    watched.settled("Ranking")
    reached = _tabbed(watched.page, 60)
    assert {"Ranking", "Tasks", "Trade-off", "Trial"} <= reached
    assert "GLUE" in reached  # the suites, between which arrows move
    suites = watched.page.locator("[data-testid=stButtonGroup] button")
    suites.first.focus()
    watched.page.keyboard.press("ArrowRight")
    assert watched.page.evaluate("document.activeElement.innerText") == suites.nth(1).inner_text() != "GLUE"
    assert any("settings" in one for one in reached)
    watched.page.locator("[data-testid=stSidebarNav] a", has_text="Trade-off").focus()
    watched.page.keyboard.press("Enter")
    watched.settled("Trade-off")
    assert "Latency" in _tabbed(watched.page, 60)
    watched.page.context.close()
    assert watched.troubles == []


def _tabbed(page: sync_api.Page, presses: int) -> set[str]:
    """What is said of the elements that the key Tab reaches one after the other."""
    said = "(() => { const e = document.activeElement; return (e.innerText || e.ariaLabel || '').trim(); })()"
    reached = set()
    for _ in range(presses):
        page.keyboard.press("Tab")
        reached.add(str(page.evaluate(said)).splitlines()[-1] if page.evaluate(said) else "")
    return reached


SLIDER = "[data-testid*=lider]"
NAVIGATION = "[data-testid=stSidebarNav] >> text="
QUESTIONS: dict[str, tuple[list[str], str]] = {
    "Which method is best?": ([], r"has the highest mean"),
    "What do OD, HS and MHA stand for?": ([], r"multi-head attention \(MHA\)"),
    "How do I get the best student?": ([], r"harness export --model"),
    "What is left out?": ([], r"Left out: "),
    "Which method should I take for a budget in milliseconds?": (
        [f"{NAVIGATION}Trade-off", SLIDER],
        r"Best under [\d.,]+ ms: ",
    ),
    "Is MHA really better than HS in Swahili?": (
        [f"{NAVIGATION}Languages", "[data-testid=stPageLink] >> text=Swahili"],
        r"MHA is (not shown to be )?ahead of HS|MHA and HS|MHA scores",
    ),
    "How was this number made?": (["[data-testid=stPageLink] >> text=seed 1"], r"Provenance|Settings"),
    "Is the first really better than the second?": (
        [f"{NAVIGATION}Compare", "button >> text=Compare "],
        r"all intervals hold at once",
    ),
    "Which layer of the teacher should a layer learn from?": (
        [f"{NAVIGATION}Layer mappings"],
        r"Of \d+ methods? of hidden states on ",
    ),
    "How do these compare with published figures?": (
        [f"{NAVIGATION}Published"],
        r"measures? the same as rows of ours",
    ),
}
"""What a visitor asks -> what is clicked from the first page on, and what then answers."""


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_visitors_question_is_answered_within_two_clicks(
    server: Served, browser: sync_api.Browser, question: str
) -> None:
    clicks, answer = QUESTIONS[question]
    assert len(clicks) <= 2
    watched = _watch(browser, server.address)
    watched.page.goto(server.address)
    watched.settled("Ranking")
    for click in clicks:
        target = watched.page.locator(click).first
        box = target.bounding_box() or {"width": 0, "height": 0}
        target.click(position={"x": box["width"] * 0.3, "y": box["height"] - 22} if click == SLIDER else None)
        watched.text()
    watched.page.locator("[data-testid=stMain]").get_by_text(re.compile(answer)).first.wait_for()
    watched.page.context.close()
    assert watched.troubles == []
