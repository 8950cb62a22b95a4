"""Follows `progress.jsonl` of running trials and reads only what was added."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from harness.records.folder import TrialFolder
from harness.records.result import Progress


class Tails:
    """Read positions in the progress files of several trials."""

    def __init__(self, runs_dir: Path) -> None:
        self._runs_dir = runs_dir
        self._offsets: dict[str, int | None] = {}

    def follow(self, trial_id: str) -> None:
        """Start to read a trial's file, at its last line."""
        self._offsets[trial_id] = None

    def drop(self, trial_id: str) -> None:
        """Stop to read a trial's file."""
        self._offsets.pop(trial_id, None)

    def read(self) -> Iterator[tuple[str, Progress]]:
        """(trial id, line) for the lines added since the last call."""
        for trial_id, offset in list(self._offsets.items()):
            lines = self._added(trial_id, offset or 0)
            for progress in lines[-1:] if offset is None else lines:
                yield trial_id, progress

    def _added(self, trial_id: str, offset: int) -> list[Progress]:
        path = TrialFolder.of(self._runs_dir, trial_id).progress_file
        try:
            with path.open("rb") as file:
                file.seek(offset)
                text = file.read()
        except OSError:
            return []
        whole = text.rfind(b"\n") + 1  # the rest of the last line is still being written
        self._offsets[trial_id] = offset + whole
        lines = []
        for line in text[:whole].splitlines():
            try:
                lines.append(Progress.model_validate_json(line))
            except ValidationError:
                continue  # the half line of a process that was killed
        return lines
