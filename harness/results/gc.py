"""What no result needs any more: listed first, removed only when asked."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.records.folder import TrialFolder, trial_folders
from harness.records.trial import Trial


@dataclass(frozen=True)
class Garbage:
    """A file or folder that no result needs."""

    path: Path
    reason: str
    bytes: int


def garbage(runs_dir: Path, plans: Iterable[Trial] = ()) -> list[Garbage]:
    """What can be removed without losing a result, largest first.

    Checkpoints of trials that ended well; half-written temporary files; exported students all of whose evaluations
    are done. Models that a trial still to be run reads are kept: of unfinished trials below `runs_dir`, and of
    `plans`. A `prepare` trial's model, and weights without any evaluation, are always kept.
    """
    folders = list(trial_folders(runs_dir))
    trials = {folder.path.name: folder.read_trial() for folder in folders}
    done = {
        folder.path.name
        for folder in folders
        if (result := folder.read_result()) and result.status != "failed"
    }
    needed = {parent for trial in plans if trial.id not in done for parent in trial.parents}
    needed |= {
        parent for name, trial in trials.items() if trial and name not in done for parent in trial.parents
    }
    read = {parent for trial in trials.values() if trial for parent in trial.parents}
    items: list[Garbage] = []
    for folder in folders:
        items += _leftovers(folder, folder.path.name in done)
        trial = trials[folder.path.name]
        if trial and trial.kind == "distil" and trial.id in done and trial.id in read - needed:
            reason = "weights of a student whose evaluations are done; a further task would distil it again"
            items += [
                _item(path, reason) for path in (folder.model, folder.path / "milestones") if path.is_dir()
            ]
    return sorted(items, key=lambda one: (-one.bytes, str(one.path)))


def _leftovers(folder: TrialFolder, done: bool) -> Iterator[Garbage]:
    if done and folder.checkpoint.is_dir():
        yield _item(folder.checkpoint, "checkpoint of a trial that has ended well")
    for name in ("trial.json", "result.json"):
        if done:
            yield from (_item(path, "half-written file") for path in folder.path.glob(f".{name}.*"))


def _item(path: Path, reason: str) -> Garbage:
    files = (
        [path]
        if path.is_file()
        else [one for one in path.rglob("*") if one.is_file() and not one.is_symlink()]
    )
    return Garbage(path, reason, sum(one.stat().st_size for one in files))


def remove(items: Iterable[Garbage]) -> int:
    """Remove what `garbage` listed; the bytes freed. Links are removed, never followed."""
    freed = 0
    for item in items:
        if item.path.is_symlink() or item.path.is_file():
            item.path.unlink(missing_ok=True)
        else:
            shutil.rmtree(item.path, ignore_errors=True)
        freed += item.bytes
    return freed
