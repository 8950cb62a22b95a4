"""What `run_plan` asks of a place where jobs run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from harness.schedule.dispatch.events import Event


@dataclass(frozen=True)
class BackendState:
    """What happened in a backend since it was last polled."""

    events: list[Event]
    finished: bool
    trouble: str = ""
    """Why the run cannot go on; empty if it can."""
    messages: tuple[str, ...] = ()
    """Lines for the user that belong to no event."""


class ExecutionBackend(Protocol):
    """Runs the jobs of one dispatcher."""

    def start(self) -> None:
        """Begin; returns when jobs are being handed out."""

    def poll(self) -> BackendState:
        """What happened since the last call. Raises HarnessError when the backend itself broke."""

    def stop(self) -> None:
        """Hand out no more jobs; running trials save their state and end."""

    def close(self) -> None:
        """Release everything, whatever state the backend is in."""
