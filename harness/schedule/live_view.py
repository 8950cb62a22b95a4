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

from harness.counted import counted
from harness.plan.cost import Estimate
from harness.ranking.render.text import duration, rough_duration
from harness.records.result import Progress, Result
from harness.records.trial import Trial
from harness.schedule.dispatch.rehearsal import Machines
from harness.schedule.listener import Listener, RunSummary
from harness.schedule.outlook import Outlook, Running

MOST_LINES = 16
"""Running trials shown at once; further ones are counted."""


def view(stream: TextIO | None = None, estimate: Estimate | None = None) -> View:
    """A table if `stream` (default: standard error) is a terminal, else lines. `estimate`: what the plan expects."""
    out = stream or sys.stderr
    console = Console(file=out, markup=False, highlight=False)
    return LiveView(console, estimate) if console.is_terminal else PlainLog(out, estimate=estimate)


class View(Listener):
    """A view that keeps an outlook, and says what is worth a line of its own."""

    def __init__(self, estimate: Estimate | None, clock: Callable[[], float]) -> None:
        self._estimate, self._clock = estimate, clock
        self._outlook = Outlook([], clock())
        self._titles: dict[str, str] = {}
        self._machines: Machines | None = None
        self._started = False
        self.expected: float | None = None
        """Seconds that the run was expected to take when its machines became known."""

    def say(self, text: str, style: str = "") -> None:
        """Print one line."""
        raise NotImplementedError

    def on_machines(self, machines: Machines) -> None:
        """Count on them; a line where they become known, or change, after the start."""
        if machines == self._machines:
            return
        before, self._machines = str(self._machines), machines
        if self._started and self._outlook.unfinished:
            self._outlook.set_machines(machines)
            if str(machines) != before:
                self.say(f"left to do: {self._expect()}")

    def on_start(self, total: int, skipped: int, left: Sequence[Trial]) -> None:
        """Print how many trials there are to run, and how long that takes."""
        self._outlook = Outlook(left, self._clock(), self._machines, self._estimate)
        self._started = True
        self.say(opening(total, skipped, self._expect() if left else ""))

    def on_trial_started(self, trial: Trial, beside: Sequence[Trial] = ()) -> None:
        """Count it as running."""
        self._titles[trial.id] = trial.title
        self._outlook.started(trial, self._clock(), beside)

    def on_result(self, result: Result) -> None:
        """Count it as ended."""
        self._outlook.ended(result)

    def on_message(self, text: str) -> None:
        """Print the line."""
        self.say(text, style="yellow")

    def on_end(self, summary: RunSummary) -> None:
        """Print the summary."""
        self.say(summing_up(summary))

    def _expect(self) -> str:
        now = self._clock()
        if self.expected is None and self._outlook.machines is not None:
            self.expected = self._outlook.seconds_left(now)
        return expected(self._outlook, now)

    def left(self, item: Running) -> str:
        """How long a running trial will take."""
        return duration(self._outlook.trial_seconds_left(item, self._clock()))


class LiveView(View):
    """A table that redraws itself: counts by kind, a row for each running trial, the time left."""

    def __init__(self, console: Console, estimate: Estimate | None = None) -> None:
        super().__init__(estimate, time.time)
        self._console = console
        self._live: Live | None = None

    def say(self, text: str, style: str = "") -> None:
        """Print the line above the table."""
        self._console.print(text, style=style or None)

    def on_start(self, total: int, skipped: int, left: Sequence[Trial]) -> None:
        """Start to draw."""
        super().on_start(total, skipped, left)
        if left:
            self._live = Live(
                console=self._console, get_renderable=self._draw, refresh_per_second=4, transient=True
            )
            self._live.start()

    def on_progress(self, trial_id: str, progress: Progress) -> None:
        """Update its row."""
        self._outlook.update(trial_id, progress)

    def on_result(self, result: Result) -> None:
        """Remove its row; print a failure above the table."""
        super().on_result(result)
        if result.status == "failed":
            self.say(closing(self._titles.get(result.trial_id, ""), result), style="red")

    def on_end(self, summary: RunSummary) -> None:
        """Stop to draw and print the summary."""
        if self._live is not None:
            self._live.stop()
        super().on_end(summary)

    def _draw(self) -> RenderableType:
        parts: list[RenderableType] = [self._counts()]
        running = list(self._outlook.running.values())
        if running:
            parts.append(self._trials(running[:MOST_LINES]))
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
        table.caption = f"time left {duration(self._outlook.seconds_left(self._clock()))}"
        table.caption_justify = "left"
        return table

    def _trials(self, running: Sequence[Running]) -> Table:
        table = Table(box=None, pad_edge=False, expand=True)
        table.add_column("running", ratio=1, no_wrap=True, overflow="ellipsis")
        for name in ("step", "loss", "tokens/s", "left"):
            table.add_column(name, justify="right", no_wrap=True)
        for item in running:
            last = item.last
            if last is None:
                table.add_row(Text(item.trial.title), "", "", "", self.left(item))
            else:
                table.add_row(
                    Text(item.trial.title),
                    f"{last.step}/{last.steps}",
                    f"{last.loss:.4g}",
                    f"{last.tokens_per_second:,.0f}",
                    last.doing or self.left(item),
                )
        return table


class PlainLog(View):
    """A line for each start and end, and regular lines on progress."""

    def __init__(
        self,
        stream: TextIO,
        every: float = 30.0,
        clock: Callable[[], float] = time.time,
        estimate: Estimate | None = None,
    ) -> None:
        """`every`: seconds between two reports of progress."""
        super().__init__(estimate, clock)
        self._stream, self._every = stream, every
        self._next = 0.0

    def say(self, text: str, style: str = "") -> None:
        """Print the line with the time of day."""
        stamp = time.strftime("%H:%M:%S", time.localtime(self._clock()))
        print(f"{stamp} {text}", file=self._stream, flush=True)

    def on_start(self, total: int, skipped: int, left: Sequence[Trial]) -> None:
        """Print the opening line."""
        super().on_start(total, skipped, left)
        self._next = self._clock() + self._every

    def on_trial_started(self, trial: Trial, beside: Sequence[Trial] = ()) -> None:
        """Print its start."""
        super().on_trial_started(trial, beside)
        self.say(f"start  {trial.id} {trial.title}")

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
        self.say(f"so far {counts}; time left {duration(self._outlook.seconds_left(self._clock()))}")
        for item in list(self._outlook.running.values())[:MOST_LINES]:
            if item.last is not None:
                last = item.last
                self.say(
                    f"step   {item.trial.id} {last.step}/{last.steps} loss {last.loss:.4g} "
                    f"{last.tokens_per_second:,.0f} tokens/s " + (last.doing or f"{self.left(item)} left")
                )

    def on_result(self, result: Result) -> None:
        """Print its end."""
        super().on_result(result)
        self.say(closing(self._titles.get(result.trial_id, ""), result))


def opening(total: int, skipped: int, takes: str) -> str:
    """The first line of a run; `takes` says how long what is left will take."""
    trials = counted(total, "trial")
    if skipped == total:
        return f"{trials}, {'' if total == 1 else 'all '}done already"
    return f"{trials}, {skipped} done already; the rest: {takes}" if skipped else f"{trials}: {takes}"


def expected(outlook: Outlook, now: float) -> str:
    """`about 7.1 min on 2 cores`."""
    machines = f" on {outlook.machines}" if outlook.machines else ", if done on one machine"
    return f"about {rough_duration(outlook.seconds_left(now))}{machines}"


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
