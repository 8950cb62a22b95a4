"""A trial's folder `runs/<id>/`: the truth about a trial. The database is an index that can be rebuilt from these.

trial.json          what it is                         progress.jsonl      one `Progress` a line
checkpoint/         everything to go on bit for bit    model/              safetensors, config, tokenizer
predictions.parquet                                    result.json         written last, atomically
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from harness.files import write_atomically
from harness.records.result import Progress, Result
from harness.records.trial import Trial


@dataclass(frozen=True)
class TrialFolder:
    """Paths and records of one trial."""

    path: Path

    @classmethod
    def of(cls, runs_dir: Path, trial_id: str) -> TrialFolder:
        """The folder of a trial below `runs_dir`."""
        return cls(runs_dir / trial_id)

    @property
    def model(self) -> Path:
        """Exported model; loads with `from_pretrained`."""
        return self.path / "model"

    @property
    def checkpoint(self) -> Path:
        """Checkpoints of a trial under way; removed once it has ended well."""
        return self.path / "checkpoint"

    @property
    def predictions(self) -> Path:
        """Parquet: split, language, row, label, prediction, and scores per class."""
        return self.path / "predictions.parquet"

    @property
    def progress_file(self) -> Path:
        """JSON lines."""
        return self.path / "progress.jsonl"

    def milestone(self, step: int) -> Path:
        """Intermediate student exported at `step`."""
        return self.path / "milestones" / str(step)

    def write_trial(self, trial: Trial) -> None:
        """Write trial.json."""
        write_atomically(self.path / "trial.json", trial.model_dump_json(indent=2, by_alias=True))

    def write_result(self, result: Result) -> None:
        """Write result.json, last and atomically."""
        write_atomically(self.path / "result.json", result.model_dump_json(indent=2, by_alias=True))

    def read_trial(self) -> Trial | None:
        """The trial, or None where the file is missing or unreadable."""
        try:
            return Trial.model_validate_json((self.path / "trial.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def read_result(self) -> Result | None:
        """The result, or None where the file is missing or unreadable."""
        try:
            return Result.model_validate_json((self.path / "result.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def answer(self, trial: Trial) -> Result | None:
        """The recorded result where `trial` need not run: it ended well and left all that is asked for now."""
        result = self.read_result()
        ended_well = result is not None and result.status != "failed"
        return result if result is not None and ended_well and self.covers(trial, result) else None

    def covers(self, trial: Trial, result: Result) -> bool:
        """Whether the recorded result, which ended well, holds all that is asked of a trial with its id.

        An id does not say everything that is asked: milestones may have been added since, and a setting that halving
        gave up may stand better among other settings."""
        if result.status == "ok" and not trial.milestones:
            return True
        recorded = self.read_trial()
        if recorded is None:
            return False
        if result.status == "pruned":
            diverged = "gave_up" in result.facts  # whatever it is compared with
            return diverged or recorded.rung == trial.rung
        return set(trial.milestones) <= set(recorded.milestones)

    def with_recorded_milestones(self, trial: Trial) -> Trial:
        """`trial`, exporting also what an earlier run of it was asked to export."""
        recorded = self.read_trial() if trial.milestones else None
        return trial.with_milestones(recorded.milestones) if recorded else trial

    def append_progress(self, progress: Progress) -> None:
        """Add one line to progress.jsonl."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self.progress_file.open("a", encoding="utf-8") as file:
            file.write(progress.model_dump_json() + "\n")

    def read_progress(self) -> Iterator[Progress]:
        """Lines of progress.jsonl; after a resumption a step may appear twice, the later line holds."""
        try:
            lines = self.progress_file.read_bytes().splitlines()
        except OSError:
            return
        for line in lines:
            try:
                yield Progress.model_validate(json.loads(line))
            except (ValueError, ValidationError, RecursionError):
                continue  # the last line of a killed process may be half written


def trial_folders(runs_dir: Path) -> Iterator[TrialFolder]:
    """Every folder below `runs_dir` that is named like a trial, in order of name; not those with nothing in them,
    of trials that could not begin."""
    if not runs_dir.is_dir():
        return
    for path in sorted(runs_dir.iterdir()):
        named = len(path.name) == 16 and all(c in "0123456789abcdef" for c in path.name)
        if named and path.is_dir() and any(path.iterdir()):
            yield TrialFolder(path)
