"""The trials of a runs folder that ended last, with those that made their models: what estimates of cost learn from."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from pathlib import Path

from harness.records.folder import TrialFolder, trial_folders
from harness.records.result import RecordedTrials
from harness.records.trial import Trial

MOST = 300
"""Most trials that are read whole."""


def latest_trials(runs_dir: Path, most: int = MOST) -> RecordedTrials:
    """The `most` trials below `runs_dir` that ended well last, by the time their results state."""
    latest = heapq.nlargest(most, _ended_well(runs_dir), key=lambda one: one[0])
    read = [(folder.read_trial(), folder.read_result()) for _, folder in latest]
    ended = tuple((trial, result) for trial, result in read if trial is not None and result is not None)
    return RecordedTrials(ended, _with_ancestors({trial.id: trial for trial, _ in ended}, runs_dir))


def _ended_well(runs_dir: Path) -> Iterator[tuple[float, TrialFolder]]:
    """(seconds since the epoch at which it ended, folder); unreadable results are left out."""
    for folder in trial_folders(runs_dir):
        try:
            stated = json.loads((folder.path / "result.json").read_bytes())
            if stated["status"] == "ok":
                yield float(stated["finished_at"]), folder
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue


def _with_ancestors(trials: dict[str, Trial], runs_dir: Path) -> dict[str, Trial]:
    wanted = [parent for trial in trials.values() for parent in trial.parents]
    known = dict(trials)
    while wanted:
        parent = wanted.pop()
        ancestor = None if parent in known else TrialFolder.of(runs_dir, parent).read_trial()
        if ancestor is not None:
            known[parent] = ancestor
            wanted += ancestor.parents
    return known
