"""Optional tasks of a spec whose data is not available here; named wherever its results are shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness.base import Frozen
from harness.files import write_atomically

FILE = "left_out.json"


class LeftOut(Frozen):
    """An optional task whose data is not available."""

    spec: str
    suite: str
    task: str
    reason: str

    @property
    def sentence(self) -> str:
        """The sentence shown with results."""
        return (
            f"Not evaluated: {self.suite} (task {self.task}) of the spec {self.spec}: its data was not found."
        )


_FILE = TypeAdapter(tuple[LeftOut, ...])


def read_left_out(runs_dir: Path) -> tuple[LeftOut, ...]:
    """Tasks that the latest run of each spec left out; empty if unknown."""
    try:
        return _FILE.validate_json((runs_dir / FILE).read_bytes())
    except (OSError, ValidationError):
        return ()


def note_left_out(runs_dir: Path, spec: str, tasks: Sequence[LeftOut]) -> None:
    """Replace the recorded tasks of one spec."""
    before = read_left_out(runs_dir)
    now = (*(one for one in before if one.spec != spec), *tasks)
    if now != before:
        runs_dir.mkdir(parents=True, exist_ok=True)
        write_atomically(runs_dir / FILE, _FILE.dump_json(now, indent=1).decode() + "\n")
