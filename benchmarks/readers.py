"""Checks that pages stay correct while a run writes: `python -m benchmarks.readers [--seconds 60] [--sessions 10]`.

So many browser sessions reload pages of the leaderboard over and over while a real store writer records trial
after trial. Every page must come up without an error, and the counts it shows may never go back; when the
writing is over, every session must show the last state. Exits with 1 where that does not hold.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page
from playwright.sync_api import TimeoutError as PageTimeoutError

from harness.results.store import Store
from tests.leaderboard.serving import Served, chromium, served
from tests.results.boards import Board, entries, write_store
from tests.results.ingredients import GLUE, QUICK

PAGES = ("ranking", "runs", "tasks", "compare", "trial")
"""Sessions take turns with these pages; only Runs counts trials."""
TROUBLE = ", ".join(
    f"[data-testid={box}]" for box in ("stException", "stAlertContentError", "stAlertContentWarning")
)
"""Selectors of error boxes, which must not appear; hints do not count."""
PATIENCE = 120_000
"""Milliseconds that a page may take on a busy machine."""
IDLE = "document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
COUNT = re.compile(r"([\d,]+) of ([\d,]+)")
MENDED = 15.0
"""Seconds after which a page must show the latest data."""


@dataclass
class Seen:
    """Observations of the readers."""

    written: int = 0
    """Trials recorded during the test."""
    loads: int = 0
    troubles: list[str] = field(default_factory=list)


def read_while_writing(
    browser: Browser, server: Served, store: Store, *, sessions: int, seconds: float
) -> Seen:
    """Reload `sessions` pages at once, again and again, while trials are recorded for `seconds`."""
    seen = Seen()
    pages = [browser.new_context().new_page() for _ in range(sessions)]
    done = [0] * sessions
    deadline = time.monotonic() + seconds
    with _writing(store, deadline, seen):
        while time.monotonic() < deadline:
            _load_all(pages, server, seen)
            for index, page in enumerate(pages):
                count = _finished(page)
                if count is not None and count < done[index]:
                    seen.troubles.append(f"session {index}: {done[index]} trials done, then {count}")
                done[index] = count if count is not None else done[index]
    _all_show_the_last_state(pages, server, store, seen)
    for page in pages:
        page.context.close()
    return seen


@contextmanager
def _writing(store: Store, deadline: float, seen: Seen) -> Iterator[None]:
    """A thread that records trials as a run does: first as running, then with their results."""

    def write() -> None:
        try:
            seed = 1000
            while time.monotonic() < deadline:
                seed += 1
                late = Board(methods=("minilmv2", "od"), students=("4L-312",), seeds=(seed,), tasks=QUICK)
                for trial, result, progress in entries(late):
                    store.record(trial)
                    store.record(trial, result, progress=progress)
                    seen.written += 1
                    if time.monotonic() > deadline:
                        return
        except Exception as error:
            seen.troubles.append(f"the writer stopped: {error}")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _load_all(pages: list[Page], server: Served, seen: Seen) -> None:
    for index, page in enumerate(pages):
        address = f"{server.address}/{PAGES[index % len(PAGES)]}"
        page.goto(address.removesuffix("/ranking"), wait_until="commit", timeout=PATIENCE)
    for index, page in enumerate(pages):
        try:
            page.get_by_role("heading", level=1).wait_for(timeout=PATIENCE)
            page.wait_for_function(IDLE, timeout=PATIENCE)
        except PageTimeoutError:
            seen.troubles.append(f"session {index}: nothing came within {PATIENCE / 1000:.0f} s")
            continue
        seen.loads += 1
        for box in page.locator(TROUBLE).all():
            seen.troubles.append(f"session {index}: {box.inner_text()[:200]}")


def _finished(page: Page) -> int | None:
    """The number of trials that the page reports as done; None if it reports none."""
    metric = page.locator("[data-testid=stMetric]").filter(has_text="Done")
    found = COUNT.search(metric.first.inner_text()) if metric.count() else None
    return int(found.group(1).replace(",", "")) if found else None


def _all_show_the_last_state(pages: list[Page], server: Served, store: Store, seen: Seen) -> None:
    expected = int(store.frame("SELECT count(*) AS n FROM trials WHERE status = 'ok'")["n"].iloc[0])
    for page in pages:
        page.goto(f"{server.address}/runs", wait_until="commit", timeout=PATIENCE)
    for index, page in enumerate(pages):
        page.get_by_text("Done", exact=True).first.wait_for(timeout=PATIENCE)
        deadline = time.monotonic() + MENDED
        while (shown := _finished(page)) != expected and time.monotonic() < deadline:
            page.wait_for_timeout(200)
        if shown != expected:
            seen.troubles.append(f"session {index}: shows {shown} trials done, recorded are {expected}")


def main() -> None:
    """Write, read, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to write (default: 60)")
    parser.add_argument("--sessions", type=int, default=10, help="browser sessions (default: 10)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(Path(folder) / "results.duckdb", Board(tasks=(*GLUE, *QUICK)))
        with served(store.path) as server, chromium() as browser:
            seen = read_while_writing(browser, server, store, sessions=asked.sessions, seconds=asked.seconds)
    print(f"{asked.sessions} sessions, {seen.loads} page loads, {seen.written} trials written meanwhile")
    for trouble in seen.troubles:
        print(trouble)
    sys.exit(1 if seen.troubles else 0)


if __name__ == "__main__":
    main()
