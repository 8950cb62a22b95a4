"""Tasks that a spec would evaluate on where it can and could not here: named wherever its results are shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness.base import Frozen
from harness.files import write_atomically

FILE = "left_out.json"


class LeftOut(Frozen):
    """An optional task whose data was not found."""

    spec: str
    suite: str
    task: str
    reason: str

    @property
    def sentence(self) -> str:
        """As it is shown with results."""
        return (
            f"Not evaluated: {self.suite} (task {self.task}) of the spec {self.spec}: its data was not found."
        )


_FILE = TypeAdapter(tuple[LeftOut, ...])


def read_left_out(runs_dir: Path) -> tuple[LeftOut, ...]:
    """What the latest run of each spec left out; nothing where that is not known."""
    try:
        return _FILE.validate_json((runs_dir / FILE).read_bytes())
    except (OSError, ValidationError):
        return ()


def note_left_out(runs_dir: Path, spec: str, tasks: Sequence[LeftOut]) -> None:
    """Replace what is noted of one spec."""
    before = read_left_out(runs_dir)
    now = (*(one for one in before if one.spec != spec), *tasks)
    if now != before:
        runs_dir.mkdir(parents=True, exist_ok=True)
        write_atomically(runs_dir / FILE, _FILE.dump_json(now, indent=1).decode() + "\n")
