"""Files that no result needs: listed first, removed only on request."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.records.folder import TrialFolder, trial_folders
from harness.records.trial import DistilJob, FinetuneJob, ModelSource, PrepareJob, Trial
from harness.results.tables import encoder_key


@dataclass(frozen=True)
class Garbage:
    """A file or folder that no result needs."""

    path: Path
    reason: str
    bytes: int
    on_board: bool = False
    """Whether it holds the weights of a student that a ranking shows."""


@dataclass(frozen=True)
class _Known:
    """Facts from the trial folders below a runs folder."""

    trials: Mapping[str, Trial]
    done: frozenset[str]
    """Ids of the trials that ended well or were pruned."""

    def needed(self, plans: Iterable[Trial]) -> set[str]:
        """Trials whose models are read by a trial that is still to be run."""
        waiting = (trial for trial in (*plans, *self.trials.values()) if trial.id not in self.done)
        return {parent for trial in waiting for parent in trial.waits_for}

    @property
    def read(self) -> set[str]:
        """Trials whose models any trial reads, or whose encoder one has evaluated."""
        return {parent for trial in self.trials.values() for parent in trial.waits_for} | self.on_board

    @property
    def on_board(self) -> set[str]:
        """Trials whose models have a score that counts."""
        named: set[str] = set()
        encoders: set[str] = set()
        for name in self.done & self.trials.keys():
            job = self.trials[name].job
            if isinstance(job, FinetuneJob) and job.counts:
                named |= set(job.model.makers) if isinstance(job.model, ModelSource) else set()
                encoders.add(encoder_key(self.trials[name], self.trials))
        makers = (trial for trial in self.trials.values() if isinstance(trial.job, PrepareJob | DistilJob))
        return named | {trial.id for trial in makers if encoder_key(trial, self.trials) in encoders}


def garbage(runs_dir: Path, plans: Iterable[Trial] = (), *, weights: bool = False) -> list[Garbage]:
    """What can be removed without losing a result, largest first: checkpoints of trials that ended well, and
    half-written temporary files.

    With `weights` also exported students all of whose evaluations are done: they stay ranked, but can no longer be
    exported, and a further task distils them again. Models that a trial still to be run reads are kept: those of
    unfinished trials below `runs_dir`, and of `plans`. A `prepare` trial's model, and weights without any evaluation,
    are always kept.
    """
    folders = list(trial_folders(runs_dir))
    known = _known(folders)
    items = [item for folder in folders for item in _leftovers(folder, folder.path.name in known.done)]
    if weights:
        spare = (known.read - known.needed(plans)) & known.done
        for folder in folders:
            trial = known.trials.get(folder.path.name)
            if trial and trial.kind == "distil" and trial.id in spare:
                items += _weights(folder, trial.id in known.on_board)
    return sorted(items, key=lambda one: (-one.bytes, str(one.path)))


def _known(folders: Iterable[TrialFolder]) -> _Known:
    trials, done = {}, set()
    for folder in folders:
        if trial := folder.read_trial():
            trials[folder.path.name] = trial
        result = folder.read_result()
        if result and result.status != "failed":
            done.add(folder.path.name)
    return _Known(trials, frozenset(done))


def _weights(folder: TrialFolder, on_board: bool) -> Iterator[Garbage]:
    reason = (
        "weights of a student on the board" if on_board else "weights of a student that is not on the board"
    )
    for path in (folder.model, folder.path / "milestones"):
        if path.is_dir():
            yield _item(path, reason, on_board)


def _leftovers(folder: TrialFolder, done: bool) -> Iterator[Garbage]:
    if done and folder.checkpoint.is_dir():
        yield _item(folder.checkpoint, "checkpoint of a trial that has ended well")
    for name in ("trial.json", "result.json"):
        if done:
            yield from (_item(path, "half-written file") for path in folder.path.glob(f".{name}.*"))


def _item(path: Path, reason: str, on_board: bool = False) -> Garbage:
    files = (
        [path]
        if path.is_file()
        else [file for file in path.rglob("*") if file.is_file() and not file.is_symlink()]
    )
    return Garbage(path, reason, sum(file.stat().st_size for file in files), on_board)


def remove(items: Iterable[Garbage]) -> int:
    """Remove what `garbage` listed; returns the bytes freed. Links are removed, never followed."""
    freed = 0
    for item in items:
        if item.path.is_symlink() or item.path.is_file():
            item.path.unlink(missing_ok=True)
        else:
            shutil.rmtree(item.path, ignore_errors=True)
        freed += item.bytes
    return freed
