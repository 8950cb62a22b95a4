"""What a user sees while a plan runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.ranking.render.text import duration
from harness.records.result import Progress, Result
from harness.records.trial import Trial
from harness.schedule.listener import Listener, RunSummary
from harness.schedule.outlook import Outlook, Running

MOST_LINES = 16
"""Running trials shown at once; further ones are counted."""


def view(stream: TextIO | None = None) -> Listener:
    """A table if `stream` (default: standard error) is a terminal, else lines."""
    out = stream or sys.stderr
    console = Console(file=out, markup=False, highlight=False)
    return LiveView(console) if console.is_terminal else PlainLog(out)


class LiveView(Listener):
    """A table that redraws itself: counts by kind, a row for each running trial, the time left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._outlook = Outlook([], time.time())
        self._titles: dict[str, str] = {}
        self._live: Live | None = None

    def on_start(self, total: int, skipped: int, left: Sequence[Trial]) -> None:
        """Start to draw."""
        self._outlook = Outlook(left, time.time())
        self._console.print(opening(total, skipped))
        if left:
            self._live = Live(
                console=self._console, get_renderable=self._draw, refresh_per_second=4, transient=True
            )
            self._live.start()

    def on_trial_started(self, trial: Trial) -> None:
        """Add its row."""
        self._titles[trial.id] = trial.title
        self._outlook.started(trial, time.time())

    def on_progress(self, trial_id: str, progress: Progress) -> None:
        """Update its row."""
        self._outlook.update(trial_id, progress)

    def on_result(self, result: Result) -> None:
        """Remove its row; print a failure above the table."""
        self._outlook.ended(result)
        if result.status == "failed":
            self._console.print(closing(self._titles.get(result.trial_id, ""), result), style="red")

    def on_message(self, text: str) -> None:
        """Print the line above the table."""
        self._console.print(text, style="yellow")

    def on_end(self, summary: RunSummary) -> None:
        """Stop to draw and print the summary."""
        if self._live is not None:
            self._live.stop()
        self._console.print(summing_up(summary))

    def _draw(self) -> RenderableType:
        parts: list[RenderableType] = [self._counts()]
        running = list(self._outlook.running.values())
        if running:
            parts.append(_trials(running[:MOST_LINES]))
        if len(running) > MOST_LINES:
            parts.append(Text(f"… and {len(running) - MOST_LINES} more", style="dim"))
        return Group(*parts)

    def _counts(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for name in ("trials", "done", "running", "left", "failed"):
            table.add_column(name, justify="left" if name == "trials" else "right")
        for count in self._outlook.counts():
            failed = Text(str(count.failed), style="red" if count.failed else "")
            table.add_row(count.kind, str(count.done), str(count.running), str(count.left), failed)
        table.caption = f"time left {duration(self._outlook.seconds_left(time.time()))}"
        table.caption_justify = "left"
        return table


def _trials(running: Sequence[Running]) -> Table:
    table = Table(box=None, pad_edge=False, expand=True)
    table.add_column("running", ratio=1, no_wrap=True, overflow="ellipsis")
    for name in ("step", "loss", "tokens/s", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    for item in running:
        last = item.last
        if last is None:
            table.add_row(Text(item.trial.title), "", "", "", duration(None))
        else:
            table.add_row(
                Text(item.trial.title),
                f"{last.step}/{last.steps}",
                f"{last.loss:.4g}",
                f"{last.tokens_per_second:,.0f}",
                last.doing or duration(item.seconds_left),
            )
    return table


class PlainLog(Listener):
    """A line for each start and end, and regular lines on progress."""

    def __init__(self, stream: TextIO, every: float = 30.0, clock: Callable[[], float] = time.time) -> None:
        """`every`: seconds between two reports of progress."""
        self._stream, self._every, self._clock = stream, every, clock
        self._outlook = Outlook([], clock())
        self._titles: dict[str, str] = {}
        self._next = 0.0

    def on_start(self, total: int, skipped: int, left: Sequence[Trial]) -> None:
        """Print how many trials there are to run."""
        self._outlook = Outlook(left, self._clock())
        self._next = self._clock() + self._every
        self._say(opening(total, skipped))

    def on_trial_started(self, trial: Trial) -> None:
        """Print its start."""
        self._titles[trial.id] = trial.title
        self._outlook.started(trial, self._clock())
        self._say(f"start  {trial.id} {trial.title}")

    def on_progress(self, trial_id: str, progress: Progress) -> None:
        """Every `every` seconds, print the counts of the run and the steps of running trials."""
        self._outlook.update(trial_id, progress)
        if self._clock() < self._next:
            return
        self._next = self._clock() + self._every
        counts = ", ".join(
            f"{count.kind} {count.done} done {count.running} running {count.left} left"
            for count in self._outlook.counts()
        )
        self._say(f"so far {counts}; time left {duration(self._outlook.seconds_left(self._clock()))}")
        for item in list(self._outlook.running.values())[:MOST_LINES]:
            if item.last is not None:
                last = item.last
                self._say(
                    f"step   {item.trial.id} {last.step}/{last.steps} loss {last.loss:.4g} "
                    f"{last.tokens_per_second:,.0f} tokens/s "
                    + (last.doing or f"{duration(item.seconds_left)} left")
                )

    def on_result(self, result: Result) -> None:
        """Print its end."""
        self._outlook.ended(result)
        self._say(closing(self._titles.get(result.trial_id, ""), result))

    def on_message(self, text: str) -> None:
        """Print the line."""
        self._say(text)

    def on_end(self, summary: RunSummary) -> None:
        """Print the summary."""
        self._say(summing_up(summary))

    def _say(self, text: str) -> None:
        stamp = time.strftime("%H:%M:%S", time.localtime(self._clock()))
        print(f"{stamp} {text}", file=self._stream, flush=True)


def opening(total: int, skipped: int) -> str:
    """The first line of a run."""
    if skipped == total:
        return f"{total} trials, all done already"
    return f"{total} trials" + (f", {skipped} done already" if skipped else "")


def closing(title: str, result: Result) -> str:
    """The line for a trial that ended."""
    named = f"{result.trial_id} {title}".rstrip()
    if result.error is not None:
        return f"FAILED {named}: {result.error.reason}: {result.error.message}"
    if result.status == "pruned":
        return f"pruned {named}"
    return f"done   {named} ({duration(result.seconds)})"


def summing_up(summary: RunSummary) -> str:
    """The last line of a run."""
    parts = [f"{summary.done} done"]
    parts += [f"{summary.skipped} done before"] if summary.skipped else []
    parts += [f"{summary.failed} failed"] if summary.failed else []
    parts += [f"{summary.blocked} not run because of a failure"] if summary.blocked else []
    parts += [f"{summary.left} left"] if summary.left else []
    ended = "interrupted" if summary.interrupted else "ended"
    return f"{ended} after {duration(summary.seconds)}: {', '.join(parts)}"
