"""Trials now running in a runs folder, read from the folders of unfinished trials, as the database lags behind."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from harness.records.folder import TrialFolder, trial_folders
from harness.records.result import Progress

SILENT = 120.0
"""Seconds without a line of progress after which a trial counts as interrupted."""
_TAIL = 8192
"""Bytes read from the end of a progress file."""


@dataclass(frozen=True)
class LiveTrial:
    """A trial that has started and not ended."""

    trial_id: str
    title: str
    kind: str
    last: Progress | None
    seconds_ago: float
    """Seconds since it last wrote progress."""
    seconds_left: float | None
    """Estimated from its present speed; None without two lines of progress."""

    @property
    def running(self) -> bool:
        """Whether it seems to be running; if not, it was interrupted and the next `harness run` resumes it."""
        return self.seconds_ago < SILENT


def live_trials(runs_dir: Path, finished: Iterable[str]) -> list[LiveTrial]:
    """Trials below `runs_dir` without a result, the latest first; `finished` lists ids to skip."""
    done = set(finished)
    now = time.time()
    live = []
    for folder in trial_folders(runs_dir):
        if folder.path.name in done or (folder.path / "result.json").exists():
            continue
        trial = folder.read_trial()
        if trial is None:
            continue
        first, last, changed = _ends(folder)
        live.append(LiveTrial(trial.id, trial.title, trial.kind, last, now - changed, _left(first, last)))
    return sorted(live, key=lambda trial: trial.seconds_ago)


def _ends(folder: TrialFolder) -> tuple[Progress | None, Progress | None, float]:
    """An earlier and the last line of progress within the file's tail, and the time of writing."""
    try:
        with folder.progress_file.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL))
            lines = [line for line in (_parsed(raw) for raw in file.read().splitlines()) if line]
        changed = folder.progress_file.stat().st_mtime
    except OSError:
        try:
            return None, None, (folder.path / "trial.json").stat().st_mtime
        except OSError:
            return None, None, 0.0
    return (lines[0], lines[-1], changed) if lines else (None, None, changed)


def _parsed(line: bytes) -> Progress | None:
    try:
        return Progress.model_validate_json(line)
    except ValidationError:
        return None  # half a line: the first of the tail, or one being written


def _left(first: Progress | None, last: Progress | None) -> float | None:
    if first is None or last is None or last.step <= first.step or last.at <= first.at:
        return None
    return (last.steps - last.step) * (last.at - first.at) / (last.step - first.step)


def curve(frame: pd.DataFrame) -> pd.DataFrame:
    """The table `progress` in long form: trial_id, step, term, loss; the weighted sum is the term `loss`."""
    rows = []
    for line in frame.itertuples():
        terms = json.loads(line.terms) if isinstance(line.terms, str) else {}
        if list(terms.values()) != [line.loss]:  # a single term of weight 1 is the loss
            rows.append((line.trial_id, line.step, "loss", line.loss))
        rows += [(line.trial_id, line.step, term, value) for term, value in terms.items()]
    return pd.DataFrame(rows, columns=["trial_id", "step", "term", "loss"]).dropna(subset="loss")
